/**
 * LEASE-1  A message is ours while its lease runs. Once it is over JetStream hands the message to somebody else, so every attempt
 *          and every write that stands for the message asks first, and is dropped without a trace when the lease is over.
 */
import type { MessageRef } from "./ports.ts";

/** The message belongs to somebody else by now: no ack, no nak, no log line. */
export class LeaseOver extends Error {
  constructor({ stream, sequence }: MessageRef) {
    super(`message ${sequence} of ${stream} is somebody else's by now`);
  }
}

/** @throws LeaseOver */
export function requireLease(source: MessageRef): void {
  if (source.isOurs?.() === false) throw new LeaseOver(source);
}

export function isLeaseOver(error: unknown): boolean {
  return error instanceof LeaseOver;
}
