/**
 * Metrics of the streams that only the server knows, read every few seconds: depths, ages, and how far the events consumer is behind.
 * Per-app metrics cover the apps with the most messages; the others are summed up.
 */
import type { ConsumerInfo, JetStreamManager, NatsConnection, StreamInfo } from "nats";
import { DELAY_TIERS_S } from "../delivery/delay-tiers.ts";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import { STOPS } from "../model/key-stop.ts";
import type { Logger } from "../model/logger.ts";
import { every } from "../model/periodic.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { NO_STREAM_METRICS, OTHER_APPS, type StreamMetrics } from "../model/stream-metrics.ts";
import { firstMessageOf } from "./read-subject.ts";
import { messageAt } from "./stored-message.ts";
import { countBySubject } from "./subject-counts.ts";
import type { Subjects } from "./subjects.ts";

type RetryMetrics = Pick<StreamMetrics, "retriesByTier" | "retriesLateMs">;
type ParkedMetrics = Pick<StreamMetrics, "parkedByApp" | "parkedOldestAgeMs">;
type EventMetrics = Pick<StreamMetrics, "eventsPending" | "eventsAckPending" | "oldestUnackedAgeMs" | "isOverdue">;

export interface StreamMetricsReader {
  start(): void;
  stop(): void;
  /** The metrics as last read. */
  latest(): StreamMetrics;
}

const EVERY_MS = 5_000;
const MOST_APPS = 20;

export function createStreamMetrics(
  connection: NatsConnection,
  manager: JetStreamManager,
  names: Subjects,
  clock: Clock,
  logger: Logger,
): StreamMetricsReader {
  const { streams } = names;
  let latest = NO_STREAM_METRICS;

  const firstStoredAt = async (stream: string, subject: string): Promise<number | null> =>
    (await firstMessageOf(connection, manager, { stream, subject }))?.time.getTime() ?? null;

  const ageOf = (storedAtMs: number | null): number => (storedAtMs === null ? 0 : Math.max(0, clock.now() - storedAtMs));

  const readRetries = async ({ state }: StreamInfo): Promise<RetryMetrics> => {
    const depths = new Map<string, number>();
    if (state.messages > 0)
      for await (const consumer of manager.consumers.list(streams.retries)) depths.set(consumer.name, depthOf(consumer));
    const tiers = DELAY_TIERS_S.map((tierS) => ({ tierS, depth: depths.get(names.tierConsumer(tierS)) ?? 0 }));
    const late = await Promise.all(
      tiers.map(async ({ tierS, depth }) => {
        const oldest = depth === 0 ? null : await firstStoredAt(streams.retries, names.tierFilter(tierS));
        return oldest === null ? 0 : clock.now() - oldest - tierS * 1000;
      }),
    );
    return {
      retriesByTier: Object.fromEntries(tiers.map(({ tierS, depth }) => [tierS, depth])),
      retriesLateMs: Math.max(0, ...late),
    };
  };

  const readParked = async ({ state }: StreamInfo): Promise<ParkedMetrics> => {
    const counts = state.messages > 0 ? await countBySubject(manager, streams.parked, names.allParked) : new Map<string, number>();
    const byApp = groupByApp(counts, names);
    const ranked = [...byApp].sort(([, a], [, b]) => b.messages - a.messages);
    const shown = ranked.slice(0, MOST_APPS);
    const other = ranked.slice(MOST_APPS).reduce((sum, [, { messages }]) => sum + messages, 0);
    const ages = await Promise.all(
      shown.map(async ([app, { queues }]) => {
        const oldest = await Promise.all([...queues].map((queue) => firstStoredAt(streams.parked, queue)));
        return [app, Math.max(...oldest.map(ageOf))] as const;
      }),
    );
    return {
      parkedByApp: Object.fromEntries([...shown.map(([app, { messages }]) => [app, messages] as const), [OTHER_APPS, other]]),
      parkedOldestAgeMs: Object.fromEntries(ages),
    };
  };

  const readEvents = async (events: StreamInfo): Promise<EventMetrics> => {
    const consumer = await manager.consumers.info(streams.events, names.eventsConsumer);
    const oldest = consumer.ack_floor.stream_seq + 1;
    const isBehind = depthOf(consumer) > 0 && oldest <= events.state.last_seq;
    const unacked = isBehind ? await messageAt(manager, streams.events, Math.max(oldest, events.state.first_seq)) : null;
    const oldestUnackedAgeMs = ageOf(unacked?.time.getTime() ?? null);
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
    if (!events || !retries || !parked || !deadLetters) return latest;
    const infos = { retries, parked, "dead-letters": deadLetters };
    const each = (of: (info: StreamInfo) => number): Record<string, number> =>
      Object.fromEntries(Object.entries(infos).map(([stream, info]) => [stream, of(info)]));
    return {
      messages: each(({ state }) => state.messages),
      oldestAgeMs: each(({ state }) => (state.messages === 0 ? 0 : ageOf(epochMsOf(state.first_ts)))),
      ...(await readRetries(retries)),
      ...(await readParked(parked)),
      ...(await readEvents(events)),
    };
  };

  const refresh = async (): Promise<void> => {
    const before = latest;
    latest = await read();
    if (latest.isOverdue && !before.isOverdue)
      logger.error(
        { stream: streams.events, age_ms: latest.oldestUnackedAgeMs },
        "an unacknowledged event is older than half of the stream's max_age",
      );
  };

  const refreshing = every(clock, EVERY_MS, refresh, (error) => logger.debug({ error: messageOf(error) }, "stream metrics can't be read"));

  return {
    start: () => void refreshing.start(),
    stop: refreshing.stop,
    latest: () => latest,
  };
}

interface AppQueues {
  messages: number;
  /** One pattern for the app's own queue, and one for all queues of its installations. */
  readonly queues: Set<string>;
}

function groupByApp(parked: ReadonlyMap<string, number>, names: Subjects): Map<string, AppQueues> {
  const byApp = new Map<string, AppQueues>();
  for (const [subject, messages] of parked) {
    const { app = "", installationUuid = null } = names.parseParked(subject) ?? {};
    if (installationUuid === STOPS) continue;
    const queues = byApp.get(app) ?? { messages: 0, queues: new Set() };
    byApp.set(app, queues);
    queues.messages += messages;
    queues.queues.add(names.parked(app, installationUuid && "*"));
  }
  return byApp;
}

function depthOf({ num_pending: pending, num_ack_pending: ackPending }: ConsumerInfo): number {
  return pending + ackPending;
}
