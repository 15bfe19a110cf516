/**
 * The audit log: every change is an entry of the audit stream.
 *
 * AUDIT-1  The log neither prevents nor delays a change for longer than a publish may take. An entry that can't be stored is logged as an
 *          error, whole, and published again until it is stored or the process ends.
 * AUDIT-2  An entry is stored once: its id is its message id.
 */
import { randomUUID } from "node:crypto";
import type { AuditStream } from "../jetstream/audit-stream.ts";
import { messageOf } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { every } from "../model/periodic.ts";
import type { AuditEntry } from "./audit-entry.ts";

export type Change = Omit<AuditEntry, "id" | "at">;

export interface AuditLog {
  /** @param known what is known of it already; it gets an id and the time otherwise */
  record(change: Change, known?: Pick<AuditEntry, "id" | "at">): Promise<void>;
  /** Publishes what could not be stored. */
  start(): void;
  /** Tries once more. */
  stop(): Promise<void>;
}

const RETRY_EVERY_MS = 5_000;
/** Beyond this the oldest entry is dropped; the process's log has it. */
const MAX_PENDING = 1_000;

export function createAuditLog(stream: Pick<AuditStream, "append">, clock: Clock, logger: Logger): AuditLog {
  const pending: AuditEntry[] = [];

  const store = (entry: AuditEntry): Promise<void> => stream.append(entry.app, entry.id, JSON.stringify(entry));

  const retry = async (): Promise<void> => {
    for (let [entry] = pending; entry !== undefined; [entry] = pending) {
      await store(entry);
      pending.shift();
    }
  };
  const task = every(clock, RETRY_EVERY_MS, retry, () => {});

  return {
    async record(change, known = { id: randomUUID(), at: toRfc3339(clock.now()) }) {
      const entry: AuditEntry = { ...known, ...change };
      try {
        await store(entry);
      } catch (error) {
        // AUDIT-1
        logger.error({ entry, error: messageOf(error) }, "audit entry not stored yet; the change is made");
        pending.push(entry);
        if (pending.length > MAX_PENDING) pending.shift();
      }
    },
    start: task.startLater,
    async stop() {
      task.stop();
      await retry().catch(() => {});
    },
  };
}
