/**
 * The request log, health counters, stats and dedup records: attempts are collected for a few milliseconds and written in one
 * round trip, behind the delivery path, together with notes of where events and deliveries are.
 *
 * LOG-1  `record` never waits and never throws; a failed write never fails a delivery.
 * LOG-2  One batch is sent at a time, and repeated unchanged until Redis has all of it (batch-writer.ts).
 * LOG-3  While Redis is unreachable, at most `bufferRows` attempts are kept; the oldest beyond that are dropped and counted. Notes
 *     only help to find things, so the newest are dropped.
 */
import type { AttemptLog } from "../delivery/ports.ts";
import type { LateBatch } from "../delivery/tracing-ports.ts";
import type { Clock } from "../model/clock.ts";
import { type Delivery, dedupKeyOf } from "../model/delivery.ts";
import type { StreamLocation } from "../model/delivery-location.ts";
import type { Logger } from "../model/logger.ts";
import { isReplayId } from "../model/replay.ts";
import type { WriteOptions } from "./batch-script.ts";
import { createBatchSender } from "./batch-sender.ts";
import { type Batch, createWriteBatch } from "./batch-writer.ts";
import { createDedupReader } from "./dedup-reader.ts";
import { encodeLocation, encodeSkip, isSameEvent, storeKeyOf } from "./dedup-record.ts";
import { eventDeliveryNote } from "./event-deliveries.ts";
import { keys } from "./keys.ts";
import { createLogBuffer } from "./log-buffer.ts";
import { HIGHEST, MEMBER, toLogEntry } from "./log-entry.ts";
import type { RedisClient } from "./redis.ts";
import { createTurnReader } from "./turn-reader.ts";
import { createWriteLoop } from "./write-loop.ts";

export interface RequestLog extends AttemptLog {
  /** Notes where a delivery was stored. @param delivery as it was stored */
  stored(delivery: Delivery, location: StreamLocation): void;
  /** Writes the buffer, for at most `deadlineMs`. @returns the number of attempts that were not written */
  flush(deadlineMs: number): Promise<number>;
  /** Number of buffered attempts. */
  buffered(): number;
  /** Number of buffered notes. */
  notesBuffered(): number;
  /** Number of dropped attempts. */
  dropped(): number;
  /** Number of writes to single keys that Redis refused. */
  refused(): number;
}

export interface RequestLogOptions extends Omit<WriteOptions, "now"> {
  readonly bufferRows: number;
  /** Rows of delivered attempts have request and response, too. */
  readonly keepsDelivered?: boolean;
}

interface SoughtKey {
  readonly app: string;
  readonly key: string;
}

export interface RequestLogDependencies {
  readonly redis: RedisClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called after a batch with the installations that have counted failures in it. */
  readonly onFailuresWritten?: (installationUuids: ReadonlySet<string>) => void;
  /** Called after a batch with the apps of its counted attempts → whether any of them failed. */
  readonly onAttemptsWritten?: (apps: ReadonlyMap<string, boolean>) => void;
  /** Called for a batch that took long or more than one try. */
  readonly onLateBatch?: (batch: LateBatch) => void;
}

export function createRequestLog(dependencies: RequestLogDependencies, options: RequestLogOptions): RequestLog {
  const { redis, clock, logger, onFailuresWritten, onAttemptsWritten, onLateBatch } = dependencies;
  const readKey = createTurnReader(redis, clock, (sought: readonly SoughtKey[]) => redis.mget(sought.map(({ key }) => key)));
  const readRecord = createTurnReader(redis, clock, createDedupReader(redis, options, clock.now));
  const buffer = createLogBuffer(options.bufferRows);
  const sender = createBatchSender({
    write: createWriteBatch(redis, { ...options, now: clock.now }),
    clock,
    logger,
    onLateBatch,
    counts: () => ({ buffered: buffer.entries(), dropped: buffer.dropped() }),
  });
  const loop = createWriteLoop({
    ...{ buffer, sender, clock },
    onWritten(batch) {
      const failed = installationsWithFailures(batch);
      if (failed.size > 0) onFailuresWritten?.(failed);
      onAttemptsWritten?.(appsOf(batch));
    },
  });

  const noteDelivery = (delivery: Delivery): void => {
    const note = eventDeliveryNote(delivery, clock.now());
    if (note !== null) buffer.addNote(`delivery ${delivery.id}`, note);
  };

  return {
    record(attempt) {
      buffer.add(toLogEntry(attempt, options.keepsDelivered));
      if (attempt.attempt === 1) noteDelivery(attempt.delivery);
      loop.start();
    },

    async findDelivered(delivery) {
      const dedupKey = dedupKeyOf(delivery);
      const unwritten = buffer.findDelivered(dedupKey);
      if (unwritten !== undefined) return isSameEvent(delivery, unwritten.endedAt) ? unwritten : null;
      try {
        const { app, id: deliveryId, replay } = delivery;
        const found = await readRecord({ app, deliveryId, replay });
        return found?.delivered && isSameEvent(delivery, found.last?.endedAt) ? found : null;
      } catch {
        // A duplicate is better than a delivery that waits for Redis.
        return null;
      }
    },

    async isHandedOver(delivery) {
      const storeKey = storeKeyOf(delivery);
      if (Number(buffer.findNote(`stores ${storeKey}`)?.value ?? 0) > delivery.stores) return true;
      try {
        return Number((await readKey({ app: delivery.app, key: keys.stores(delivery.app, storeKey) })) ?? 0) > delivery.stores;
      } catch {
        return false;
      }
    },

    skipped({ id, eventSequence }, delivered) {
      if (eventSequence === null) return;
      const value = encodeSkip(delivered, clock.now());
      buffer.addNote(`skip ${id} ${eventSequence}`, { key: keys.skipped(id), field: String(eventSequence), value });
      loop.start();
    },

    stored(delivery, location) {
      noteDelivery(delivery);
      const value = encodeLocation(delivery, location);
      buffer.addNote(`location ${delivery.id}`, { key: keys.location(delivery.id), field: null, value });
      const storeKey = storeKeyOf(delivery);
      buffer.addNote(`stores ${storeKey}`, { key: keys.stores(delivery.app, storeKey), field: HIGHEST, value: String(delivery.stores) });
      if (location.stream === "dead-letters" && isReplayId(delivery.replay)) {
        const key = keys.replayFailed(delivery.app, delivery.replay);
        buffer.addNote(`failed ${dedupKeyOf(delivery)}`, { key, field: MEMBER, value: delivery.id });
      }
      loop.start();
    },

    async flush(deadlineMs) {
      await loop.flush(deadlineMs);
      return buffer.entries();
    },

    buffered: buffer.entries,
    notesBuffered: buffer.notes,
    dropped: buffer.dropped,
    refused: sender.refused,
  };
}

function installationsWithFailures({ entries }: Batch): ReadonlySet<string> {
  const failed = new Set<string>();
  for (const entry of entries) if (entry.failed && entry.counted !== null) failed.add(entry.installationUuid);
  return failed;
}

function appsOf({ entries }: Batch): ReadonlyMap<string, boolean> {
  const apps = new Map<string, boolean>();
  for (const { app, counted, failed } of entries) if (counted !== null) apps.set(app, failed || apps.get(app) === true);
  return apps;
}
