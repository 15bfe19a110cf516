/**
 * The composition root: builds everything and knows all folders. Components start in the order of the data's way and
 * stop against it: first nothing new is taken, then what is under way ends, then what is buffered is written.
 */
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { JetStreamManager, NatsConnection } from "nats";
import { createCheckAccess } from "./api/access.ts";
import { createExplain } from "./api/explain.ts";
import { createLiveOverview } from "./api/live-overview.ts";
import { isReady } from "./api/operations.ts";
import type { Check, Readiness } from "./api/ports.ts";
import { createRateLimit } from "./api/rate-limit.ts";
import { createReadOverview } from "./api/read-overview.ts";
import { allRoutes } from "./api/routes.ts";
import { type ApiServer, createApiServer } from "./api/server.ts";
import { createVolumes } from "./api/volumes.ts";
import { createSettableClock } from "./config/settable-clock.ts";
import type { Config } from "./config/settings.ts";
import { VERSION } from "./config/version.ts";
import { natsOptions, redisOptions } from "./connections.ts";
import { createAddressGuard } from "./delivery/address-guard.ts";
import { createAttempt } from "./delivery/attempt.ts";
import { createBulkhead } from "./delivery/bulkhead.ts";
import { createCircuits } from "./delivery/circuit.ts";
import { createDeliverAll } from "./delivery/deliver-all.ts";
import { createDestinationOf } from "./delivery/destination.ts";
import { createDispatcher } from "./delivery/dispatcher.ts";
import { createEnvelopeBuilder } from "./delivery/envelope.ts";
import { createGate } from "./delivery/gate.ts";
import { createHeaderBuilder } from "./delivery/headers.ts";
import type { ParkedQueue } from "./delivery/ports.ts";
import { createProbes } from "./delivery/probe.ts";
import { createSender } from "./delivery/sender.ts";
import { createTargetCheck } from "./delivery/target-check.ts";
import { createTestCall } from "./delivery/test-call.ts";
import { type Installation, isOrdered } from "./model/app.ts";
import { AppError, messageOf } from "./model/app-error.ts";
import { type Clock, systemClock } from "./model/clock.ts";
import type { EventLimits } from "./model/event-reader.ts";
import type { Logger } from "./model/logger.ts";
import { createServerClock, type ServerClock } from "./model/server-clock.ts";
import { type StatusEvent, statusSubject } from "./model/status-event.ts";
import { createAppTokens } from "./registry/app-tokens.ts";
import { loadAppsFile } from "./registry/apps-file.ts";
import { createDebugLog } from "./registry/debug-log.ts";
import type { RecordLimits } from "./registry/record-limits.ts";
import { checkPrecondition, installationTag, type Precondition } from "./registry/record-tag.ts";
import type { StoredInstallation } from "./registry/records.ts";
import { createRegistry, feedIndex, installationKey, type RegistryDependencies, toInstallation } from "./registry/registry.ts";
import { createRegistryIndex } from "./registry/registry-index.ts";
import { createSecretBox } from "./registry/secret-box.ts";
import { createSigningKey } from "./registry/signing-key.ts";
import { createRegistryStore } from "./registry/store.ts";
import { createBrokenDetails } from "./status/broken-details.ts";
import { CIRCUIT_PREFIX, circuitState, createCircuitStore } from "./status/circuit-store.ts";
import { createGivenUp } from "./status/given-up.ts";
import { createHealthWatch } from "./status/health-watch.ts";
import { createHealthQuery } from "./status/integration-health.ts";
import { createIntegrationStatus, INSTALLATION_PREFIX, mendedAt, probedAt, statusOf } from "./status/integration-status.ts";
import { createLeftBehind } from "./status/left-behind.ts";
import { createProber } from "./status/prober.ts";
import { createTransitions, type RecordJson } from "./status/transitions.ts";
import { createAttemptLog } from "./storage/attempt-log.ts";
import { createDeliveryTrails } from "./storage/delivery-trails.ts";
import { createGiveBacks } from "./storage/give-backs.ts";
import { createHealthStore } from "./storage/health-store.ts";
import { evidence } from "./storage/log-row.ts";
import { connectRedis, isConnected, type RedisClient } from "./storage/redis.ts";
import { createReplayNotes } from "./storage/replay-notes.ts";
import { createRequestLogQuery } from "./storage/request-log-query.ts";
import { createStatsQuery } from "./storage/stats-query.ts";
import { createAckFloor } from "./subscribers/ack-floor.ts";
import { createAttemptCountsChannel } from "./subscribers/attempt-counts.ts";
import { connectNats, createConnectionState, whenJetStreamAnswers } from "./subscribers/connection.ts";
import { createConsumerDeletions } from "./subscribers/consumer-deletions.ts";
import { createDeadLetters } from "./subscribers/dead-letters.ts";
import { createDiscardBacklog } from "./subscribers/discard-backlog.ts";
import { createEventPublisher } from "./subscribers/event-publisher.ts";
import { createEventsSubscriber } from "./subscribers/events-subscriber.ts";
import { createFanOutSubscriber } from "./subscribers/fan-out-subscriber.ts";
import { createLaneCounts } from "./subscribers/lane-counts.ts";
import { createLaneGauges } from "./subscribers/lane-gauges.ts";
import { createLaneSearch } from "./subscribers/lane-search.ts";
import { createLanes, type LaneWriter, STORED_LANES } from "./subscribers/lanes.ts";
import { busNames } from "./subscribers/names.ts";
import { orUnreachable } from "./subscribers/or-unreachable.ts";
import { createOrderRecords, ORDER_PREFIX } from "./subscribers/ordered/order-records.ts";
import { createQueueOwner, OWNER_KEY, type QueueOwner } from "./subscribers/ordered/queue-owner.ts";
import { createAttemptParked } from "./subscribers/parked/attempt-parked.ts";
import { createBacklog } from "./subscribers/parked/backlog.ts";
import { createInFlightChannel } from "./subscribers/parked/in-flight.ts";
import { createParkedQueues, type ParkedQueues } from "./subscribers/parked/parked-queues.ts";
import { createParkedShare } from "./subscribers/parked/parked-share.ts";
import { createAckGroup } from "./subscribers/pulled-message.ts";
import { createReadEvent } from "./subscribers/read-event.ts";
import { createResend } from "./subscribers/resend.ts";
import { createRetriesSubscriber } from "./subscribers/retries-subscriber.ts";
import { createSettle } from "./subscribers/settle.ts";
import { createStatusHistory } from "./subscribers/status-history.ts";
import { createStatusStream } from "./subscribers/status-stream.ts";
import { createStoredEvents } from "./subscribers/stored-events.ts";
import { ensureTopology } from "./subscribers/topology.ts";
import { createDeliveryObserver } from "./telemetry/delivery-observer.ts";
import { readGauges } from "./telemetry/gauges.ts";
import { createLog, type Log } from "./telemetry/logger.ts";
import { createMeter, createMetrics } from "./telemetry/metrics.ts";
import { type Sdk, startSdk } from "./telemetry/sdk.ts";
import { createTraceIds } from "./telemetry/trace-ids.ts";
import { createTracing } from "./telemetry/tracing.ts";

