/**
 * Delays a start just after the registry bucket was lost, until another replica has put the records back (STORE-1). An event
 * handled before that would be acknowledged as one without subscribers.
 */
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import type { RegistryStore } from "./store.ts";

export interface AwaitRestoreDependencies {
  readonly store: Pick<RegistryStore, "quiet">;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** When the server created each, milliseconds since the epoch. */
export interface Created {
  readonly events: number;
  readonly bucket: number;
}

/** A first start creates the events stream and the bucket together. */
const CREATED_TOGETHER_MS = 5_000;
/** Replicas notice a new bucket within seconds and fill it within this time. */
const RESTORED_WITHIN_MS = 60_000;
const QUIET_MS = 5_000;

/** Resolves when no other replica is filling the bucket. Call after the store's start. */
export async function awaitRestore({ store, clock, logger }: AwaitRestoreDependencies, { events, bucket }: Created): Promise<void> {
  const isOfFirstStart = bucket - events < CREATED_TOGETHER_MS;
  if (isOfFirstStart || Math.abs(clock.now() - bucket) > RESTORED_WITHIN_MS) return;
  logger.warn({ quiet_ms: QUIET_MS }, "the registry bucket is new; waiting until other replicas have put its records back");
  await store.quiet(QUIET_MS);
}
