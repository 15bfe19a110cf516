/**
 * Elects one replica as the holder of a lease: a record in the registry bucket that the holder rewrites every few seconds. Each replica
 * uses its own monotonic time; clocks are never compared.
 *
 * HOLDER-1  A lease ends `ttlMs`, less a margin, after the holder sent the last confirmed rewrite. Another replica takes the lease once it
 *           has seen no rewrite for `ttlMs`, which is later, and waits another 3 s before it acts.
 * HOLDER-2  While the server refuses rewrites because its store is full, reading the unchanged record extends the lease by less than those
 *           3 s. The holder can thus continue the work that frees space, and a replica that takes the lease meanwhile does not act before
 *           the holder knows.
 * HOLDER-3  A lease that has ended is not extended, not even by a rewrite that was under way: in between, work was dropped because it had
 *           ended. The holder may take it again, as another term.
 */

import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { untilSharedTick } from "../model/shared-tick.ts";
import { createLeaseRecord, type LeaseNote, type LeaseRecords } from "./lease-record.ts";

export interface Lease {
  start(): void;
  /** Releases it for another replica to take at once. */
  stop(): Promise<void>;
  isHeld(): boolean;
  /** The watch has delivered the record. */
  observe(value: string | null, revision: number): void;
}

export interface TakenLease {
  /** The note of the last holder; null: there was none. */
  readonly left: LeaseNote | null;
  /** The last holder released the lease, or there was none. One that did not may have died. */
  readonly wasReleased: boolean;
  /** Names this term: differs for every time that the lease is taken. */
  readonly term: string;
  /** Grows with each holder. */
  readonly revision: number;
}

export interface LeaseOptions {
  readonly key: string;
  /** Names this replica. */
  readonly holder: string;
  /** Kept in the record for the next holder; called at every rewrite. */
  readonly note: () => LeaseNote;
  readonly onTaken: (taken: TakenLease) => void;
  readonly onLost: () => void;
  readonly ttlMs?: number;
}

export interface LeaseDependencies {
  readonly records: LeaseRecords;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Milliseconds; the process's own when absent. */
  readonly monotonicNow?: () => number;
}

interface Held {
  revision: number;
  until: number;
  rewrittenAt: number;
  isActing: boolean;
}

const TTL_MS = 10_000;
const TICK_MS = 250;
const REWRITES_PER_TTL = 4;
const MARGIN = 0.2;
/** A read extends the lease by this time (HOLDER-2). */
const CONFIRMED_BY_READ_MS = 2_000;
const ACT_AFTER_MS = 3_000;

export function createLease({ records, clock, logger, ...given }: LeaseDependencies, options: LeaseOptions): Lease {
  const now = given.monotonicNow ?? (() => performance.now());
  const { key, holder, note, onTaken, onLost, ttlMs = TTL_MS } = options;
  const record = createLeaseRecord(records, key, now);
  /** Null: another replica has the lease, or none does. */
  let held: Held | null = null;
  /** Taken so far. */
  let terms = 0;
  let isBusy = false;
  let stopped = false;
  let cancel = (): void => {};

  /** Until it acts, a holder keeps the note of the last one. */
  const noteOf = ({ isActing }: Held): LeaseNote => (isActing ? note() : (record.seen().content?.note ?? {}));

  const lose = (): void => {
    const wasActing = held?.isActing === true;
    held = null;
    if (!wasActing) return;
    logger.warn({ key }, "lease lost; another replica takes it");
    onLost();
  };

  const act = (of: Pick<TakenLease, "left" | "wasReleased">): void => {
    if (held === null || held.isActing || stopped) return;
    held.isActing = true;
    const { revision } = held;
    const term = `${revision}-${++terms}`;
    logger.info({ key, term }, "lease taken");
    onTaken({ ...of, term, revision });
  };

  const take = async (): Promise<void> => {
    const { content, revision, at } = record.seen();
    const left = content?.note ?? null;
    const wasReleased = content === null || content.holder === null;
    // Our own, which was not rewritten in time, is ours again while nobody else has taken it.
    const isOwn = content?.holder === holder;
    if (!wasReleased && !isOwn && now() - at < ttlMs) return;
    const sentAt = now();
    try {
      const taken = await record.write(holder, left ?? {}, revision);
      if (taken === "conflict") return record.refresh();
      held = { revision: taken, until: sentAt + ttlMs * (1 - MARGIN), rewrittenAt: sentAt, isActing: false };
    } catch (error) {
      // HOLDER-2.
      if (!isOwn || !(await record.isUnchanged(error, revision))) throw error;
      held = { revision, until: sentAt + CONFIRMED_BY_READ_MS, rewrittenAt: sentAt - ttlMs, isActing: false };
    }
    if (wasReleased || isOwn) act({ left, wasReleased });
    else clock.after(ACT_AFTER_MS, () => act({ left, wasReleased }));
  };

  /** HOLDER-3. */
  const extend = (of: Held, changes: Partial<Held>): void => {
    if (now() >= of.until) lose();
    else Object.assign(of, changes);
  };

  const rewrite = async (of: Held): Promise<void> => {
    if (now() - of.rewrittenAt < ttlMs / REWRITES_PER_TTL) return;
    const sentAt = now();
    try {
      const revision = await record.write(holder, noteOf(of), of.revision);
      if (revision === "conflict") return lose();
      extend(of, { revision, until: sentAt + ttlMs * (1 - MARGIN), rewrittenAt: sentAt });
    } catch (error) {
      if (!(await record.isUnchanged(error, of.revision))) throw error;
      extend(of, { until: Math.max(of.until, sentAt + CONFIRMED_BY_READ_MS) });
    }
  };

  const tick = (): void => {
    if (held !== null && now() >= held.until) lose();
    if (!isBusy && !stopped) {
      isBusy = true;
      (held === null ? take() : rewrite(held))
        .catch((error: unknown) => logger.debug({ key, error: messageOf(error) }, "lease can't be written"))
        .finally(() => {
          isBusy = false;
        });
    }
    if (!stopped) cancel = clock.after(untilSharedTick(clock.now(), TICK_MS), tick);
  };

  return {
    start: tick,
    async stop() {
      stopped = true;
      cancel();
      const last = held;
      if (last === null) return;
      held = null;
      await record.write(null, noteOf(last), last.revision).catch(() => {});
    },
    isHeld: () => held?.isActing === true && now() < held.until,
    observe: record.observe,
  };
}
