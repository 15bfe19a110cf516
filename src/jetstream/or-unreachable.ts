/** A look at a stream on somebody's behalf. */
import { unreachableOr } from "./nats-errors.ts";

/** @throws AppError NATS_UNREACHABLE when the server does not answer */
export async function orUnreachable<T>(look: Promise<T>): Promise<T> {
  try {
    return await look;
  } catch (error) {
    throw unreachableOr(error);
  }
}
