/**
 * Checks once a second whether the streams, the registry bucket and the events consumer exist and are usable; every 2.5 s while nothing is
 * stored and nothing is wrong. Nothing on the delivery path does that.
 *
 * WATCH-1  A stream or bucket that is missing for 5 s is recreated, as at a start. A recreated stream is empty: its messages are lost,
 *          which is logged.
 * WATCH-2  A recreated stream continues the sequences of the deleted one, if the server supports that (2.10).
 * WATCH-3  A registry bucket that was recreated, by Posthorn or anybody else, is filled with the known records.
 * WATCH-4  A record is written every 5 s: a server or account without room refuses all writes, and nothing else shows it.
 */
import type { ConsumerInfo, JetStreamManager, StreamInfo } from "nats";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { every } from "../model/periodic.ts";
import type { ClockSkew } from "./clock-skew.ts";
import type { ConnectionState } from "./connection.ts";
import { consumerProblems, eventsConsumer } from "./consumers.ts";
import { unavailability, unlessNotFound } from "./nats-errors.ts";
import { addStream, mismatches, plans, type StreamPlan } from "./streams.ts";
import type { Subjects } from "./subjects.ts";

/** The parts of NATS that deliveries depend on, besides the connection; `events` is the stream with its consumer. */
export const NATS_DEPENDENCIES = ["events", "retries", "parked", "dead-letters", "status", "registry"] as const;

export type NatsDependency = (typeof NATS_DEPENDENCIES)[number];

export interface StreamWatch {
  /** Resolves after the first check. */
  start(): Promise<void>;
  stop(): void;
  /** Dependency → why it is unusable, as of the last check. */
  problems(): ReadonlyMap<NatsDependency, string>;
}

/** registry/store.ts */
export interface WatchedBucket {
  /** The bucket is missing: the known records are not current any more. */
  bucketMissing(): void;
  /** Opens or creates the bucket, and writes the known records that it lacks (WATCH-3). */
  reopen(): Promise<void>;
  putRecord(key: string, value: string): Promise<unknown>;
}

