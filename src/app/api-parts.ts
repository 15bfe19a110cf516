/** The larger parts behind the API's routes: explain, the overview, the health query and changes of status. */

import type { Readiness } from "../api/ports.ts";
import { isReady } from "../api/routes/operations.ts";
import type { DeadLetters } from "../dead-letters/dead-letters.ts";
import { createDiscardBacklog } from "../dead-letters/discard.ts";
import { createOwnDeadLetters } from "../dead-letters/own-dead-letters.ts";
import { createExplain } from "../explain/explain.ts";
import { createReadStoredDeliveries } from "../explain/stored-deliveries.ts";
import { createListStoredEvents } from "../jetstream/list-stored-events.ts";
import { createNatsServer } from "../jetstream/nats-server.ts";
import { orUnreachable } from "../jetstream/or-unreachable.ts";
import { createQueueSpan } from "../jetstream/queue-span.ts";
import type { createStatusHistory } from "../jetstream/status-history.ts";
import { createStoredEvents } from "../jetstream/stored-events.ts";
import { createReadStreamStates } from "../jetstream/stream-states.ts";
import { createSubjectCounts } from "../jetstream/subject-counts.ts";
import { mayStopKeys } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import type { InstallationRecord } from "../model/stored-records.ts";
import { createLiveOverview } from "../overview/live-overview.ts";
import { createReadOverview, OWNER_SILENT } from "../overview/read-overview.ts";
import { createReadSystem } from "../overview/read-system.ts";
import { createVolumes } from "../overview/volumes.ts";
import { installationKey } from "../registry/record-kinds.ts";
import { checkPrecondition, installationTag, type Precondition } from "../registry/record-tag.ts";
import { createHealthQuery } from "../status/integration-health.ts";
import { createReadRecentRows } from "../storage/recent-rows.ts";
import { createRedisServers } from "../storage/redis-servers.ts";
import { createRequestLogQuery } from "../storage/request-log-query.ts";
import { createStatsQuery } from "../storage/stats-query.ts";
import type { Foundation } from "./foundation.ts";
import type { CircuitParts } from "./wire-circuits.ts";
import type { DeliveryParts } from "./wire-delivery.ts";
import type { RegistryParts } from "./wire-registry.ts";
import type { ReplayParts } from "./wire-replays.ts";
import type { StatusParts } from "./wire-status.ts";
import type { StreamParts } from "./wire-streams.ts";
import type { SubscriberParts } from "./wire-subscribers.ts";
import type { TelemetryParts } from "./wire-telemetry.ts";
import type { ThrottleParts } from "./wire-throttles.ts";

export type ApiGiven = Foundation &
  StreamParts &
  RegistryParts &
  TelemetryParts &
  StatusParts &
  CircuitParts &
  ThrottleParts &
  DeliveryParts &
  SubscriberParts &
  ReplayParts & { readonly readiness: Readiness };

export function explainParts(given: ApiGiven) {
  const {
    config,
    redis,
    nats,
    manager,
    names,
    index,
    registry,
    appCreatedAt,
    redisHealth,
    circuits,
    throttles,
    paceOf,
    maxInFlightOf,
    backlog,
    lookup,
    findInStreams,
    clock,
    logger,
  } = given;
  const queryRequestLog = createRequestLogQuery({
    ...{ redis, appCreatedAt, listSize: config.requestLogSize, problem: redisHealth.problem },
    organizationOf: (uuid) => index.installation(uuid)?.organizationId,
    onUnreadable: (problem) => logger.error({ problem }, "part of the request log can't be read"),
  });
  const storedEvents = createStoredEvents(nats, manager, names, clock);
  const sources = {
    queryRequestLog,
    lookup,
    events: storedEvents,
    streams: findInStreams,
    circuitOf: circuits.stateOf,
    throttleOf: throttles.of,
    ...{ stoppedApps: given.askOrder.stops, stopOf: given.askOrder.stopOf },
    ...{ paceOf, maxInFlightOf },
    queueSpan: createQueueSpan(nats, manager, names),
    oldestParked: (queue: Parameters<typeof backlog.first>[0]) => orUnreachable(backlog.first(queue)),
  };
  const explain = createExplain(
    {
      ...{ registry, index, sources, clock, queryRequestLog },
      readRecentRows: createReadRecentRows({
        ...{ redis, appCreatedAt, apps: index.apps, listSize: config.requestLogSize, problem: redisHealth.problem },
      }),
      readStored: createReadStoredDeliveries(nats, manager, names),
      listStored: createListStoredEvents(nats, manager, names),
    },
    {
      eventsStream: names.streams.events,
      maxParkedAgeMs: config.maxParkedAge,
      probeIntervalMs: config.brokenProbeInterval,
      brokenAction: config.brokenAction,
    },
  );
  return { explain, queryRequestLog, storedEvents };
}

