/**
 * Figures about the streams that only the server knows, asked for every few seconds: depths and ages, and how far the events
 * consumer is behind. What is told by app is told of the few with most.
 */
import type { ConsumerInfo, JetStreamManager, StreamInfo } from "nats";
import { DELAY_TIERS_S } from "../delivery/delay-tiers.ts";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { every } from "../model/periodic.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { NO_STREAM_METRICS, OTHER_APPS, type StreamMetrics } from "../model/stream-metrics.ts";
import { messageAt, nextMessage } from "./stored-message.ts";
import type { Subjects } from "./subjects.ts";

type RetryFigures = Pick<StreamMetrics, "retriesByTier" | "retriesLateMs">;
type ParkedFigures = Pick<StreamMetrics, "parkedByApp" | "parkedOldestAgeMs">;
type EventFigures = Pick<StreamMetrics, "eventsPending" | "eventsAckPending" | "oldestUnackedAgeMs" | "isOverdue">;

export interface StreamMetricsReader {
  start(): void;
  stop(): void;
  /** As they were read last. */
  figures(): StreamMetrics;
}

const EVERY_MS = 5_000;
const MOST_APPS = 20;

export function createStreamMetrics(manager: JetStreamManager, names: Subjects, clock: Clock, logger: Logger): StreamMetricsReader {
  const { streams } = names;
  let figures = NO_STREAM_METRICS;

  /** When the first message from a sequence on, of a subject where one is given, was stored. */
  const storedAt = async (stream: string, sequence: number, subject?: string): Promise<number | null> => {
    const message = await (subject === undefined ? messageAt(manager, stream, sequence) : nextMessage(manager, stream, subject, sequence));
    return message?.time.getTime() ?? null;
  };

  const ageOf = (storedAtMs: number | null): number => (storedAtMs === null ? 0 : Math.max(0, clock.now() - storedAtMs));

  const readRetries = async (): Promise<RetryFigures> => {
    const depths = new Map<string, number>();
    for await (const consumer of manager.consumers.list(streams.retries)) depths.set(consumer.name, depthOf(consumer));
    const tiers = DELAY_TIERS_S.map((tierS) => ({ tierS, depth: depths.get(names.tierConsumer(tierS)) ?? 0 }));
    const late = await Promise.all(
      tiers.map(async ({ tierS, depth }) => {
        const oldest = depth === 0 ? null : await storedAt(streams.retries, 1, names.tierFilter(tierS));
        return oldest === null ? 0 : clock.now() - oldest - tierS * 1000;
      }),
    );
    return {
      retriesByTier: Object.fromEntries(tiers.map(({ tierS, depth }) => [tierS, depth])),
      retriesLateMs: Math.max(0, ...late),
    };
  };

  const readParked = async (): Promise<ParkedFigures> => {
    const { state } = await manager.streams.info(streams.parked, { subjects_filter: `${names.prefix}.parked.>` });
    const byApp = new Map<string, { messages: number; queues: Set<string> }>();
    for (const [subject, messages] of Object.entries(state.subjects ?? {})) {
      const [, , app = "", installation] = subject.split(".");
      const ofApp = byApp.get(app) ?? { messages: 0, queues: new Set() };
      byApp.set(app, ofApp);
      ofApp.messages += messages;
      // The app's own queue, and those of its installations together.
      ofApp.queues.add(names.parked(app, installation === undefined ? null : "*"));
    }
    const ranked = [...byApp].sort(([, a], [, b]) => b.messages - a.messages);
    const shown = ranked.slice(0, MOST_APPS);
    const other = ranked.slice(MOST_APPS).reduce((sum, [, { messages }]) => sum + messages, 0);
    const ages = await Promise.all(
      shown.map(async ([app, { queues }]) => {
        const oldest = await Promise.all([...queues].map((queue) => storedAt(streams.parked, 1, queue)));
        return [app, Math.max(...oldest.map(ageOf))] as const;
      }),
    );
    return {
      parkedByApp: Object.fromEntries([...shown.map(([app, { messages }]) => [app, messages] as const), [OTHER_APPS, other]]),
      parkedOldestAgeMs: Object.fromEntries(ages),
    };
  };

  const readEvents = async (events: StreamInfo): Promise<EventFigures> => {
    const consumer = await manager.consumers.info(streams.events, names.eventsConsumer);
    const oldest = consumer.ack_floor.stream_seq + 1;
    const isBehind = depthOf(consumer) > 0 && oldest <= events.state.last_seq;
    const oldestUnackedAgeMs = isBehind ? ageOf(await storedAt(streams.events, Math.max(oldest, events.state.first_seq))) : 0;
    const maxAgeMs = events.config.max_age / 1e6;
    return {
      eventsPending: consumer.num_pending,
      eventsAckPending: consumer.num_ack_pending,
      oldestUnackedAgeMs,
      isOverdue: maxAgeMs > 0 && oldestUnackedAgeMs > maxAgeMs / 2,
    };
  };

  const read = async (): Promise<StreamMetrics> => {
    const [events, retries, parked, deadLetters] = await Promise.all(
      [streams.events, streams.retries, streams.parked, streams.deadLetters].map((stream) => manager.streams.info(stream)),
    );
    if (!events || !retries || !parked || !deadLetters) return figures;
    const infos = { retries, parked, "dead-letters": deadLetters };
    const each = (of: (info: StreamInfo) => number): Record<string, number> =>
      Object.fromEntries(Object.entries(infos).map(([stream, info]) => [stream, of(info)]));
    return {
      messages: each(({ state }) => state.messages),
      oldestAgeMs: each(({ state }) => (state.messages === 0 ? 0 : ageOf(epochMsOf(state.first_ts)))),
      ...(await readRetries()),
      ...(await readParked()),
      ...(await readEvents(events)),
    };
  };

  const warn = (before: StreamMetrics): void => {
    const { isOverdue, oldestUnackedAgeMs } = figures;
    if (isOverdue && !before.isOverdue)
      logger.error(
        { stream: streams.events, age_ms: oldestUnackedAgeMs },
        "an unacknowledged event is older than half of the stream's max_age",
      );
  };

  const refresh = async (): Promise<void> => {
    const latest = await read();
    const before = figures;
    figures = latest;
    warn(before);
  };

  const refreshing = every(clock, EVERY_MS, refresh, (error) => logger.debug({ error: messageOf(error) }, "stream metrics can't be read"));

  return {
    start: () => void refreshing.start(),
    stop: refreshing.stop,
    figures: () => figures,
  };
}

function depthOf({ num_pending: pending, num_ack_pending: ackPending }: ConsumerInfo): number {
  return pending + ackPending;
}
