/**
 * Remembers how far the events stream is done: every 10 s the ack floor of the events consumer goes into the registry bucket
 * (`ack-floor.events`). A consumer that vanished is made anew from there; only a first-ever start begins with the oldest
 * event.
 */
import { type ConsumerConfig, DeliverPolicy, type JetStreamManager } from "nats";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { every } from "../model/periodic.ts";
import type { Subjects } from "./subjects.ts";

/** What is needed of the bucket; registry/store.ts has it. */
export interface FloorRecords {
  readRecord(key: string): Promise<{ readonly value: string } | null>;
  putRecord(key: string, value: string): Promise<unknown>;
}

export interface AckFloor {
  start(): void;
  stop(): void;
  /** Where a consumer that is not there has to begin. */
  startingPoint(): Promise<Partial<ConsumerConfig>>;
}

interface FloorRecord {
  /** Every event up to it is acknowledged. */
  readonly sequence: number;
  /** A stream that was made anew counts from 1 again. */
  readonly stream_created: string;
}

const KEY = "ack-floor.events";
const EVERY_MS = 10_000;

/** @returns null for what is none: everything is handed out again, and what was delivered is skipped by its marks. */
function readFloor(value: string): FloorRecord | null {
  try {
    const { sequence, stream_created } = JSON.parse(value) as FloorRecord;
    return Number.isSafeInteger(sequence) && sequence >= 0 ? { sequence, stream_created } : null;
  } catch {
    return null;
  }
}

export function createAckFloor(manager: JetStreamManager, records: FloorRecords, names: Subjects, clock: Clock, logger: Logger): AckFloor {
  const stream = names.streams.events;
  let saved = 0;

  const save = async (): Promise<void> => {
    const { ack_floor } = await manager.consumers.info(stream, names.eventsConsumer);
    if (ack_floor.stream_seq === saved) return;
    const { created } = await manager.streams.info(stream);
    const record: FloorRecord = { sequence: ack_floor.stream_seq, stream_created: created };
    await records.putRecord(KEY, JSON.stringify(record));
    saved = ack_floor.stream_seq;
  };

  const saving = every(clock, EVERY_MS, save, (error) => logger.debug({ stream, error: messageOf(error) }, "the ack floor can't be saved"));

  return {
    start: () => void saving.start(),
    stop: saving.stop,
    async startingPoint() {
      const found = await records.readRecord(KEY);
      const { created, state } = await manager.streams.info(stream);
      const floor = found && readFloor(found.value);
      if (floor === null || floor.stream_created !== created || floor.sequence > state.last_seq)
        return { deliver_policy: DeliverPolicy.All };
      return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: floor.sequence + 1 };
    },
  };
}
