/**
 * Changes of an integration's status that Posthorn makes by itself (it broke, a probe found it recovered) are entries of the audit log.
 * Those of a person are recorded with the call.
 *
 * AUDIT-3  The entry is stored before the status event, which is published until it is stored, by another replica if need be. Its id is
 *          the event's, so that it is stored once.
 */
import type { StatusEvent } from "../model/status-event.ts";
import type { AuditLog, Change } from "./audit-log.ts";

/** The name under which Posthorn makes changes by itself. */
const POSTHORN = "posthorn";

interface StatusPublisher {
  publish(event: StatusEvent): Promise<void>;
}

export function createAuditedStatus<S extends StatusPublisher>(stream: S, log: Pick<AuditLog, "record">): S {
  return {
    ...stream,
    async publish(event: StatusEvent) {
      const change = automaticChange(event);
      if (change !== null) await log.record(change, { id: `status-${event.id}`, at: event.time });
      await stream.publish(event);
    },
  };
}

function automaticChange(event: StatusEvent): Change | null {
  const isRecovery = event.type === "integration.recovered" && event.data.reason.by === "probe";
  if (event.type !== "integration.broken" && !isRecovery) return null;
  const { app, installation_uuid: uuid, previous_status: before, status, reason } = event.data;
  return {
    ...{ who: POSTHORN, action: isRecovery ? "recoverInstallation" : "breakInstallation" },
    ...{ app, installation_uuid: uuid, target: `/v1/installations/${uuid}` },
    ...{ before: { status: before }, after: { status, reason } },
  };
}
