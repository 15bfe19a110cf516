/** The status of integrations and circuits: its records, its events, the health rule, and the request log that feeds it. */
import { createAuditedStatus } from "../audit/audited-status.ts";
import { createStatusPublisher } from "../jetstream/status-publisher.ts";
import { subjectState } from "../jetstream/subject-counts.ts";
import type { StatusEvent } from "../model/status-event.ts";
import type { OutboxMembers } from "../model/stored-records.ts";
import { APP_HEALTH, CIRCUITS } from "../registry/record-kinds.ts";
import { createAppHealth } from "../status/app-health.ts";
import { createChangeAppHealth, healthName } from "../status/app-health-store.ts";
import { createHealthWatch } from "../status/health-watch.ts";
import { createInstallationStates } from "../status/installation-states.ts";
import { createIntegrationStatus } from "../status/integration-status.ts";
import { createOutbox } from "../status/outbox.ts";
import { createOutboxRelay } from "../status/outbox-relay.ts";
import type { StatusRecords } from "../status/ports.ts";
import { createSuppressedReports } from "../status/suppressed-events.ts";
import { createEventBudget } from "../storage/event-budget.ts";
import { createHealthStore } from "../storage/health-store.ts";
import { createReadRecentAttempts } from "../storage/recent-attempts.ts";
import { createRedisHealth } from "../storage/redis-health.ts";
import { createRequestLog } from "../storage/request-log.ts";
import type { Foundation } from "./foundation.ts";
import type { LatePorts } from "./late-ports.ts";
import type { RegistryParts } from "./wire-registry.ts";
import type { StreamParts } from "./wire-streams.ts";
import type { TelemetryParts } from "./wire-telemetry.ts";

export type StatusParts = ReturnType<typeof wireStatus>;

/** Another replica that discards the backlog stops when it learns that the installation is active; what it has stored by then is marked. */
const FLOWS_AFTER_MS = 250;

export function wireStatus(given: Foundation & StreamParts & RegistryParts & TelemetryParts & LatePorts) {
  const { config, redis, jetStream, manager, names, registryStore, installationRecords, index, tracing, dashboardUrl, clock, logger } =
    given;
  const { updateProbe, wakeQueues } = given;
  const stream = createStatusPublisher(jetStream, manager, names);
  const outboxOf = <R extends OutboxMembers<StatusEvent>>(records: StatusRecords<R>, nameOf?: (key: string) => string) =>
    createOutbox<R, StatusEvent>({ records, stream, clock, logger, ...(nameOf && { nameOf }) });
  const outbox = createOutbox({ records: installationRecords, stream: createAuditedStatus(stream, given.auditLog), clock, logger });
  const circuitOutbox = outboxOf(registryStore.recordsOf(CIRCUITS));
  const healthOutbox = outboxOf(registryStore.recordsOf(APP_HEALTH), healthName);
  const redisHealth = createRedisHealth(redis, clock, logger);
  const readRecentAttempts = createReadRecentAttempts(redis, given.appCreatedAt, clock, redisHealth.problem);
  const appHealth = createAppHealth({
    recentAttempts: readRecentAttempts,
    change: createChangeAppHealth(healthOutbox, clock, { prefix: config.subjectPrefix, dashboardUrl }),
    isKnown: (app) => index.app(app) !== undefined,
    ...{ clock, logger },
  });
  const eventBudget = createEventBudget(redis, clock.now, redisHealth.problem);
  const healthStore = createHealthStore(redis, clock.now);
  const integrationStatus = createIntegrationStatus(
    {
      ...{ records: installationRecords, outbox, health: healthStore, clock },
      async parkedFor(uuid) {
        const installation = index.installation(uuid);
        if (installation === undefined) return 0;
        return (await subjectState(manager, names.streams.parked, names.parked(installation.app, uuid))).count;
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
    if (before?.status === after?.status) return;
    const wake = (): void => wakeQueues("status", index.installation(uuid)?.app ?? null, uuid);
    if (before !== undefined && after?.status === "active") clock.after(FLOWS_AFTER_MS, wake);
    else wake();
  });
  const requestLog = createRequestLog(
    {
      ...{ redis, clock, logger, onFailuresWritten: healthWatch.failuresWritten, onAttemptsWritten: appHealth.attemptsWritten },
      onLateBatch: tracing.lateBatch,
    },
    {
      size: config.requestLogSize,
      listTtlMs: config.requestLogTtl,
      dedupTtlMs: config.dedupTtl,
      notesTtlMs: config.deliveryNotesTtl,
      bufferRows: config.logBufferRows,
      keepsDelivered: config.logDeliveredBodies,
      recoveredAt: (uuid) => installationStates.of(uuid)?.recoveredAt ?? 0,
    },
  );
  return {
    outboxRelay: createOutboxRelay(outbox, clock, logger),
    outboxOf,
    circuitOutbox,
    circuitOutboxRelay: createOutboxRelay(circuitOutbox, clock, logger),
    healthOutboxRelay: createOutboxRelay(healthOutbox, clock, logger),
    eventBudget,
    suppressedReports: createSuppressedReports(
      { budget: eventBudget, publishOnce: healthOutbox.publishOnce, clock, logger },
      { prefix: config.subjectPrefix, dashboardUrl },
    ),
    appHealth,
    readRecentAttempts,
    healthStore,
    integrationStatus,
    healthWatch,
    installationStates,
    redisHealth,
    requestLog,
  };
}
