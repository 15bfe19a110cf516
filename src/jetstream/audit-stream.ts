/** The audit stream. It is created when it is first needed, and is no condition of readiness. */
import { type JetStreamClient, type JetStreamManager, type NatsConnection, RetentionPolicy } from "nats";
import { unlessNotFound } from "./nats-errors.ts";
import { orUnreachable } from "./or-unreachable.ts";
import { type BackwardsPage, readBackwards } from "./read-newest.ts";
import type { StreamMessage } from "./read-stream.ts";
import { addStream } from "./streams.ts";
import type { Subjects } from "./subjects.ts";

const MAX_AGE_MS = 400 * 86_400_000;
const TIMEOUT_MS = 3_000;

export interface AuditStream {
  /** @param app null: of no app. @throws when it is not stored within 3 s */
  append(app: string | null, id: string, json: string): Promise<void>;
  /** Newest first. @param app null: all. @param before only lower sequences @throws AppError NATS_UNREACHABLE */
  list<T>(app: string | null, before: number | null, limit: number, take: (message: StreamMessage) => T | null): Promise<BackwardsPage<T>>;
}

export interface AuditStreamDependencies {
  readonly nats: NatsConnection;
  readonly manager: JetStreamManager;
  readonly jetStream: JetStreamClient;
  readonly names: Subjects;
}

export function createAuditStream({ nats, manager, jetStream, names }: AuditStreamDependencies, replicas: number): AuditStream {
  const { name, subjects } = names.audit;
  const ensure = async (): Promise<void> => {
    if ((await unlessNotFound(manager.streams.info(name))) !== null) return;
    await addStream(manager, { name, subjects: [...subjects], retention: RetentionPolicy.Limits, maxAgeMs: MAX_AGE_MS }, replicas);
  };
  let isEnsured = false;

  return {
    async append(app, id, json) {
      try {
        if (!isEnsured) await ensure();
        isEnsured = true;
        await jetStream.publish(names.audit.subject(app), json, { msgID: id, timeout: TIMEOUT_MS });
      } catch (error) {
        // It may have been deleted.
        isEnsured = false;
        throw error;
      }
    },
    async list(app, before, limit, take) {
      const query = { stream: name, subjects: [names.audit.filter(app)], before, limit, take };
      await orUnreachable(ensure());
      return orUnreachable(readBackwards(nats, manager, query));
    },
  };
}