/** Each replica says the paces of so many apps to the others. */
const MOST_PACES = 100;

export function overviewParts(
  given: ApiGiven,
  { statusHistory, deadLetters }: { statusHistory: ReturnType<typeof createStatusHistory>; deadLetters: DeadLetters },
) {
  const { nats, redis, manager, names, index, appCreatedAt, redisHealth, circuits, throttles, connectionState, clock } = given;
  const stats = createStatsQuery(redis, appCreatedAt, redisHealth.problem);
  const readOverview = createReadOverview({
    index,
    circuitOf: circuits.stateOf,
    throttleOf: throttles.of,
    keyStops: given.askOrder.stops,
    paceOf: given.paceOf,
    async oldestInAppQueue(app) {
      const oldest = await given.backlog.first({ app: app.slug, installationUuid: null });
      if (oldest === null || !mayStopKeys(app)) return oldest && { ...oldest, isStopped: false };
      const { delivery, source } = oldest;
      const found = await given.askOrder.stopOf({ delivery, stream: "parked", sequence: source.sequence }, app.orderBy);
      if (found === null) throw OWNER_SILENT;
      return { ...oldest, isStopped: found.stop !== null };
    },
    maxInFlightOf: given.maxInFlightOf,
    failingSince: given.appHealth.failingSince,
    recentAttempts: given.readRecentAttempts,
    volumes: createVolumes(stats, clock),
    subjectCounts: createSubjectCounts(manager, names),
    isBusUp: () => connectionState.up,
    clock,
  });
  const countOwnDeadLetters = createOwnDeadLetters({ connection: nats, manager, names, isOwn: deadLetters.isOwn, appCreatedAt });
  const liveOverview = createLiveOverview({
    ...{ readOverview, statusHistory, onReconnect: connectionState.onReconnect },
    ...{ appCreatedAt, countOwnDeadLetters, clock },
  });
  given.replicas.reportLoad(() => ({
    inFlight: given.bulkhead.inFlight(),
    waiting: given.bulkhead.waiting(),
    isReady: isReady(given.readiness.checks()),
    paces: Object.fromEntries([...given.turns.paces()].slice(0, MOST_PACES)),
  }));
  const natsServer = createNatsServer(nats, connectionState, clock);
  const redisServers = createRedisServers(redis, clock);
  const readSystem = createReadSystem({
    ...{ readOverview, replicas: given.replicas, streamMetrics: given.streamMetrics, clock },
    readStreams: createReadStreamStates(manager, names),
    readServers: async () => [natsServer(), ...(await redisServers())],
    refusing: given.deliveryStreams.refusing,
    checks: given.readiness.checks,
  });
  return { stats, readOverview, readSystem, countOwnDeadLetters, liveOverview };
}

export function healthQueryOf({ config, installationRecords, healthStore, backlog, clock }: ApiGiven) {
  return createHealthQuery(
    {
      ...{ records: installationRecords, health: healthStore, clock },
      parkedCount: (app, installationUuid) => orUnreachable(backlog.count({ app, installationUuid })),
      oldestParked: (app, installationUuid) => orUnreachable(backlog.first({ app, installationUuid })),
    },
    {
      windowDays: config.brokenWindow,
      probeIntervalMs: config.brokenAction === "park" ? config.brokenProbeInterval : null,
    },
  );
}

export function statusChangerOf(given: ApiGiven) {
  const { registry, registryStore, index, integrationStatus, state, names, pulling, answeringGiveUp, skipDelivered } = given;
  const { backlog, replicaChannel } = given;
  const discardBacklog = createDiscardBacklog({
    ...{ ...pulling, names, giveUp: answeringGiveUp, skipDelivered, backlog },
    inFlightOfReplicas: async () => new Set(await replicaChannel.askOwner<number[]>(names.inFlight)),
  });
  const meets =
    (uuid: string, precondition: Precondition) =>
    (record: InstallationRecord): void =>
      checkPrecondition(installationKey(uuid), precondition, installationTag(record));
  return {
    enable: (uuid: string, precondition: Precondition) => integrationStatus.enable(uuid, meets(uuid, precondition)),
    disable: (uuid: string, precondition: Precondition) => integrationStatus.disable(uuid, meets(uuid, precondition)),
    async discardBacklog(uuid: string, precondition: Precondition) {
      const { record, revision, tag } = await registry.getInstallation(uuid);
      checkPrecondition(installationKey(uuid), precondition, tag);
      if (record.status === "active")
        throw new AppError("CONFLICT", `installation ${uuid} is active, what is parked for it is being delivered`);
      await registryStore.reached(revision);
      return discardBacklog({ app: record.app, installationUuid: uuid }, () => {
        const status = index.installation(uuid)?.status;
        return state.phase !== "stopping" && (status === "broken" || status === "disabled");
      });
    },
  };
}
