/** The status of integrations and circuits: its records, its events, the health rule, and the request log that feeds it. */
import { createStatusPublisher } from "../jetstream/status-publisher.ts";
import { countBySubject } from "../jetstream/subject-counts.ts";
import type { StatusEvent } from "../model/status-event.ts";
import type { OutboxMembers } from "../model/stored-records.ts";
import { CIRCUITS } from "../registry/record-kinds.ts";
import { createHealthWatch } from "../status/health-watch.ts";
import { createInstallationStates } from "../status/installation-states.ts";
import { createIntegrationStatus } from "../status/integration-status.ts";
import { createOutbox } from "../status/outbox.ts";
import { createOutboxRelay } from "../status/outbox-relay.ts";
import type { StatusRecords } from "../status/ports.ts";
import { createHealthStore } from "../storage/health-store.ts";
import { createRedisHealth } from "../storage/redis-health.ts";
import { createRequestLog } from "../storage/request-log.ts";
import type { Foundation } from "./foundation.ts";
import type { LatePorts } from "./late-ports.ts";
import type { RegistryParts } from "./wire-registry.ts";
import type { StreamParts } from "./wire-streams.ts";
import type { TelemetryParts } from "./wire-telemetry.ts";

export type StatusParts = ReturnType<typeof wireStatus>;

export function wireStatus(given: Foundation & StreamParts & RegistryParts & TelemetryParts & LatePorts) {
  const { config, redis, jetStream, manager, names, registryStore, installationRecords, index, tracing, dashboardUrl, clock, logger } =
    given;
  const { updateProbe, wakeQueues } = given;
  const stream = createStatusPublisher(jetStream, manager, names);
  const outboxOf = <R extends OutboxMembers<StatusEvent>>(records: StatusRecords<R>) =>
    createOutbox<R, StatusEvent>({ records, stream, clock, logger });
  const outbox = outboxOf(installationRecords);
  const circuitOutbox = outboxOf(registryStore.recordsOf(CIRCUITS));
  const healthStore = createHealthStore(redis, clock.now);
  const integrationStatus = createIntegrationStatus(
    {
      ...{ records: installationRecords, outbox, health: healthStore, clock },
      async parkedFor(uuid) {
        const installation = index.installation(uuid);
        if (installation === undefined) return 0;
        const subject = names.parked(installation.app, uuid);
        return (await countBySubject(manager, names.streams.parked, subject)).get(subject) ?? 0;
      },
      webhookUrlOf(uuid) {
        const installation = index.installation(uuid);
        return installation?.webhookUrl ?? (installation && index.app(installation.app)?.webhookUrl) ?? "";
      },
    },
    { prefix: config.subjectPrefix, dashboardUrl },
  );
  const healthWatch = createHealthWatch(
    {
      ...{ health: healthStore, status: integrationStatus, clock, logger },
      isActive: (uuid) => index.installation(uuid)?.status === "active",
    },
    {
      windowDays: config.brokenWindow,
      timeouts: config.brokenTimeouts,
      rules: new Set(config.brokenRules),
      calmMs: config.brokenAction === "deliver" ? config.brokenProbeInterval : null,
    },
  );
  const installationStates = createInstallationStates((uuid, before, after) => {
    updateProbe(uuid, after?.broken?.probedAt ?? null);
    if (before?.status !== after?.status) wakeQueues("status", index.installation(uuid)?.app ?? null, uuid);
  });
  const requestLog = createRequestLog(
    { redis, clock, logger, onFailuresWritten: healthWatch.failuresWritten, onLateBatch: tracing.lateBatch },
    {
      size: config.requestLogSize,
      listTtlMs: config.requestLogTtl,
      bufferRows: config.logBufferRows,
      keepsDelivered: config.logDeliveredBodies,
      recoveredAt: (uuid) => installationStates.of(uuid)?.recoveredAt ?? 0,
    },
  );
  return {
    outboxRelay: createOutboxRelay(outbox, clock, logger),
    circuitOutbox,
    circuitOutboxRelay: createOutboxRelay(circuitOutbox, clock, logger),
    healthStore,
    integrationStatus,
    healthWatch,
    installationStates,
    redisHealth: createRedisHealth(redis, clock, logger),
    requestLog,
  };
}
