/** Replays: their records, their runner, and what the API needs of them. */
import { randomUUID } from "node:crypto";
import { createReplay } from "../dead-letters/replay.ts";
import { subjectState } from "../jetstream/subject-counts.ts";
import type { RecordKind } from "../model/record-kind.ts";
import { DEAD_LETTER_REPLAYS, type DeadLetterReplay } from "../replays/dead-letter-replay-record.ts";
import { createDeadLetterReplays, createRunDeadLetterReplay } from "../replays/dead-letter-replays.ts";
import { createFindDeliveries } from "../replays/find-deliveries.ts";
import { createHandledUpTo } from "../replays/handled-events.ts";
import { REPLAYS, type ReplayRecord } from "../replays/replay-record.ts";
import { createReplayRunner } from "../replays/replay-runner.ts";
import { createReplaySpans } from "../replays/replay-spans.ts";
import { createReplayStore, type ReplayStore } from "../replays/replay-store.ts";
import { createReplays } from "../replays/replays.ts";
import { createRunReplay } from "../replays/run-replay.ts";
import { createScanEvents } from "../replays/scan-events.ts";
import { createSend } from "../replays/send.ts";
import { createReplayLookup } from "../storage/replay-lookup.ts";
import type { Foundation } from "./foundation.ts";
import type { CircuitParts } from "./wire-circuits.ts";
import type { DeliveryParts } from "./wire-delivery.ts";
import type { RegistryParts } from "./wire-registry.ts";
import type { StatusParts } from "./wire-status.ts";
import type { StreamParts } from "./wire-streams.ts";
import type { SubscriberParts } from "./wire-subscribers.ts";
import type { TelemetryParts } from "./wire-telemetry.ts";
import type { ThrottleParts } from "./wire-throttles.ts";

type Given = Foundation &
  StreamParts &
  RegistryParts &
  TelemetryParts &
  StatusParts &
  CircuitParts &
  ThrottleParts &
  DeliveryParts &
  SubscriberParts;

/** Records of ended replays are kept this long; their counts in Redis are kept longer. */
const KEPT_MS = 7 * 86_400_000;
const DEAD_LETTER_REPLAYS_KEPT_MS = 86_400_000;

export type ReplayParts = ReturnType<typeof wireReplays>;

export function wireReplays(given: Given) {
  const { config, redis, nats, manager, names, index, registryStore, redisHealth, queueOwner, deadLetters, clock, logger } = given;
  const storeOf = <R extends { readonly id: string }>(kind: RecordKind<R>): ReplayStore<R> => {
    const store = createReplayStore(registryStore, kind);
    registryStore.onRecord(kind, store.observe);
    registryStore.onReopen(store.forgetRevisions);
    return store;
  };
  const store = storeOf(REPLAYS);
  const deadLetterStore = storeOf(DEAD_LETTER_REPLAYS);
  const lookup = createReplayLookup({ redis, now: clock.now, problem: redisHealth.problem }, { dedupTtlMs: config.dedupTtl });

  const nothingWaits = async (app: string): Promise<boolean> => {
    const filters = [
      [names.streams.retries, names.retriesFilter(app)],
      ...names.parkedFilters(app).map((filter) => [names.streams.parked, filter]),
    ] as const;
    const counts = await Promise.all(filters.map(([stream = "", filter = ""]) => subjectState(manager, stream, filter)));
    return counts.every(({ count }) => count === 0);
  };

  const runReplay = createRunReplay({
    ...{ lookup, nothingWaits, clock, logger },
    scanEvents: createScanEvents({ connection: nats, manager, names, match: index.match }),
    listDeadLetters: ({ app, installation_uuid: installationUuid }, after, limit) =>
      deadLetters.list({ app, installationUuid, ownOnly: true }, after, limit),
    removeDeadLetter: deadLetters.remove,
    findDeliveries: createFindDeliveries({
      lookup,
      at: given.findInStreams.at,
      app: index.app,
      match: index.match,
      now: clock.now,
      dedupTtlMs: config.dedupTtl,
    }),
    handledUpTo: createHandledUpTo({ connection: nats, manager, names, readByOwner: queueOwner.readUpTo }),
    send: createSend({ ...given, takeRoom: given.share.take }),
  });
  const replayDeadLetters = createReplay({ ...given, streams: given.answeringStreams, match: index.match });
  const owner = { isOwner: queueOwner.isOwner, isHeld: queueOwner.isHeld };
  const runners = [
    createReplayRunner({
      ...{ ...given, ...owner, store, runReplay, keptMs: KEPT_MS, countsOf: ({ counts }: ReplayRecord) => counts },
      // Another app may have taken the slug.
      moot: ({ app, app_created_at }: ReplayRecord) =>
        index.app(app)?.createdAt === app_created_at ? null : { error: `app ${app} was deleted`, waiting_for: null },
    }),
    createReplayRunner({
      ...{ ...given, ...owner, store: deadLetterStore, moot: () => null, keptMs: DEAD_LETTER_REPLAYS_KEPT_MS },
      runReplay: createRunDeadLetterReplay(replayDeadLetters.all, clock),
      countsOf: ({ matched, replayed, skipped }: DeadLetterReplay) => ({ matched, replayed, skipped }),
    }),
  ];
  return {
    replayRunner: {
      start() {
        for (const runner of runners) runner.start();
      },
      stop: () => Promise.all(runners.map((runner) => runner.stop())),
    },
    replayDeadLetters,
    deadLetterReplays: createDeadLetterReplays({
      store: deadLetterStore,
      lastSequence: deadLetters.lastSequence,
      newId: randomUUID,
      clock,
    }),
    replays: createReplays({
      ...{ store, lookup, registry: index, clock },
      spans: createReplaySpans(manager, names, clock.now),
      newId: () => randomUUID().replaceAll("-", ""),
    }),
  };
}
