/** Finds, creates or recreates the durable consumer of a status subscription. */
import { AckPolicy, type ConsumerInfo, DeliverPolicy, ErrorCode, type JetStreamManager, NatsError, nanos } from "nats";
import { createSubjects } from "../jetstream/subjects.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import { concernsApp, type StatusEventType } from "../model/status-event.ts";

export interface StatusFilter {
  readonly changes?: readonly StatusEventType[];
  readonly app?: string;
  readonly installationUuid?: string;
}

export interface StatusConsumerPlan extends StatusFilter {
  readonly subjectPrefix: string;
  readonly name: string;
  readonly isDurable: boolean;
  readonly maxInFlight: number;
}

/** Start of a new consumer; a number is a sequence. */
export type StartAt = "new" | "all" | Date | number;

export const ACK_WAIT_MS = 30_000;
/** The server deletes the consumer of an unnamed subscription after this much inactivity. */
const FORGOTTEN_AFTER_MS = 5 * 60_000;
/** Events waiting for redelivery count as pending acknowledgement; a limit near the number of handlers would block all others. */
const MAX_ACK_PENDING = 10_000;

/** @throws AppError NOT_FOUND when there is no status stream */
export async function ensureStatusConsumer(manager: JetStreamManager, plan: StatusConsumerPlan, startAt: StartAt): Promise<ConsumerInfo> {
  const stream = createSubjects(plan.subjectPrefix).streams.status;
  const wanted = { filter_subject: filterSubject(plan), max_ack_pending: plan.maxInFlight === 1 ? 1 : MAX_ACK_PENDING };
  try {
    const found = await manager.consumers.info(stream, plan.name);
    const { filter_subject: filter, max_ack_pending: most } = found.config;
    if (filter === wanted.filter_subject && most === wanted.max_ack_pending) return found;
    return await manager.consumers.update(stream, plan.name, { ...found.config, ...wanted }).catch((error: unknown) => {
      throw isNotAllowed(error) ? notAllowed(error, plan, wanted, `has ${settings(found.config)}`) : error;
    });
  } catch (error) {
    if (!(error instanceof NatsError) || error.api_error?.code !== 404) throw error;
  }
  try {
    return await manager.consumers.add(stream, {
      ...wanted,
      durable_name: plan.name,
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(ACK_WAIT_MS),
      max_deliver: -1,
      ...(plan.isDurable ? {} : { inactive_threshold: nanos(FORGOTTEN_AFTER_MS) }),
      ...beginning(startAt),
    });
  } catch (error) {
    if (isNotAllowed(error)) throw notAllowed(error, plan, wanted, "does not exist");
    const why = `was Posthorn started with the prefix ${JSON.stringify(plan.subjectPrefix)}? (${messageOf(error)})`;
    throw new AppError("NOT_FOUND", `can't follow ${stream}: ${why}`, { retryable: true, cause: error });
  }
}

interface Wanted {
  readonly filter_subject?: string | undefined;
  readonly max_ack_pending?: number | undefined;
}

const settings = ({ filter_subject: filter, max_ack_pending: most }: Wanted): string => `filter ${filter} and max_ack_pending ${most}`;

function isNotAllowed(error: unknown): boolean {
  return error instanceof NatsError && (error.isPermissionError() || error.code === ErrorCode.NoResponders);
}

/** A reading account may lack the permission to create consumers, since a consumer can publish to any subject. */
function notAllowed(cause: unknown, { subjectPrefix, name }: StatusConsumerPlan, wanted: Wanted, found: string): AppError {
  const what = `consumer ${name} of ${createSubjects(subjectPrefix).streams.status} ${found}, wanted ${settings(wanted)}`;
  return new AppError("NOT_FOUND", `${what}; this account may not create or change it; ask an operator`, { retryable: true, cause });
}

/** The start of a consumer that replaces this one: everything before it is acknowledged. */
export function firstOpen({ ack_floor: acknowledged, delivered, config, created }: ConsumerInfo): StartAt {
  if (acknowledged.consumer_seq > 0) return acknowledged.stream_seq + 1;
  // Servers before 2.10 report 0 until the first acknowledgement, wherever the consumer starts.
  if (delivered.consumer_seq === 0) return delivered.stream_seq + 1;
  if (config.opt_start_seq !== undefined) return config.opt_start_seq;
  if (config.opt_start_time !== undefined) return new Date(config.opt_start_time);
  return config.deliver_policy === DeliverPolicy.New ? new Date(created) : "all";
}

function beginning(startAt: StartAt): object {
  if (typeof startAt === "number") return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: startAt };
  if (startAt instanceof Date) return { deliver_policy: DeliverPolicy.StartTime, opt_start_time: startAt.toISOString() };
  return { deliver_policy: startAt === "all" ? DeliverPolicy.All : DeliverPolicy.New };
}

/** A single subject, as servers before 2.10 accept only one; the subscription filters the rest. */
export function filterSubject({
  subjectPrefix: prefix,
  changes,
  app = "*",
  installationUuid,
}: StatusFilter & Pick<StatusConsumerPlan, "subjectPrefix">): string {
  const subjects = createSubjects(prefix);
  const type = changes?.length === 1 ? (changes[0] ?? "*.*") : "*.*";
  if (installationUuid !== undefined) return subjects.status(type, app, installationUuid);
  return type === "*.*" ? subjects.allStatus : subjects.status(type, app, concernsApp(type) ? null : "*");
}
