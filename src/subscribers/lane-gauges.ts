/**
 * Figures about the lanes that only the server knows, asked for every few seconds: depths and ages, how far the events
 * consumer is behind, and the skew between this clock and the server's. What is told by app is told of the few with most.
 */
import type { ConsumerInfo, JetStreamManager, StreamInfo } from "nats";
import { RUNGS_S } from "../delivery/rungs.ts";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import { type LaneFigures, NO_FIGURES, OTHER_APPS } from "../model/lane-figures.ts";
import type { Logger } from "../model/logger.ts";
import type { BusNames } from "./names.ts";
import { messageAt, nextMessage } from "./stored-message.ts";

type RetryFigures = Pick<LaneFigures, "retriesByRung" | "retriesLateMs">;
type ParkedFigures = Pick<LaneFigures, "parkedByApp" | "parkedOldestAgeMs">;
type EventFigures = Pick<LaneFigures, "eventsPending" | "eventsAckPending" | "oldestUnackedAgeMs" | "isOverdue" | "clockSkewMs">;

export interface LaneGauges {
  start(): void;
  stop(): void;
  /** As they were read last. */
  figures(): LaneFigures;
}

const EVERY_MS = 5_000;
/** Receivers refuse signatures whose timestamp is minutes off. */
const SKEW_WARNING_MS = 1_000;
const MOST_APPS = 20;

export function createLaneGauges(manager: JetStreamManager, names: BusNames, clock: Clock, wallClock: Clock, logger: Logger): LaneGauges {
  const { streams } = names;
  let figures = NO_FIGURES;
  let cancel = (): void => {};
  let stopped = false;

  /** When the first message from a sequence on, of a subject where one is given, was stored. */
  const storedAt = async (stream: string, sequence: number, subject?: string): Promise<number | null> => {
    const message = await (subject === undefined ? messageAt(manager, stream, sequence) : nextMessage(manager, stream, subject, sequence));
    return message?.time.getTime() ?? null;
  };

  const ageOf = (storedAtMs: number | null): number => (storedAtMs === null ? 0 : Math.max(0, clock.now() - storedAtMs));

  const readRetries = async (): Promise<RetryFigures> => {
    const depths = new Map<string, number>();
    for await (const consumer of manager.consumers.list(streams.retries)) depths.set(consumer.name, depthOf(consumer));
    const rungs = RUNGS_S.map((rungS) => ({ rungS, depth: depths.get(names.rungConsumer(rungS)) ?? 0 }));
    const late = await Promise.all(
      rungs.map(async ({ rungS, depth }) => {
        const oldest = depth === 0 ? null : await storedAt(streams.retries, 1, names.rungFilter(rungS));
        return oldest === null ? 0 : clock.now() - oldest - rungS * 1000;
      }),
    );
    return {
      retriesByRung: Object.fromEntries(rungs.map(({ rungS, depth }) => [rungS, depth])),
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
    const before = wallClock.now();
    const consumer = await manager.consumers.info(streams.events, names.eventsConsumer);
    const serverNow = Date.parse((consumer as unknown as { ts?: string }).ts ?? "");
    const oldest = consumer.ack_floor.stream_seq + 1;
    const isBehind = depthOf(consumer) > 0 && oldest <= events.state.last_seq;
    const oldestUnackedAgeMs = isBehind ? ageOf(await storedAt(streams.events, Math.max(oldest, events.state.first_seq))) : 0;
    const maxAgeMs = events.config.max_age / 1e6;
    return {
      eventsPending: consumer.num_pending,
      eventsAckPending: consumer.num_ack_pending,
      oldestUnackedAgeMs,
      isOverdue: maxAgeMs > 0 && oldestUnackedAgeMs > maxAgeMs / 2,
      clockSkewMs: Number.isNaN(serverNow) ? figures.clockSkewMs : Math.round((before + wallClock.now()) / 2 - serverNow),
    };
  };

  const read = async (): Promise<LaneFigures> => {
    const [events, retries, parked, deadLetters] = await Promise.all(
      [streams.events, streams.retries, streams.parked, streams.deadLetters].map((stream) => manager.streams.info(stream)),
    );
    if (!events || !retries || !parked || !deadLetters) return figures;
    const lanes = { retries, parked, "dead-letters": deadLetters };
    const each = (of: (info: StreamInfo) => number): Record<string, number> =>
      Object.fromEntries(Object.entries(lanes).map(([lane, info]) => [lane, of(info)]));
    return {
      messages: each(({ state }) => state.messages),
      oldestAgeMs: each(({ state }) => (state.messages === 0 ? 0 : ageOf(Date.parse(state.first_ts)))),
      ...(await readRetries()),
      ...(await readParked()),
      ...(await readEvents(events)),
    };
  };

  const warn = (before: LaneFigures): void => {
    const { isOverdue, oldestUnackedAgeMs, clockSkewMs } = figures;
    if (isOverdue && !before.isOverdue)
      logger.error(
        { stream: streams.events, age_ms: oldestUnackedAgeMs },
        "an unacknowledged event is older than half of the stream's max_age",
      );
    const isSkewed = (skewMs: number): boolean => Math.abs(skewMs) > SKEW_WARNING_MS;
    if (isSkewed(clockSkewMs) && !isSkewed(before.clockSkewMs))
      logger.warn(
        { clock_skew_ms: clockSkewMs },
        "this machine's clock and the NATS server's differ; the timestamps of webhooks are off by as much",
      );
  };

  const tick = (): void => {
    read()
      .then((latest) => {
        const before = figures;
        figures = latest;
        warn(before);
      })
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
    figures: () => figures,
  };
}

function depthOf({ num_pending: pending, num_ack_pending: ackPending }: ConsumerInfo): number {
  return pending + ackPending;
}
