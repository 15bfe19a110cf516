/**
 * Figures about the lanes that only the server knows, asked for every few seconds: depths, how far the events consumer is
 * behind, the age of the oldest unacknowledged event, and the skew between this clock and the server's.
 */
import type { JetStreamManager } from "nats";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import type { BusNames } from "./names.ts";
import { isNotFound } from "./topology.ts";

export interface LaneGauges {
  start(): void;
  stop(): void;
  messages(): Readonly<Record<string, number>>;
  eventsPending(): number;
  oldestUnackedAgeMs(): number;
  /** An unacknowledged event is older than half of the stream's age: it may be lost to the stream's limit. */
  isOverdue(): boolean;
  clockSkewMs(): number;
}

const EVERY_MS = 5_000;
/** Rungs come due by the server's timestamps: a skew shifts every retry. */
const SKEW_WARNING_MS = 1_000;

export function createLaneGauges(manager: JetStreamManager, names: BusNames, clock: Clock, logger: Logger): LaneGauges {
  const { streams } = names;
  let messages: Record<string, number> = {};
  let eventsPending = 0;
  let oldestUnackedAgeMs = 0;
  let overdue = false;
  let clockSkewMs = 0;
  let warned = false;
  let cancel = (): void => {};
  let stopped = false;

  const timeOf = async (sequence: number): Promise<number | null> => {
    try {
      return (await manager.streams.getMessage(streams.events, { seq: sequence })).time.getTime();
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  };

  const read = async (): Promise<void> => {
    const [events, retries, parked, deadLetters] = await Promise.all(
      [streams.events, streams.retries, streams.parked, streams.deadLetters].map((stream) => manager.streams.info(stream)),
    );
    if (!events || !retries || !parked || !deadLetters) return;
    messages = { retries: retries.state.messages, parked: parked.state.messages, "dead-letters": deadLetters.state.messages };
    const before = clock.now();
    const consumer = await manager.consumers.info(streams.events, names.eventsConsumer);
    eventsPending = consumer.num_pending;
    const serverNow = Date.parse((consumer as unknown as { ts?: string }).ts ?? "");
    if (!Number.isNaN(serverNow)) clockSkewMs = Math.round((before + clock.now()) / 2 - serverNow);

    const oldest = consumer.ack_floor.stream_seq + 1;
    const isBehind = consumer.num_ack_pending + consumer.num_pending > 0;
    const storedAt = isBehind && oldest <= events.state.last_seq ? await timeOf(Math.max(oldest, events.state.first_seq)) : null;
    oldestUnackedAgeMs = storedAt === null ? 0 : Math.max(0, clock.now() - storedAt);
    const maxAgeMs = events.config.max_age / 1e6;
    const isOverdue = maxAgeMs > 0 && oldestUnackedAgeMs > maxAgeMs / 2;
    if (isOverdue && !overdue)
      logger.error(
        { stream: streams.events, age_ms: oldestUnackedAgeMs },
        "an unacknowledged event is older than half of the stream's max_age",
      );
    overdue = isOverdue;

    const isSkewed = Math.abs(clockSkewMs) > SKEW_WARNING_MS;
    if (isSkewed && !warned)
      logger.warn({ clock_skew_ms: clockSkewMs }, "this clock and the NATS server's differ; retries are early or late by as much");
    warned = isSkewed;
  };

  const tick = (): void => {
    read()
      .catch((error: unknown) => logger.debug({ error: messageOf(error) }, "lane figures can't be read"))
      .finally(() => {
        if (!stopped) cancel = clock.after(EVERY_MS, tick);
      });
  };

  return {
    start: tick,
    stop() {
      stopped = true;
      cancel();
    },
    messages: () => messages,
    eventsPending: () => eventsPending,
    oldestUnackedAgeMs: () => oldestUnackedAgeMs,
    isOverdue: () => overdue,
    clockSkewMs: () => clockSkewMs,
  };
}
