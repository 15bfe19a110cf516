/** Reads from JetStream for a caller who waits. */
import { unreachableOr } from "../registry/store.ts";

/** @throws AppError NATS_UNREACHABLE when the server does not answer */
export async function orUnreachable<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    throw unreachableOr(error);
  }
}