export interface StreamWatchDependencies {
  readonly manager: JetStreamManager;
  readonly connectionState: Pick<ConnectionState, "up">;
  /** Whether the server can create a stream whose first sequence is not 1 (2.10). */
  readonly canContinueSequences: () => boolean;
  readonly names: Subjects;
  readonly bucket: WatchedBucket;
  readonly clockSkew: Pick<ClockSkew, "observe">;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface StreamWatchOptions {
  /** Replicas of a recreated stream. */
  readonly replicas: number;
}

const EVERY_MS = 1_000;
const QUIET_EVERY_MS = 2_500;
const WRITE_EVERY_MS = 5_000;
const WRITE_CHECK_KEY = "write-check";
/** Gives a person who deletes a stream time to create it with other settings. */
const RECREATE_AFTER_MS = 5_000;

interface Watched {
  readonly name: NatsDependency;
  readonly stream: string;
  /** Null: the registry bucket. */
  readonly plan: StreamPlan | null;
  created: string | null;
  lastSequence: number;
  missingSince: number | null;
}

export function createStreamWatch(dependencies: StreamWatchDependencies, { replicas }: StreamWatchOptions): StreamWatch {
  const { manager, connectionState, canContinueSequences, names, bucket, clockSkew, clock, logger } = dependencies;
  let problems: ReadonlyMap<NatsDependency, string> = new Map();
  /** The last check found nothing wrong, and no message that was not there before. */
  let isQuiet = false;
  let stopped = false;

  const registry = watchedAs(names, "registry", names.registryStream);
  const all = [...watchedStreams(names), registry];
  /** The bucket exists, and the known records are not restored yet. */
  let mustReopen = false;
  const checkWritable = createWriteCheck(bucket, clock);

  const recreate = async (watched: Watched): Promise<void> => {
    const { stream, plan, lastSequence } = watched;
    if (plan === null) {
      await bucket.reopen();
      watched.created = null;
    } else {
      await addStream(manager, plan, replicas, canContinueSequences() ? lastSequence + 1 : 1);
      logger.error({ stream }, "missing stream recreated, empty");
    }
    watched.missingSince = null;
  };

  const missing = async (watched: Watched): Promise<string> => {
    watched.missingSince ??= clock.now();
    if (watched === registry) bucket.bucketMissing();
    if (clock.now() - watched.missingSince >= RECREATE_AFTER_MS) await recreate(watched);
    return watched === registry ? `the registry bucket (stream ${watched.stream}) is missing` : `stream ${watched.stream} is missing`;
  };

  const found = (watched: Watched, { created, state, config }: StreamInfo): string | null => {
    if (watched === registry && watched.created !== null && watched.created !== created) mustReopen = true;
    if (watched !== registry && watched.lastSequence !== state.last_seq) isQuiet = false;
    watched.created = created;
    watched.lastSequence = state.last_seq;
    watched.missingSince = null;
    const { plan, stream } = watched;
    const wrong = plan === null ? [] : mismatches(plan, config, names);
    if (wrong.length > 0) return wrong.join("; ");
    const limit = limitReached({ state, config });
    return limit === null ? null : `stream ${stream} is full: ${limit}`;
  };

  const checkConsumer = async (): Promise<string | null> => {
    const settings = eventsConsumer(names);
    const { stream, consumer } = settings;
    const info = await unlessNotFound(manager.consumers.info(stream, consumer));
    if (info === null) return `consumer ${consumer} of ${stream} is missing`;
    const wrong = consumerProblems(settings, info.config);
    if (wrong.length > 0) return wrong.join("; ");
    return (info as ConsumerInfo & { readonly paused?: boolean }).paused === true ? `consumer ${consumer} of ${stream} is paused` : null;
  };

  const check = async (watched: Watched): Promise<string | null> => {
    try {
      const askedAt = clock.now();
      const info = await unlessNotFound(manager.streams.info(watched.stream));
      if (info === null) return await missing(watched);
      const problem = found(watched, info);
      if (watched === registry && mustReopen) {
        await bucket.reopen();
        mustReopen = false;
      }
      if (watched === registry) {
        await clockSkew.observe(info, askedAt);
        await checkWritable();
      }
      return problem ?? (watched.name === "events" ? await checkConsumer() : null);
    } catch (error) {
      return `stream ${watched.stream}: ${unavailability(error) ?? messageOf(error)}`;
    }
  };

  const checkAll = async (): Promise<void> => {
    isQuiet = connectionState.up;
    if (!connectionState.up) return;
    const seen = await Promise.all(all.map(async (watched) => [watched.name, await check(watched)] as const));
    if (stopped) return;
    const before = problems;
    problems = new Map(seen.flatMap(([name, problem]) => (problem === null ? [] : [[name, problem] as const])));
    if (problems.size > 0) isQuiet = false;
    for (const [name, problem] of problems)
      if (before.get(name) !== problem) logger.error({ dependency: name, problem }, "dependency unusable");
    for (const name of before.keys()) if (!problems.has(name)) logger.info({ dependency: name }, "dependency usable again");
  };

  const looking = every(clock, () => (isQuiet ? QUIET_EVERY_MS : EVERY_MS), checkAll);

  return {
    start: looking.start,
    stop() {
      stopped = true;
      looking.stop();
    },
    problems: () => problems,
  };
}

/** WATCH-4. A write that fails is repeated with the next check. */
function createWriteCheck(bucket: Pick<WatchedBucket, "putRecord">, clock: Clock): () => Promise<void> {
  let writtenAt = Number.NEGATIVE_INFINITY;
  return async () => {
    if (clock.now() - writtenAt < WRITE_EVERY_MS) return;
    await bucket.putRecord(WRITE_CHECK_KEY, "{}");
    writtenAt = clock.now();
  };
}

function watchedAs(names: Subjects, name: NatsDependency, stream: string): Watched {
  const plan = plans(names).find((other) => other.name === stream) ?? null;
  return { name, stream, plan, created: null, lastSequence: 0, missingSince: null };
}

function watchedStreams(names: Subjects): readonly Watched[] {
  const { streams } = names;
  return [
    watchedAs(names, "events", streams.events),
    watchedAs(names, "retries", streams.retries),
    watchedAs(names, "parked", streams.parked),
    watchedAs(names, "dead-letters", streams.deadLetters),
    watchedAs(names, "status", streams.status),
  ];
}

/** A stream that discards old messages is never full. */
function limitReached({ config, state }: Pick<StreamInfo, "config" | "state">): string | null {
  if (config.discard !== "new") return null;
  if (config.max_msgs > 0 && state.messages >= config.max_msgs) return `max_msgs: ${config.max_msgs}`;
  // A message may not fit although the limit is not quite reached; that shows when it is published.
  if (config.max_bytes > 0 && state.bytes >= config.max_bytes) return `max_bytes: ${config.max_bytes}`;
  return null;
}
