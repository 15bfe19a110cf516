/**
 * A start just after the registry bucket was lost: another replica puts the records back (store.ts R4). An event that is
 * handled before they are back would be acknowledged as one that nobody wants.
 */
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import type { RegistryStore } from "./store.ts";

export interface AwaitRestoreDependencies {
  readonly store: Pick<RegistryStore, "quiet">;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** When the server made each, milliseconds since the epoch. */
export interface Created {
  readonly events: number;
  readonly bucket: number;
}

/** A first start makes the events stream and the bucket at once. */
const MADE_TOGETHER_MS = 5_000;
/** Replicas see a new bucket within a second or two, and take this long at most to fill it. */
const RESTORED_WITHIN_MS = 60_000;
const QUIET_MS = 5_000;

/** Resolves when the bucket isn't being filled by other replicas (any more). Call after the store's start. */
export async function awaitRestore({ store, clock, logger }: AwaitRestoreDependencies, { events, bucket }: Created): Promise<void> {
  const isOfFirstStart = bucket - events < MADE_TOGETHER_MS;
  if (isOfFirstStart || Math.abs(clock.now() - bucket) > RESTORED_WITHIN_MS) return;
  logger.warn({ quiet_ms: QUIET_MS }, "the registry bucket is a new one: waiting until other replicas have put its records back");
  await store.quiet(QUIET_MS);
}