export interface Application {
  readonly logger: Logger;
  /** Writes what is logged and not written yet; for the end of the process. */
  flushLog(): void;
  /** Resolves when events are consumed and the API listens. @throws AppError */
  start(): Promise<void>;
  /** Also ends a start that is still going on. @returns whether everything in hand was finished. */
  stop(): Promise<boolean>;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** How long a delivery waits for its app's share before it is parked. */
const BULKHEAD_WAIT_MS = 500;
/** The server's own default, until it has said what it takes. */
const DEFAULT_MAX_PAYLOAD_BYTES = 1024 * 1024;
/** What a lane message says beside its event: attempts made, or the installations of a part of a fan-out. */
const LANE_OVERHEAD_BYTES = 32 * 1024;
/**
 * Events that are held for each attempt that may be in flight: the next ones are asked for when a quarter is free. What is
 * held outlives the collector's young generation and is copied, so that holding more costs time for each.
 */
const EVENTS_PER_IN_FLIGHT = 1;
/** What a person asked to be stored, who waits for the answer; a publish that is not answered takes as long. */
const STORED_WITHIN_MS = 5_000;
const LONGEST_EXPIRY_SWEEP_MS = 60_000;
const ATTEMPT_LEASE_EXTRA_MS = 5_000;
const MAX_SHOWN_PROBLEMS = 10;
/** Where `npm run build` puts the page, seen from src and from dist alike. */
const PAGE_FOLDER = fileURLToPath(new URL("../dist/web/", import.meta.url));

export async function createApp(config: Config, environment: Environment): Promise<Application> {
  const log = createLog(config.logLevel);
  const { logger } = log;
  const wallClock =
    config.testClock === null
      ? systemClock
      : createSettableClock(config.testClock, (aheadMs) => logger.warn({ ahead_ms: aheadMs }, "POSTHORN_TEST_CLOCK has set the clock"));
  let running: Running | undefined;
  let starting: Promise<Running> | undefined;
  const stopping = new AbortController();

  return {
    logger,
    flushLog: log.flush,
    async start() {
      starting = startAll(config, environment, wallClock, log, stopping.signal);
      running = await starting;
    },
    async stop() {
      stopping.abort();
      const started = running ?? (await starting?.catch(() => undefined));
      return started === undefined ? true : started.stop();
    },
  };
}

interface Running {
  stop(): Promise<boolean>;
}

async function startAll(config: Config, environment: Environment, wallClock: Clock, log: Log, signal: AbortSignal): Promise<Running> {
  const { logger } = log;
  /** What was started so far, to be undone in reverse when a later step fails. */
  const undo: Array<() => Promise<unknown> | unknown> = [];
  // A test that sets the clock sets it for all.
  const clock = config.testClock === null ? createServerClock(wallClock, () => performance.now()) : wallClock;
  try {
    const sdk = await startSdk(environment, VERSION, logger);
    undo.push(() => sdk.stop());
    const redis = await connectRedis({ ...redisOptions(config), signal }, clock, logger);
    undo.push(() => redis.disconnect());
    const nats = await connectNats({ ...natsOptions(config), signal }, clock, logger);
    undo.push(() => nats.close());
    if (signal.aborted) throw new AppError("NATS_UNREACHABLE", "stopped while starting", { retryable: true });
    return await startOn({ config, wallClock, clock, log, sdk, redis, nats, signal, undo });
  } catch (error) {
    for (const step of undo.reverse()) await Promise.resolve(step()).catch(() => {});
    throw error;
  }
}

interface Foundations {
  readonly config: Config;
  /** What this machine takes for the time; receivers compare it with theirs. */
  readonly wallClock: Clock;
  /** The NATS server's time. */
  readonly clock: Clock & Partial<ServerClock>;
  readonly log: Log;
  readonly sdk: Sdk;
  readonly redis: RedisClient;
  readonly nats: NatsConnection;
  /** Ends a start that is still going on. */
  readonly signal: AbortSignal;
  readonly undo: Array<() => Promise<unknown> | unknown>;
}

async function startOn({ config, wallClock, clock, log, sdk, redis, nats, signal, undo }: Foundations): Promise<Running> {
  const { logger } = log;
  const prefix = config.subjectPrefix;
  const names = busNames(prefix);
  const jetStream = nats.jetstream();
  const openJetStream = async (): Promise<JetStreamManager> => {
    const opened = await nats.jetstreamManager();
    await ensureTopology(opened, names, config.streamReplicas);
    return opened;
  };
  const manager = await whenJetStreamAnswers(openJetStream, { ...natsOptions(config), signal }, clock, logger);
  const connectionState = createConnectionState(nats);
  const dashboardUrl = (path: string): string | null => config.dashboardUrl && `${config.dashboardUrl.replace(/\/$/, "")}/#${path}`;

  // Registry
  const index = createRegistryIndex();
  const store = createRegistryStore(
    { connection: nats, onReconnect: connectionState.onReconnect, clock, logger },
    { prefix, replicas: config.streamReplicas },
  );
  const guard = createAddressGuard(config.targetAllow, { schemes: config.targetSchemes, ports: config.targetPorts });
  const secretBox = createSecretBox(config.encryptionKey, config.encryptionKeyPrevious);
  const registryDependencies: RegistryDependencies = {
    store,
    index,
    secretBox,
    refusesUrl: createTargetCheck(guard, { hasProxy: config.targetProxy !== null }),
    clock,
    logger,
  };
  const feed = feedIndex(registryDependencies);
  const signingKey = createSigningKey(store, secretBox);
  const unreadableSecrets = (): readonly string[] => [...feed.unreadable(), ...signingKey.unreadable()];
  const registryIsCurrent = (): boolean => store.isCurrent() && unreadableSecrets().length === 0;
  const registry = createRegistry(registryDependencies, { secretOverlapMs: config.secretOverlap, limits: recordLimits(config) });

  // Telemetry
  const debugLog = createDebugLog({ store, clock, logger });
  const metrics = createMetrics(createMeter(VERSION));
  undo.push(() => metrics.stop());
  const observer = createDeliveryObserver(
    { log, metrics, isDebugged: debugLog.isOn, evidenceOf: evidence },
    { metricsApps: config.metricsApps, logDeliveredPercent: config.logDeliveredPercent },
  );
  const redisUrl = redis.isCluster ? null : config.redisUrl;
  const tracing = createTracing(sdk.isTracing ? { version: VERSION, prefix, natsServer: () => nats.getServer(), redisUrl } : null);

  // Status
  const transitions = createTransitions<StatusEvent>({
    records: store,
    stream: createStatusStream(jetStream, manager, names),
    clock,
    logger,
  });
  const leftBehind = createLeftBehind(transitions, clock, logger);
  undo.push(() => leftBehind.stop());
  const health = createHealthStore(redis, clock.now);
  const webhookUrlOf = (uuid: string): string => {
    const installation = index.installation(uuid);
    return installation?.webhookUrl ?? (installation && index.app(installation.app)?.webhookUrl) ?? "";
  };
  const parkedFor = async (uuid: string): Promise<number> => {
    const installation = index.installation(uuid);
    return installation === undefined ? 0 : backlog.count(queueOf(installation));
  };
  const integrationStatus = createIntegrationStatus(
    { records: store, transitions, health, parkedFor, webhookUrlOf, clock },
    { prefix, dashboardUrl },
  );
  const healthWatch = createHealthWatch(
    { health, status: integrationStatus, isActive: (uuid) => index.installation(uuid)?.status === "active", clock, logger },
    {
      windowDays: config.brokenWindow,
      timeouts: config.brokenTimeouts,
      rules: new Set(config.brokenRules),
      calmMs: config.brokenAction === "deliver" ? config.brokenProbeInterval : null,
    },
  );

  // Storage
  const mendedAts = new Map<string, number>();
  const attemptLog = createAttemptLog(
    { redis, clock, logger, onFailuresWritten: healthWatch.failuresWritten, onLateBatch: tracing.lateBatch },
    {
      size: config.requestLogSize,
      listTtlMs: config.requestLogTtl,
      bufferRows: config.logBufferRows,
      mendedAt: (uuid) => mendedAts.get(uuid) ?? 0,
    },
  );

  // Delivery
  let parked: ParkedQueues | undefined;
  let owner: QueueOwner | undefined;
  const replica = randomUUID();
  const attemptCounts = createAttemptCountsChannel(nats, connectionState, names, replica, logger);
  const attemptLeaseMs = (app: string): number => (index.app(app)?.timeoutMs ?? config.requestTimeout) + ATTEMPT_LEASE_EXTRA_MS;
  const circuits = createCircuits(
    {
      tell: attemptCounts.tell,
      isKnown: (app) => index.app(app) !== undefined,
      store: createCircuitStore(transitions, clock, { prefix, dashboardUrl }),
      clock,
      logger,
      onAdmitting(app) {
        parked?.wake("circuit", app);
        prober.poke();
      },
    },
    {
      windowMs: config.circuitWindow,
      minAttempts: config.circuitMinAttempts,
      failurePercent: config.circuitFailurePercent,
      openTimeMs: config.circuitOpenTime,
      maxOpenTimeMs: config.circuitMaxOpenTime,
      probeLeaseMs: attemptLeaseMs,
      replica,
    },
  );
  const sender = createSender(guard, clock, {
    connectTimeoutMs: config.connectTimeout,
    connectionsPerOrigin: config.targetMaxConnections,
    tlsMinVersion: config.targetTlsMinVersion,
    extraAuthorities: config.targetCaFile,
    proxy: config.targetProxy,
  });
  const attempt = createAttempt(
    {
      registry: index,
      envelope: createEnvelopeBuilder(config.defaultActor),
      headers: createHeaderBuilder({ prefix: config.headerPrefix, userAgent: `Posthorn/${VERSION}` }),
      sender,
      log: attemptLog,
      observer,
      enterCircuit: circuits.enter,
      judges: [healthWatch.judge, circuits.judge],
      tracing,
      clock,
      wallClock,
      random: Math.random,
      newRequestId: createTraceIds().traceId,
    },
    { requestTimeoutMs: config.requestTimeout, retryScheduleMs: config.retrySchedule, headerPrefix: config.headerPrefix },
  );
  const orderRecords = createOrderRecords(store, (app) => parked?.wake("order", app));
  const gate = createGate({
    registry: index,
    circuitOpen: circuits.blocks,
    queueBusy: (queue) => parked?.busy(queue) ?? false,
    keepsOrder: (app) => isOrdered(app) || orderRecords.get(app.slug) !== undefined,
    brokenAction: config.brokenAction,
  });
  const bulkhead = createBulkhead(clock, {
    maxInFlight: config.maxInFlight,
    maxPerDestination: config.targetMaxConnections,
    maxWaitMs: BULKHEAD_WAIT_MS,
  });
  const destinationOf = createDestinationOf(index);
  // Without NATS nothing can be acknowledged or stored: what is in flight ends, and nothing new starts until it is known who is
  // installed by now.
  connectionState.onDisconnect(bulkhead.suspend);
  store.onCurrent(() => {
    if (connectionState.up) bulkhead.resume();
  });
  const maxPayloadBytes = (): number => nats.info?.max_payload ?? DEFAULT_MAX_PAYLOAD_BYTES;
  const eventLimits: EventLimits = {
    // A larger one could not be stored in a lane with what has to be said of it.
    get maxBytes() {
      return Math.min(config.maxEventSize, maxPayloadBytes() - LANE_OVERHEAD_BYTES);
    },
    maxHeaders: config.maxEventHeaders,
    maxDepth: config.maxEventDepth,
    maxKeys: config.maxEventKeys,
    maxIdLength: config.maxIdLength,
  };
  const share = createParkedShare(config.parkedAppShare);
  const lanes = createLanes({
    jetStream,
    names,
    clock,
    logger,
    isUp: () => connectionState.up,
    maxPayloadBytes,
    onStored(delivery, place) {
      attemptLog.stored(delivery, place);
      if (place.lane === "parked") share.parked(delivery);
    },
    onDeadLetter: observer.deadLettered,
  });
  const answeringLanes = lanes.within(STORED_WITHIN_MS);
  const tellGivenUp = ({ announce }: Pick<LaneWriter, "announce">) =>
    createGivenUp((event) => announce(statusSubject(prefix, event), JSON.stringify(event), event.id), index, clock, {
      prefix,
      dashboardUrl,
    });
  const onGivenUp = tellGivenUp(lanes);
  const directLimit = (appMaxInFlight: number | null): number => Math.floor((appMaxInFlight ?? config.appMaxInFlight) / 2);
  const dispatcher = createDispatcher({
    gate,
    bulkhead,
    destinationOf,
    attempt,
    lanes,
    log: attemptLog,
    observer,
    tracing,
    directLimit,
    isShareUsedUp: share.isUsedUp,
    onParked: (queue) => parked?.parked(queue),
    onGivenUp,
  });

  // Subscribers
  const mayFlow = ({ installationUuid }: ParkedQueue): boolean => {
    const status = installationUuid === null ? undefined : index.installation(installationUuid)?.status;
    return status !== "disabled" && !(status === "broken" && config.brokenAction === "park");
  };
  const acks = createAckGroup(nats, connectionState, clock);
  const consumerDeletions = createConsumerDeletions(nats, logger);
  const pulling = {
    ...{ connection: nats, manager, acks, connectionState, consumerDeletions, giveBacks: createGiveBacks(redis) },
    ...{ mayPull: registryIsCurrent, clock, logger },
  };
  const handling = { ...pulling, names, dispatcher, lanes, log: attemptLog, observer, tracing, settle: createSettle(logger) };
  const deliverAll = createDeliverAll({ dispatcher, log: attemptLog, observer });
  const backlog = createBacklog({ ...handling, onGivenUp });
  const inFlight = createInFlightChannel(nats, names);
  const answering = { lanes: answeringLanes, onGivenUp: tellGivenUp(answeringLanes) };
  const discardBacklog = createDiscardBacklog({ ...handling, ...answering, backlog, inFlight: inFlight.ask });
  const attemptParked = createAttemptParked({
    ...{ gate, circuitOpen: circuits.blocks, bulkhead, destinationOf, attempt, dispatcher, log: attemptLog, observer, tracing, clock },
    maxParkedAgeMs: config.maxParkedAge,
  });
  const readEvent = createReadEvent(names, eventLimits);
  const queues = { ...handling, attemptParked, registry: index };
  parked = createParkedQueues(
    {
      ...queues,
      share,
      isOwned: (app) => orderRecords.get(app) !== undefined,
      onWake: (reason, app, woken) => owner?.wake(reason, app, woken),
    },
    { appMaxInFlight: config.appMaxInFlight },
  );
  owner = createQueueOwner({
    ...{ ...queues, backlog, mayFlow, readEvent, match: index.match, records: store, orderRecords, replica },
    countOf: (queue) => parked?.count(queue) ?? 0,
    limitOf: (app) => Math.max(1, directLimit(index.app(app)?.maxInFlight ?? null)),
    appMaxInFlight: config.appMaxInFlight,
    isShareUsedUp: share.isUsedUp,
  });
  inFlight.answer(() => (owner?.isOwner() ? owner.inFlight() : null));
  const retries = createRetriesSubscriber(handling);
  const fanOut = createFanOutSubscriber({ ...handling, deliverAll, waiting: () => bulkhead.waiting() + lanes.stores().waiting });
  const ackFloor = createAckFloor(manager, store, names, clock, logger);
  const events = createEventsSubscriber(
    { ...handling, match: index.match, readEvent, isLeft: orderRecords.areLeft, deliverAll, ackFloor },
    { maxHeld: config.maxInFlight * EVENTS_PER_IN_FLIGHT },
  );
  const queueOf = ({ app, uuid }: Installation): ParkedQueue => ({ app, installationUuid: uuid });
  const probes = createProbes({
    queueBusy: parked.busy,
    parkedAfter: backlog.after,
    removeParked: backlog.remove,
    isBroken: (uuid) => index.installation(uuid)?.status === "broken",
    circuitOpen: circuits.blocks,
    ...{ registry: index, dispatcher, attempt, bulkhead, destinationOf, log: attemptLog, observer, tracing },
  });
  const prober = createProber(
    {
      installation: index.installation,
      status: integrationStatus,
      canProbe: probes.canProbe,
      nextProbe: probes.next,
      clock,
      logger,
    },
    { intervalMs: config.brokenProbeInterval },
  );

  // What the registry's watch brings beside apps and installations
  const statuses = new Map<string, Installation["status"]>();
  const brokenDetails = createBrokenDetails();
  store.onRecord(INSTALLATION_PREFIX, (key, value) => {
    const uuid = key.slice(INSTALLATION_PREFIX.length);
    const record = value === null ? null : (JSON.parse(value) as RecordJson);
    leftBehind.update(key, record);
    brokenDetails.update(uuid, record);
    const status = record && statusOf(record);
    prober.update(uuid, record !== null && status === "broken" ? probedAt(record) : null);
    if (record?.["mended_at"] === undefined) mendedAts.delete(uuid);
    else mendedAts.set(uuid, mendedAt(record));
    if (statuses.get(uuid) !== status) {
      if (status === null) statuses.delete(uuid);
      else statuses.set(uuid, status);
      parked?.wake("status", index.installation(uuid)?.app ?? null, uuid);
    }
  });
  store.onRecord(CIRCUIT_PREFIX, (key, value, revision) => {
    const record = value === null ? null : (JSON.parse(value) as RecordJson);
    leftBehind.update(key, record);
    circuits.apply(key.slice(CIRCUIT_PREFIX.length), circuitState(record), revision);
  });
  store.onRecord("app.", (key, value) => {
    const slug = key.slice("app.".length);
    if (value === null) circuits.forget(slug);
    // It may have become ordered, or may have more in flight.
    else parked?.wake("app", slug);
  });
  store.onRecord(ORDER_PREFIX, orderRecords.observe);
  store.onRecord(OWNER_KEY, (_key, value, revision, storedAt) => {
    // Rewritten every few seconds; one that was there before says nothing of now.
    if (store.isCurrent()) clock.sample?.(storedAt);
    owner?.observe(value, revision);
  });
  attemptCounts.listen(circuits.heard);
  store.onCurrent(() => events.poke());

  // API
  let phase: "starting" | "ready" | "stopping" = "starting";
  const readiness: Readiness = {
    checks: () => ({
      lifecycle: { ok: phase === "ready", required: true, detail: phase },
      nats: { ok: !nats.isClosed() && connectionState.up, required: true, detail: connectionState.up ? "connected" : "away" },
      registry: {
        ok: registryIsCurrent(),
        required: true,
        detail: unreadableSecrets().length > 0 ? "stored secrets can't be read" : store.isCurrent() ? "current" : "catching up",
      },
      lanes: refusals(lanes.refusing()),
      redis: {
        ok: isConnected(redis),
        required: false,
        detail: isConnected(redis) ? "connected" : "away, the request log is buffered",
      },
    }),
  };
  const queryRequestLog = createRequestLogQuery(redis, (uuid) => index.installation(uuid)?.organizationId);
  const trails = createDeliveryTrails(redis, index.slugs);
  const storedEvents = createStoredEvents(nats, manager, names, clock);
  const explain = createExplain(
    {
      registry,
      index,
      whereabouts: {
        queryRequestLog,
        trails,
        events: storedEvents,
        lanes: createLaneSearch(nats, manager, names),
        circuitOf: circuits.stateOf,
        oldestParked: (queue) => orUnreachable(backlog.oldest(queue)),
      },
      clock,
    },
    {
      stream: names.streams.events,
      maxParkedAgeMs: config.maxParkedAge,
      probeIntervalMs: config.brokenProbeInterval,
      parksBroken: config.brokenAction === "park",
    },
  );
  const meets =
    (uuid: string, precondition: Precondition) =>
    (record: RecordJson): void =>
      checkPrecondition(installationKey(uuid), precondition, installationTag(record as unknown as StoredInstallation));
  const appTokens = createAppTokens({ index, signingKey, clock }, { maxTtlMs: config.appTokenMaxTtl });
  const stats = createStatsQuery(redis);
  const statusHistory = createStatusHistory(nats, manager, names);
  const readOverview = createReadOverview({
    index,
    circuitOf: circuits.stateOf,
    volumes: createVolumes(stats, clock),
    laneCounts: createLaneCounts(manager, names),
    isBusUp: () => connectionState.up,
    clock,
  });
  const liveOverview = createLiveOverview({ readOverview, statusHistory, clock });
  const api: ApiServer = createApiServer(
    allRoutes({
      registry,
      index,
      secretBox,
      appTokens,
      maxPageSize: config.httpMaxPageSize,
      statusChanger: {
        enable: (uuid, precondition) => integrationStatus.enable(uuid, meets(uuid, precondition)),
        disable: (uuid, precondition) => integrationStatus.disable(uuid, meets(uuid, precondition)),
        async discardBacklog(uuid, precondition) {
          const { record, revision, tag } = await registry.getInstallation(uuid);
          checkPrecondition(installationKey(uuid), precondition, tag);
          if (record.status === "active")
            throw new AppError("CONFLICT", `installation ${uuid} is active, what is parked for it is being delivered`);
          await store.reached(revision);
          return discardBacklog(queueOf(toInstallation(record)), () => {
            const status = index.installation(uuid)?.status;
            return phase !== "stopping" && (status === "broken" || status === "disabled");
          });
        },
      },
      queryHealth: createHealthQuery(
        {
          records: store,
          health,
          parkedCount: (app, installationUuid) => orUnreachable(backlog.count({ app, installationUuid })),
          oldestParked: (app, installationUuid) => orUnreachable(backlog.oldest({ app, installationUuid })),
          clock,
        },
        {
          windowDays: config.brokenWindow,
          probeIntervalMs: config.brokenAction === "park" ? config.brokenProbeInterval : null,
        },
      ),
      publish: createEventPublisher(jetStream, names, tracing),
      eventLimits,
      queryRequestLog,
      callTest: createTestCall({
        registry: index,
        installationsOf: (app) => [...index.installations()].filter((installation) => installation.app === app),
        attempt,
        tracing,
        clock,
        newId: randomUUID,
      }),
      replayNotes: createReplayNotes(redis, clock),
      deadLetters: createDeadLetters({
        ...{ connection: nats, manager, lanes: answeringLanes, names, match: index.match, tracing, clock },
      }),
      explain,
      resend: createResend({ events: storedEvents, lanes: answeringLanes, find: trails.find, tracing, clock }),
      debugLog,
      stats,
      clock,
      statusHistory,
      brokenOf: brokenDetails.of,
      readOverview,
      liveOverview,
      session: { version: VERSION, traceUrl: config.traceUrl },
      readiness,
      renderMetrics: metrics.render,
    }),
    createCheckAccess({
      tokens: config.apiTokens,
      appOf: appTokens.appOf,
      calls: createRateLimit(config.httpRateLimit, clock.now),
      failures: createRateLimit(config.httpFailedAuthLimit, clock.now),
    }),
    logger,
    {
      host: config.httpHost,
      port: config.httpPort,
      version: VERSION,
      pageFolder: PAGE_FOLDER,
      limits: {
        maxBodyBytes: config.httpMaxBodySize,
        maxHeaderBytes: config.httpMaxHeaderSize,
        maxHeaders: config.httpMaxHeaders,
        maxIdLength: config.maxIdLength,
        requestTimeoutMs: config.httpRequestTimeout,
      },
    },
  );

  // Gauges
  const gauges = createLaneGauges(manager, names, clock, wallClock, logger);
  undo.push(() => gauges.stop());
  readGauges(metrics, {
    version: VERSION,
    inFlight: bulkhead.inFlight,
    waiting: bulkhead.waiting,
    held: () => ({ events: events.held(), retries: retries.held() + fanOut.held(), parked: (parked?.held() ?? 0) + (owner?.held() ?? 0) }),
    acksUnconfirmed: acks.unconfirmed,
    stores: lanes.stores,
    refusing: () => countBy(STORED_LANES, lanes.refusing()),
    parkedQueues: () => parked?.queues() ?? 0,
    lanes: gauges.figures,
    circuits: () => countBy(["open", "half_open"], circuits.states()),
    integrations: () => countBy(["active", "broken", "disabled"], statuses.values()),
    registry: index.counts,
    isRegistryCurrent: store.isCurrent,
    logBuffered: attemptLog.buffered,
    logNotesBuffered: attemptLog.notesBuffered,
    logDropped: attemptLog.dropped,
    destinations: sender.destinations,
    isReady: () => isReady(readiness.checks()),
    dependenciesUp: () => ({ nats: connectionState.up, redis: isConnected(redis) }),
  });

  // Start
  await store.start();
  undo.push(() => store.stop());
  refuseUnreadable(unreadableSecrets());
  if (config.encryptionKey === null) logger.warn({}, "POSTHORN_ENCRYPTION_KEY is not set: client secrets are stored in the clear");
  else if (feed.outdated() > 0)
    logger.warn({ apps: feed.outdated() }, "client secrets are not encrypted with POSTHORN_ENCRYPTION_KEY: run posthorn re-encrypt");
  if (config.appsFile !== null) logger.info(await loadAppsFile(config.appsFile, registry), "apps file loaded");
  const url = await api.start();
  undo.push(() => api.stop());
  await parked.start();
  owner.start();
  await retries.start();
  await fanOut.start();
  await events.start();
  ackFloor.start();
  if (config.brokenAction === "park") prober.start();
  gauges.start();
  const cancelSweep = every(
    clock,
    Math.min(LONGEST_EXPIRY_SWEEP_MS, Math.max(1_000, config.maxParkedAge / 10)),
    async () => {
      // Owned by one replica, which attempts nothing of them.
      for (const queue of owner?.isOwner() ? [...(parked?.busyQueues() ?? [])].filter((one) => !mayFlow(one)) : []) {
        const expired = await backlog.expire(queue, config.maxParkedAge);
        if (expired > 0)
          logger.warn({ app: queue.app, installation_uuid: queue.installationUuid, expired }, "parked deliveries have expired");
      }
    },
    logger,
  );
  phase = "ready";
  logger.info({ url, version: VERSION, prefix }, "Posthorn is ready");

  return {
    async stop() {
      phase = "stopping";
      const deadline = clock.now() + config.drainTimeout;
      cancelSweep();
      gauges.stop();
      leftBehind.stop();
      ackFloor.stop();
      const stopped = Promise.all([events.stop(), retries.stop(), fanOut.stop(), parked?.stop(), owner?.stop(), prober.stop()]);
      // What has not begun is parked or given back at once, for another replica.
      bulkhead.close();
      await stopped;
      const held = (): number => events.held() + retries.held() + fanOut.held() + (parked?.held() ?? 0) + (owner?.held() ?? 0);
      const unfinished = (): number => {
        const { pending, waiting } = lanes.stores();
        return held() + bulkhead.inFlight() + pending + waiting;
      };
      while (unfinished() > 0 && clock.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
      const left = unfinished();
      if (left > 0)
        logger.warn({ unfinished: left }, "POSTHORN_DRAIN_TIMEOUT is over; what was not finished is handled again by the next process");
      await owner?.release();
      lanes.stop();
      const unwritten = await attemptLog.flush(Math.max(1_000, deadline - clock.now()));
      await healthWatch.settled();
      if (unwritten > 0) logger.error({ unwritten }, "attempts could not be written to the request log");
      liveOverview.stop();
      await api.stop();
      await store.stop();
      await sender.close();
      acks.flush();
      await Promise.race([nats.drain().catch(() => {}), new Promise((resolve) => setTimeout(resolve, 2_000).unref())]);
      redis.disconnect();
      metrics.stop();
      await sdk.stop();
      logger.info({}, "stopped");
      return left === 0 && unwritten === 0;
    },
  };
}

function recordLimits(config: Config): RecordLimits {
  return {
    maxNameLength: config.maxNameLength,
    maxUrlLength: config.maxUrlLength,
    maxIdLength: config.maxIdLength,
    maxEvents: config.maxAppEvents,
    maxHeaders: config.maxAppHeaders,
    maxHeaderLength: config.maxAppHeaderLength,
    maxRetries: config.maxAppRetries,
    maxProjects: config.maxProjects,
  };
}

/** @throws AppError SECRET_UNREADABLE */
function refuseUnreadable(problems: readonly string[]): void {
  if (problems.length === 0) return;
  const shown = problems.slice(0, MAX_SHOWN_PROBLEMS).map((line) => `  ${line}`);
  if (problems.length > shown.length) shown.push(`  and ${problems.length - shown.length} more`);
  throw new AppError("SECRET_UNREADABLE", `Posthorn can't start without these secrets:\n${shown.join("\n")}`);
}

function refusals(lanes: readonly string[]): Check {
  const isStoring = lanes.length === 0;
  return { ok: isStoring, required: true, detail: isStoring ? "storing" : `refusing messages: ${lanes.join(", ")}` };
}

function countBy<T extends string>(all: readonly T[], values: Iterable<string>): Record<T, number> {
  const counts = Object.fromEntries(all.map((value) => [value, 0])) as Record<T, number>;
  for (const value of values) if (value in counts) counts[value as T]++;
  return counts;
}

/** Runs a task again and again, the next time `everyMs` after it ended. */
function every(clock: Clock, everyMs: number, task: () => Promise<void>, logger: Logger): () => void {
  let cancel = (): void => {};
  let stopped = false;
  const arm = (): void => {
    cancel = clock.after(everyMs, () => {
      task()
        .catch((error: unknown) => logger.warn({ error: messageOf(error) }, "a periodic task failed and is tried again"))
        .finally(() => {
          if (!stopped) arm();
        });
    });
  };
  arm();
  return () => {
    stopped = true;
    cancel();
  };
}
