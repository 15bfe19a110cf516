/**
 * Makes one replica the holder of something, over all replicas: a record in the registry bucket that its holder rewrites every few
 * seconds. Time is monotonic and each replica's own; clocks are never compared.
 *
 * HOLDER-1  A holder's lease ends `ttlMs`, less a margin, after it sent the last rewrite that was confirmed. Another replica takes it
 *           when it has seen no rewrite for `ttlMs`, which is later, and waits for `settleMs` before it acts.
 * HOLDER-2  While the server refuses the rewrite (its store is full), reading the record unchanged extends the lease, by less than
 *           `settleMs`: what would make room goes on, and who takes the lease meanwhile does not act before the holder knows.
 */

import { AppError, messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import type { RecordKind } from "../model/record-kind.ts";

/** What is needed of the bucket; registry/store.ts has it. */
export interface LeaseRecords {
  readRecord(key: string): Promise<{ readonly value: string; readonly revision: number } | null>;
  createRecord(key: string, value: string): Promise<number | "conflict">;
  updateRecord(key: string, value: string, revision: number): Promise<number | "conflict">;
}

export interface Lease {
  start(): void;
  /** Releases it for another replica to take at once. */
  stop(): Promise<void>;
  isHeld(): boolean;
  /** The record was pushed. */
  observe(value: string | null, revision: number): void;
}

/** A JSON object. */
export type LeaseNote = Readonly<Record<string, unknown>>;

export interface LeaseOptions {
  readonly key: string;
  /** Names this replica. */
  readonly holder: string;
  /** Kept in the record for the next holder; asked at every rewrite. */
  readonly note: () => LeaseNote;
  /** @param left the note of the last holder; null when there was none. @param term differs for every time that it is taken */
  readonly onTaken: (left: LeaseNote | null, term: string) => void;
  readonly onLost: () => void;
  readonly ttlMs?: number;
}

export interface LeaseDependencies {
  readonly records: LeaseRecords;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Milliseconds; the process's own when not given. */
  readonly monotonicNow?: () => number;
}

interface LeaseRecord {
  readonly holder: string | null;
  readonly note: LeaseNote;
}

/** The value is handed on as it is: the lease reads it when it takes it. */
export function leaseKind(key: string): RecordKind<string> {
  return {
    prefix: key,
    parse(_name, value) {
      readRecord(key, value);
      return value;
    },
  };
}

/** @throws AppError RECORD_INVALID */
export function parseJsonObject(what: string, value: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(value);
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return parsed as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new AppError("RECORD_INVALID", `${what}: wanted a JSON object`);
}

/** @throws AppError RECORD_INVALID */
function readRecord(key: string, value: string): LeaseRecord {
  const { holder, note } = parseJsonObject(`record ${key}`, value);
  if (holder !== null && typeof holder !== "string") throw new AppError("RECORD_INVALID", `record ${key}: holder: wanted a name or null`);
  return { holder, note: typeof note === "object" && note !== null ? (note as LeaseNote) : {} };
}

/** A record that can't be read is nobody's: whoever takes the lease writes over it. */
function readOrFree(key: string, value: string | null): LeaseRecord | null {
  try {
    return value === null ? null : readRecord(key, value);
  } catch {
    return null;
  }
}

const TTL_MS = 10_000;
const TICK_MS = 250;
const REWRITES_PER_TTL = 4;
const MARGIN = 0.2;
/** A read extends the lease by so much (HOLDER-2). */
const CONFIRMED_BY_READ_MS = 2_000;
const SETTLE_MS = 3_000;

export function createLease({ records, clock, logger, ...given }: LeaseDependencies, options: LeaseOptions): Lease {
  const now = given.monotonicNow ?? (() => performance.now());
  const { key, holder, note, onTaken, onLost, ttlMs = TTL_MS } = options;
  let seen: { readonly value: string | null; readonly revision: number; readonly at: number } = { value: null, revision: 0, at: now() };
  /** Null: somebody else has it, or nobody. */
  let mine: { revision: number; until: number; rewrittenAt: number; isActing: boolean } | null = null;
  /** Taken so far. */
  let terms = 0;
  let isBusy = false;
  let stopped = false;
  let cancel = (): void => {};

  const encode = (by: string | null, of: LeaseNote): string => JSON.stringify({ holder: by, note: of } satisfies LeaseRecord);

  const lose = (): void => {
    const wasActing = mine?.isActing === true;
    mine = null;
    if (!wasActing) return;
    logger.warn({ key }, "the lease is lost; another replica takes it");
    onLost();
  };

  const act = (left: LeaseNote | null): void => {
    if (mine === null || mine.isActing || stopped) return;
    mine.isActing = true;
    const term = `${mine.revision}-${++terms}`;
    logger.info({ key, term }, "the lease is taken");
    onTaken(left, term);
  };

  /** The server refused a write, and nobody else has made one. */
  const isUnchanged = async (error: unknown, revision: number): Promise<boolean> => {
    const isRefused = !(error instanceof AppError && error.code === "NATS_UNREACHABLE");
    return isRefused && (await records.readRecord(key))?.revision === revision;
  };

  const take = async (): Promise<void> => {
    const { value, revision, at } = seen;
    const record = readOrFree(key, value);
    // Our own, which was not rewritten in time, is ours again while nobody else has taken it.
    const isFree = record === null || record.holder === null || record.holder === holder;
    if (!isFree && now() - at < ttlMs) return;
    const sentAt = now();
    const left = record?.note ?? null;
    const next = encode(holder, left ?? {});
    let taken: number | "conflict";
    try {
      taken = revision === 0 ? await records.createRecord(key, next) : await records.updateRecord(key, next, revision);
    } catch (error) {
      // HOLDER-2.
      if (record?.holder !== holder || !(await isUnchanged(error, revision))) throw error;
      mine = { revision, until: sentAt + CONFIRMED_BY_READ_MS, rewrittenAt: sentAt - ttlMs, isActing: false };
      return act(left);
    }
    if (taken === "conflict") {
      const found = await records.readRecord(key);
      if (found !== null && found.revision !== seen.revision) seen = { ...found, at: now() };
      return;
    }
    mine = { revision: taken, until: sentAt + ttlMs * (1 - MARGIN), rewrittenAt: sentAt, isActing: false };
    if (isFree) act(left);
    else clock.after(SETTLE_MS, () => act(left));
  };

  const rewrite = async (held: NonNullable<typeof mine>): Promise<void> => {
    if (now() - held.rewrittenAt < ttlMs / REWRITES_PER_TTL) return;
    const sentAt = now();
    try {
      // A holder that does not act yet keeps what the last one left.
      const value = held.isActing ? encode(holder, note()) : encode(holder, readOrFree(key, seen.value)?.note ?? {});
      const revision = await records.updateRecord(key, value, held.revision);
      if (revision === "conflict") return lose();
      Object.assign(held, { revision, until: sentAt + ttlMs * (1 - MARGIN), rewrittenAt: sentAt });
    } catch (error) {
      if (!(await isUnchanged(error, held.revision))) throw error;
      held.until = Math.max(held.until, sentAt + CONFIRMED_BY_READ_MS);
    }
  };

  const tick = (): void => {
    if (mine !== null && now() >= mine.until) lose();
    if (!isBusy && !stopped) {
      isBusy = true;
      (mine === null ? take() : rewrite(mine))
        .catch((error: unknown) => logger.debug({ key, error: messageOf(error) }, "the lease can't be written"))
        .finally(() => {
          isBusy = false;
        });
    }
    if (!stopped) cancel = clock.after(TICK_MS, tick);
  };

  return {
    start: tick,
    async stop() {
      stopped = true;
      cancel();
      const held = mine;
      if (held === null) return;
      const left = held.isActing ? note() : {};
      mine = null;
      await records.updateRecord(key, encode(null, left), held.revision).catch(() => {});
    },
    isHeld: () => mine?.isActing === true && now() < mine.until,
    observe(value, revision) {
      if (revision > seen.revision) seen = { value, revision, at: now() };
    },
  };
}
