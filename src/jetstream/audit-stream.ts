/** The audit stream. It is created when it is first needed, and is no condition of readiness. */
import { type JetStreamManager, type NatsConnection, RetentionPolicy } from "nats";
import { unlessNotFound } from "./nats-errors.ts";
import { orUnreachable } from "./or-unreachable.ts";
import type { PipelinedPublish } from "./pipelined-publish.ts";
import { type BackwardsPage, readBackwards } from "./read-newest.ts";
import type { StreamMessage } from "./read-stream.ts";
import { addStream } from "./streams.ts";
import type { Subjects } from "./subjects.ts";

const MAX_AGE_MS = 400 * 86_400_000;

export interface AuditStream {
  /** @param app null: of no app. @throws when it is not stored in time */
  append(app: string | null, id: string, json: string): Promise<void>;
  /** Newest first. @param app null: all. @param before only lower sequences @throws AppError NATS_UNREACHABLE */
  list<T>(app: string | null, before: number | null, limit: number, take: (message: StreamMessage) => T | null): Promise<BackwardsPage<T>>;
}

export interface AuditStreamDependencies {
  readonly nats: NatsConnection;
  readonly manager: JetStreamManager;
  readonly publish: PipelinedPublish;
  readonly names: Subjects;
}

export function createAuditStream({ nats, manager, publish, names }: AuditStreamDependencies, replicas: number): AuditStream {
  const { name, subjects } = names.audit;
  const ensure = async (): Promise<void> => {
    if ((await unlessNotFound(manager.streams.info(name))) !== null) return;
    await addStream(manager, { name, subjects: [...subjects], retention: RetentionPolicy.Limits, maxAgeMs: MAX_AGE_MS }, replicas);
  };
  let ensured: Promise<void> | undefined;

  return {
    async append(app, id, json) {
      try {
        ensured ??= ensure();
        await ensured;
        await publish({ subject: names.audit.subject(app), body: json, headers: { "Nats-Msg-Id": id } });
      } catch (error) {
        // It may have been deleted.
        ensured = undefined;
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
