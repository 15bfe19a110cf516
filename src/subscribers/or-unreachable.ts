/** A look at a stream on somebody's behalf: a server that does not answer is a fault of the moment, and says so. */
import { NatsError } from "nats";
import { AppError, messageOf } from "../model/app-error.ts";

/** @throws AppError NATS_UNREACHABLE */
export async function orUnreachable<T>(look: Promise<T>): Promise<T> {
  try {
    return await look;
  } catch (error) {
    // What the server answered is not for this.
    if (!(error instanceof NatsError) || error.api_error !== undefined) throw error;
    throw new AppError("NATS_UNREACHABLE", `NATS does not answer: ${messageOf(error)}`, { retryable: true, cause: error });
  }
}
