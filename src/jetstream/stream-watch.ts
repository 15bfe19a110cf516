/**
 * Looks once a second whether the streams, the registry bucket and the events consumer are there and can be used. It is the
 * one place that does; nothing on the delivery path asks.
 *
 * W1  What is missing for a while is made again, as a start would make it: an empty stream. What it held is lost, which the log says.
 * W2  A stream that Posthorn makes again goes on with the sequences of the one before, where the server can do that (2.10).
 * W3  A registry bucket that is another one than before, whoever made it, is filled with the records that were known.
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

/** What deliveries depend on in NATS beside the connection; `events` is the stream with its consumer. */
export const NATS_DEPENDENCIES = ["events", "retries", "parked", "dead-letters", "status", "registry"] as const;

export type NatsDependency = (typeof NATS_DEPENDENCIES)[number];

export interface StreamWatch {
  /** Resolves when it has looked for the first time. */
  start(): Promise<void>;
  stop(): void;
  /** Why it can't be used, by what can't; of the last look. */
  problems(): ReadonlyMap<NatsDependency, string>;
}

/** registry/store.ts */
export interface WatchedBucket {
  /** Its bucket is gone: what it knows is not current any more. */
  bucketMissing(): void;
  /** Opens the bucket anew, or makes it, and puts back what is not in it. */
  reopen(): Promise<void>;
}

export interface StreamWatchDependencies {
  readonly manager: JetStreamManager;
  readonly connectionState: Pick<ConnectionState, "up">;
  /** Whether the server can begin a stream with a sequence other than 1 (2.10). */
  readonly canContinueSequences: () => boolean;
  readonly names: Subjects;
  readonly bucket: WatchedBucket;
  readonly clockSkew: Pick<ClockSkew, "observe">;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface StreamWatchOptions {
  /** Of a stream that is made again. */
  readonly replicas: number;
}

const EVERY_MS = 1_000;
/** A person who deletes a stream may be about to make it with settings of their own. */
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
  let stopped = false;

  const watchedAs = (name: NatsDependency, stream: string): Watched => {
    const plan = plans(names).find((other) => other.name === stream) ?? null;
    return { name, stream, plan, created: null, lastSequence: 0, missingSince: null };
  };
  const { streams } = names;
  const registry = watchedAs("registry", names.registryStream);
  const all: readonly Watched[] = [
    watchedAs("events", streams.events),
    watchedAs("retries", streams.retries),
    watchedAs("parked", streams.parked),
    watchedAs("dead-letters", streams.deadLetters),
    watchedAs("status", streams.status),
    registry,
  ];
  /** The bucket is there, and what is known is not put back yet. */
  let mustReopen = false;

  const recreate = async (watched: Watched): Promise<void> => {
    const { stream, plan, lastSequence } = watched;
    if (plan === null) {
      await bucket.reopen();
      watched.created = null;
    } else {
      await addStream(manager, plan, replicas, canContinueSequences() ? lastSequence + 1 : 1);
      logger.error({ stream }, "a stream was missing and has been created again, empty");
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

  const lookAt = async (watched: Watched): Promise<string | null> => {
    try {
      const askedAt = clock.now();
      const info = await unlessNotFound(manager.streams.info(watched.stream));
      if (info === null) return await missing(watched);
      const problem = found(watched, info);
      if (watched === registry && mustReopen) {
        await bucket.reopen();
        mustReopen = false;
      }
      if (watched === registry) await clockSkew.observe(info, askedAt);
      return problem ?? (watched.name === "events" ? await checkConsumer() : null);
    } catch (error) {
      return `stream ${watched.stream}: ${unavailability(error) ?? messageOf(error)}`;
    }
  };

  const look = async (): Promise<void> => {
    if (!connectionState.up) return;
    const seen = await Promise.all(all.map(async (watched) => [watched.name, await lookAt(watched)] as const));
    if (stopped) return;
    const before = problems;
    problems = new Map(seen.flatMap(([name, problem]) => (problem === null ? [] : [[name, problem] as const])));
    for (const [name, problem] of problems)
      if (before.get(name) !== problem) logger.error({ dependency: name, problem }, "NATS is not usable as it is");
    for (const name of before.keys()) if (!problems.has(name)) logger.info({ dependency: name }, "NATS is usable again");
  };

  const looking = every(clock, EVERY_MS, look);

  return {
    start: looking.start,
    stop() {
      stopped = true;
      looking.stop();
    },
    problems: () => problems,
  };
}

/** Only a stream that discards new messages is ever full. */
function limitReached({ config, state }: Pick<StreamInfo, "config" | "state">): string | null {
  if (config.discard !== "new") return null;
  if (config.max_msgs > 0 && state.messages >= config.max_msgs) return `max_msgs: ${config.max_msgs}`;
  // The next message may not fit before the limit itself is reached.
  if (config.max_bytes > 0 && state.bytes >= config.max_bytes) return `max_bytes: ${config.max_bytes}`;
  return null;
}
