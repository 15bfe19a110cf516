/**
 * Makes the streams that are missing and checks those that are there. What Posthorn can't work with stops the start:
 * a work-queue stream that may drop a message by itself would break the one rule of durability.
 */
import { DiscardPolicy, type JetStreamManager, nanos, RetentionPolicy, StorageType, type StreamConfig } from "nats";
import { AppError, messageOf } from "../model/app-error.ts";
import { unavailability, unlessNotFound } from "./nats-errors.ts";
import { CONSUMER_PREFIX, covers, type Subjects } from "./subjects.ts";

const DAY_MS = 86_400_000;
const DUPLICATE_WINDOW_MS = 10 * 60_000;
/** A server's default. Tries of one store are seconds apart, and so are redeliveries of its source. */
const SHORTEST_DUPLICATE_WINDOW_MS = 2 * 60_000;
/** A letter without its body, or a status event, always fits into this. */
const SMALLEST_MESSAGE_LIMIT = 16 * 1024;

export interface StreamPlan {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly retention: RetentionPolicy;
  /** 0: for ever. */
  readonly maxAgeMs: number;
}

export function plans({ streams, filters: subjects }: Subjects): StreamPlan[] {
  const limits = (name: string, of: readonly string[], days: number): StreamPlan => ({
    name,
    subjects: of,
    retention: RetentionPolicy.Limits,
    maxAgeMs: days * DAY_MS,
  });
  const workQueue = (name: string, of: readonly string[]): StreamPlan => ({
    name,
    subjects: of,
    retention: RetentionPolicy.Workqueue,
    maxAgeMs: 0,
  });
  return [
    limits(streams.events, subjects.events, 7),
    workQueue(streams.retries, subjects.retries),
    workQueue(streams.parked, subjects.parked),
    limits(streams.deadLetters, subjects.deadLetters, 30),
    limits(streams.status, subjects.status, 30),
  ];
}

/** @throws AppError STREAM_MISMATCH naming every stream, setting, what was found and what is wanted. */
export async function ensureTopology(manager: JetStreamManager, names: Subjects, replicas: number): Promise<void> {
  const problems: string[] = [];
  for (const plan of plans(names)) {
    const existing = await streamConfig(manager, plan.name);
    if (existing === null) await addStream(manager, plan, replicas);
    else problems.push(...mismatches(plan, existing, names), ...(await consumerMismatches(manager, plan)));
  }
  const bucket = await streamConfig(manager, names.registryStream);
  if (bucket !== null && bucket.max_age > 0) {
    problems.push(`stream ${names.registryStream} (the registry bucket): max_age: found ${bucket.max_age}, wanted 0`);
  }
  if (problems.length > 0) {
    throw new AppError("STREAM_MISMATCH", `Posthorn can't work with these streams:\n${problems.map((line) => `  ${line}`).join("\n")}`);
  }
}

async function streamConfig(manager: JetStreamManager, name: string): Promise<StreamConfig | null> {
  return (await unlessNotFound(manager.streams.info(name)))?.config ?? null;
}

/** @param firstSequence other than 1 only for a server from 2.10 on */
export async function addStream(manager: JetStreamManager, plan: StreamPlan, replicas: number, firstSequence = 1): Promise<void> {
  try {
    const config: Partial<StreamConfig> & { readonly first_seq?: number } = {
      ...(firstSequence > 1 ? { first_seq: firstSequence } : {}),
      name: plan.name,
      subjects: [...plan.subjects],
      retention: plan.retention,
      storage: StorageType.File,
      discard: plan.retention === RetentionPolicy.Workqueue ? DiscardPolicy.New : DiscardPolicy.Old,
      max_age: nanos(plan.maxAgeMs),
      duplicate_window: nanos(DUPLICATE_WINDOW_MS),
      num_replicas: replicas,
    };
    await manager.streams.add(config);
  } catch (error) {
    // Another replica may have made it in the meantime.
    if ((await streamConfig(manager, plan.name)) !== null) return;
    if (unavailability(error) !== null) throw error;
    throw new AppError("STREAM_MISMATCH", `stream ${plan.name} can't be made: ${messageOf(error)}`, { cause: error });
  }
}

/** Members of newer servers' configurations that the library does not know. */
type FoundConfig = StreamConfig & { readonly persist_mode?: string };

/**
 * What a stream may not be. Sizes that refuse are back-pressure, and how long events, dead letters and status events are kept
 * is for whoever runs it; but what was acknowledged has to stay, where Posthorn looks for it, until Posthorn takes it away.
 */
export function mismatches(plan: StreamPlan, found: FoundConfig, { streams }: Subjects): string[] {
  const problems: string[] = [];
  const differs = (setting: string, is: unknown, wanted: string): void => {
    problems.push(`stream ${plan.name}: ${setting}: found ${JSON.stringify(is)}, wanted ${wanted}`);
  };
  if (found.retention !== plan.retention) differs("retention", found.retention, JSON.stringify(plan.retention));
  for (const subject of plan.subjects) {
    if (!found.subjects?.some((pattern) => covers(pattern, subject)))
      differs("subjects", found.subjects ?? [], `one that covers ${subject}`);
  }
  if (found.no_ack) differs("no_ack", true, "false");
  if (found.storage === StorageType.Memory) differs("storage", found.storage, '"file"');
  if (found.persist_mode === "async") differs("persist_mode", found.persist_mode, '"default"');
  if (found.mirror) differs("mirror", found.mirror.name, "none");
  if (found.sealed) differs("sealed", true, "false");
  if (found.duplicate_window < nanos(SHORTEST_DUPLICATE_WINDOW_MS))
    differs("duplicate_window", found.duplicate_window, `${nanos(SHORTEST_DUPLICATE_WINDOW_MS)} or more`);

  // Evicts the oldest of a subject whatever `discard` says, unless it is told to refuse here, too.
  const evicts = found.max_msgs_per_subject > 0 && !(found.discard === DiscardPolicy.New && found.discard_new_per_subject);
  const isWorkQueue = plan.retention === RetentionPolicy.Workqueue;
  if (evicts && (isWorkQueue || plan.name === streams.events))
    differs("max_msgs_per_subject", found.max_msgs_per_subject, '-1, or "discard": "new" with "discard_new_per_subject": true');
  if (isWorkQueue) {
    if (found.max_age > 0) differs("max_age", found.max_age, "0");
    if ((found.max_msgs > 0 || found.max_bytes > 0) && found.discard !== DiscardPolicy.New)
      differs("discard with a limit", found.discard, '"new"');
    // One for each tier or each parked queue, made on demand.
    if (found.max_consumers > 0) differs("max_consumers", found.max_consumers, "-1");
  }
  if (plan.name !== streams.events) {
    const foreign = found.sources?.map(({ name }) => name) ?? [];
    if (foreign.length > 0) differs("sources", foreign, "none");
    if (found.subject_transform) differs("subject_transform", found.subject_transform, "none");
  }
  if (plan.name === streams.parked || plan.name === streams.deadLetters) {
    if (found.deny_delete) differs("deny_delete", true, "false");
  }
  if (plan.name === streams.deadLetters || plan.name === streams.status) {
    if (found.max_msg_size > 0 && found.max_msg_size < SMALLEST_MESSAGE_LIMIT)
      differs("max_msg_size", found.max_msg_size, `-1, or ${SMALLEST_MESSAGE_LIMIT} or more`);
  }
  return problems;
}

/** A work queue hands each message to one consumer: one that is not Posthorn's own, or gives up, keeps messages from it. */
async function consumerMismatches(manager: JetStreamManager, { name: stream, retention }: StreamPlan): Promise<string[]> {
  if (retention !== RetentionPolicy.Workqueue) return [];
  const problems: string[] = [];
  for await (const { name, config } of manager.consumers.list(stream)) {
    if (!name.startsWith(CONSUMER_PREFIX)) {
      problems.push(`consumer ${name} of ${stream}: found one that is not Posthorn's, wanted none beside ${CONSUMER_PREFIX}…`);
    } else if ((config.max_deliver ?? -1) > 0) {
      problems.push(`consumer ${name} of ${stream}: max_deliver: found ${config.max_deliver}, wanted -1`);
    }
  }
  return problems;
}
