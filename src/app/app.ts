/**
 * The composition root: builds everything and knows all folders. Components start in the order of the data's way and
 * stop against it: first nothing new is taken, then what is under way ends, then what is buffered is written.
 */
import { randomUUID } from "node:crypto";
import type { NatsConnection } from "nats";
import { createCheckAccess } from "../api/http/access.ts";
import { createRateLimit } from "../api/http/rate-limit.ts";
import { type ApiServer, createApiServer } from "../api/http/server.ts";
import type { Check, Readiness } from "../api/ports.ts";
import { allRoutes } from "../api/routes/all-routes.ts";
import { isReady } from "../api/routes/operations.ts";
import { PAGE_FOLDER } from "../config/page-folder.ts";
import { createSettableClock } from "../config/settable-clock.ts";
import type { Config } from "../config/settings.ts";
import { wideNetworks } from "../config/values.ts";
import { VERSION } from "../config/version.ts";
import { createDeadLetters } from "../dead-letters/dead-letters.ts";
import { createDiscardBacklog } from "../dead-letters/discard.ts";
import { createResend } from "../dead-letters/resend.ts";
import { createAdmission } from "../delivery/admission.ts";
import { createAttempt } from "../delivery/attempt.ts";
import { createCircuitBreakers } from "../delivery/circuit/circuit-breakers.ts";
import { createDeliverEvent } from "../delivery/deliver-event.ts";
import { createDispatcher } from "../delivery/dispatcher.ts";
import { createEnvelopeBuilder } from "../delivery/envelope.ts";
import { createGiveUp, type GiveUp } from "../delivery/give-up.ts";
import { createHeaderBuilder } from "../delivery/headers.ts";
import { createAddressGuard } from "../delivery/http/address-guard.ts";
import { createNameResolver } from "../delivery/http/name-resolver.ts";
import { createOwnAddress } from "../delivery/http/own-address.ts";
import { createSender } from "../delivery/http/sender.ts";
import { createTargetCheck } from "../delivery/http/target-check.ts";
import { createInFlight } from "../delivery/in-flight.ts";
import { createBulkhead } from "../delivery/limits/bulkhead.ts";
import { createDestinationOf } from "../delivery/limits/destination.ts";
import type { ParkedQueue } from "../delivery/ports.ts";
import { createRecoveryProbe } from "../delivery/recovery-probe.ts";
import { createSkipDelivered } from "../delivery/skip-delivered.ts";
import { createTestCall } from "../delivery/test-call.ts";
import { createExplain } from "../explain/explain.ts";
import { createFindInStreams } from "../explain/find-in-streams.ts";
import { createAckFloor } from "../jetstream/ack-floor.ts";
import { createClockSkew } from "../jetstream/clock-skew.ts";
import { closeNats, connectNats, createConnectionState, isServerSince, openJetStream } from "../jetstream/connection.ts";
import { createDeliveryStreams, type DeliveryStreamWriter, STORED_STREAMS } from "../jetstream/delivery-streams.ts";
import { createEventPublisher } from "../jetstream/event-publisher.ts";
import { createFailureExchange } from "../jetstream/failure-exchange.ts";
import { createAckBatcher } from "../jetstream/message.ts";
import { createCompleteMessage } from "../jetstream/message-handler.ts";
import { orUnreachable } from "../jetstream/or-unreachable.ts";
import { createStartupWait } from "../jetstream/startup-wait.ts";
import { createStatusHistory } from "../jetstream/status-history.ts";
import { createStatusPublisher } from "../jetstream/status-publisher.ts";
import { createStoredEvents } from "../jetstream/stored-events.ts";
import { createStreamMetrics } from "../jetstream/stream-metrics.ts";
import { createStreamWatch, NATS_DEPENDENCIES } from "../jetstream/stream-watch.ts";
import { ensureTopology } from "../jetstream/streams.ts";
import { createSubjectCounts } from "../jetstream/subject-counts.ts";
import { createSubjects } from "../jetstream/subjects.ts";
import { INSTALLATION_STATUSES, type Installation } from "../model/app.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import { type Clock, systemClock } from "../model/clock.ts";
import type { EventLimits } from "../model/event-reader.ts";
import { pauseReason } from "../model/installation-pause.ts";
import type { Logger } from "../model/logger.ts";
import { every, sleep } from "../model/periodic.ts";
import { redactedUrl } from "../model/redaction/redacted-url.ts";
import { type StatusEvent, statusSubject } from "../model/status-event.ts";
import type { InstallationRecord, OutboxMembers } from "../model/stored-records.ts";
import { createLiveOverview } from "../overview/live-overview.ts";
import { createReadOverview } from "../overview/read-overview.ts";
import { createVolumes } from "../overview/volumes.ts";
import { createAppTokens } from "../registry/app-tokens.ts";
import { createDebugLog } from "../registry/debug-log.ts";
import { feedIndex } from "../registry/index-feed.ts";
import { toInstallation } from "../registry/opened-records.ts";
import { CIRCUITS, createRegistryKinds, installationKey } from "../registry/record-kinds.ts";
import type { RecordLimits } from "../registry/record-limits.ts";
import { checkPrecondition, installationTag, type Precondition } from "../registry/record-tag.ts";
import { refuseWrongKey } from "../registry/refuse-wrong-key.ts";
import { createRegistry } from "../registry/registry.ts";
import { createRegistryIndex } from "../registry/registry-index.ts";
import { createSecretBox } from "../registry/secret-box.ts";
import { createSigningKey } from "../registry/signing-key.ts";
import { createRegistryStore } from "../registry/store.ts";
import { CIRCUIT_PREFIX, circuitState, createCircuitStore } from "../status/circuit-store.ts";
import { createDeliveryEvents } from "../status/delivery-events.ts";
import { createHealthWatch } from "../status/health-watch.ts";
import { INSTALLATION_PREFIX } from "../status/installation-record.ts";
import { createInstallationStates } from "../status/installation-states.ts";
import { createHealthQuery } from "../status/integration-health.ts";
import { createIntegrationStatus } from "../status/integration-status.ts";
import { createOutbox } from "../status/outbox.ts";
import { createOutboxRelay } from "../status/outbox-relay.ts";
import type { StatusRecords } from "../status/ports.ts";
import { createProbeSchedule } from "../status/probe-schedule.ts";
import { createDeliveryLookup } from "../storage/delivery-lookup.ts";
import { createHealthStore } from "../storage/health-store.ts";
import { evidence } from "../storage/log-row.ts";
import { connectRedis, type RedisClient } from "../storage/redis.ts";
import { createRedisHealth } from "../storage/redis-health.ts";
import { createReplayNotes } from "../storage/replay-notes.ts";
import { createRequestLog } from "../storage/request-log.ts";
import { createRequestLogQuery } from "../storage/request-log-query.ts";
import { createStatsQuery } from "../storage/stats-query.ts";
import { createEventsSubscriber } from "../subscribers/events-subscriber.ts";
import { createFanOutSubscriber } from "../subscribers/fan-out-subscriber.ts";
import { createHolds } from "../subscribers/ordered/order-locks.ts";
import { createParkedBacklog } from "../subscribers/parked/backlog.ts";
import { createParkedQueues, type ParkedQueues } from "../subscribers/parked/parked-queues.ts";
import { createRetriesSubscriber } from "../subscribers/retries-subscriber.ts";
import { createDeliveryObserver } from "../telemetry/delivery-observer.ts";
import { readStreamMetrics } from "../telemetry/gauges.ts";
import { createLog, type Log } from "../telemetry/logger.ts";
import { createMeter, createMetrics } from "../telemetry/metrics.ts";
import { type Sdk, startSdk } from "../telemetry/sdk.ts";
import { createTraceIds } from "../telemetry/trace-ids.ts";
import { createTracing } from "../telemetry/tracing.ts";
import { type Components, createComponents } from "./components.ts";
import { natsOptions, redisOptions } from "./connections.ts";

export interface Application {
  readonly logger: Logger;
  /** Writes what is logged and not written yet; for the end of the process. */
  flushLog(): void;
  /** Resolves when events are consumed and the API listens; when it fails, all is stopped again. @throws AppError */
  start(): Promise<void>;
  /** Also ends a start that is still going on. @returns whether everything in hand was finished. */
  stop(): Promise<boolean>;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** How long a delivery waits for its app's share before it is parked. */
const BULKHEAD_WAIT_MS = 500;
/** The server's own default, until it has said what it takes. */
const DEFAULT_MAX_PAYLOAD_BYTES = 1024 * 1024;
/** What a stream message says beside its event: attempts made, or the installations of a part of a fan-out. */
const MESSAGE_OVERHEAD_BYTES = 32 * 1024;
/**
 * Events that are held for each attempt that may be in flight: the next ones are asked for when a quarter is free. What is
 * held outlives the collector's young generation and is copied, so that holding more costs time for each.
 */
const EVENTS_PER_IN_FLIGHT = 1;
/** What a person asked to be stored, who waits for the answer; a publish that is not answered takes as long. */
const STORED_WITHIN_MS = 5_000;
const LONGEST_EXPIRY_SWEEP_MS = 60_000;
const ATTEMPT_LEASE_EXTRA_MS = 5_000;
/** How long a look at a stream may take before the stream counts as one without a leader. */
const LOOK_WITHIN_MS = 2_000;

export async function createApp(config: Config, environment: Environment): Promise<Application> {
  const log = createLog(config.logLevel);
  const { logger } = log;
  const clock =
    config.testClock === null
      ? systemClock
      : createSettableClock(config.testClock, (aheadMs) => logger.warn({ ahead_ms: aheadMs }, "POSTHORN_TEST_CLOCK has set the clock"));
  const components = createComponents(clock, logger);
  const state: LifecycleState = { phase: "starting", isFinished: true };
  const stopping = new AbortController();
  let starting: Promise<void> | undefined;

  const stop = async (): Promise<boolean> => {
    const failed = await components.stopAll(clock.now() + config.drainTimeout);
    return failed.length === 0 && state.isFinished;
  };
  return {
    logger,
    flushLog: log.flush,
    async start() {
      starting = startAll({ config, clock, log, components, state, signal: stopping.signal }, environment);
      try {
        await starting;
      } catch (error) {
        await stop();
        throw error;
      }
    },
    async stop() {
      stopping.abort();
      await starting?.catch(() => {});
      state.phase = "stopping";
      const isClean = await stop();
      logger.info({}, "stopped");
      return isClean;
    },
  };
}

interface LifecycleState {
  phase: "starting" | "ready" | "stopping";
  /** Whether the stop so far has finished everything in hand. */
  isFinished: boolean;
}

interface Lifecycle {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly components: Components;
  readonly state: LifecycleState;
  /** Ends a start that is still going on. */
  readonly signal: AbortSignal;
}

async function startAll(lifecycle: Lifecycle, environment: Environment): Promise<void> {
  const { config, clock, log, components, signal } = lifecycle;
  const { logger } = log;
  const sdk = await startSdk(environment, VERSION, logger);
  await components.startAll([{ name: "telemetry export", stop: sdk.stop }]);
  const redis = await connectRedis({ ...redisOptions(config), signal }, clock, logger);
  await components.startAll([{ name: "Redis", stop: () => redis.disconnect() }]);
  const nats = await connectNats({ ...natsOptions(config), signal }, clock, logger);
  await components.startAll([{ name: "NATS", stop: () => closeNats(nats, clock) }]);
  if (signal.aborted) throw new AppError("NATS_UNREACHABLE", "stopped while starting", { retryable: true });
  await startOn({ ...lifecycle, sdk, redis, nats });
}

interface Foundations extends Lifecycle {
  readonly sdk: Sdk;
  readonly redis: RedisClient;
  readonly nats: NatsConnection;
}

async function startOn({ config, clock, log, components, state, signal, sdk, redis, nats }: Foundations): Promise<void> {
  const { logger } = log;
  const prefix = config.subjectPrefix;
  const names = createSubjects(prefix);
  const jetStream = nats.jetstream();
  const untilAvailable = createStartupWait({ startupTimeoutMs: config.startupTimeout, signal }, clock, logger);
  const manager = await untilAvailable("JetStream", () => openJetStream(nats));
  await untilAvailable("the streams", () => ensureTopology(manager, names, config.streamReplicas));
  const connectionState = createConnectionState(nats);
  const dashboardUrl = (path: string): string | null => config.dashboardUrl && `${config.dashboardUrl.replace(/\/$/, "")}/#${path}`;

  // Registry
  const index = createRegistryIndex();
  const store = createRegistryStore(
    { connection: nats, onReconnect: connectionState.onReconnect, clock, logger },
    { prefix, replicas: config.streamReplicas },
  );
  const ownAddress = createOwnAddress();
  const guard = createAddressGuard(config.targetAllow, {
    schemes: config.targetSchemes,
    ports: config.targetPorts,
    deny: config.targetDeny,
    isOwn: ownAddress.is,
  });
  const resolver = createNameResolver({
    timeoutMs: config.connectTimeout,
    servers: config.targetDnsServers,
  });
  const secretBox = createSecretBox(config.encryptionKey, config.encryptionKeyPrevious);
  const kinds = createRegistryKinds(secretBox);
  const appCreatedAt = (slug: string): number | null => index.app(slug)?.createdAt ?? null;
  const installationRecords = store.recordsOf(kinds.installations);
  const feed = feedIndex({ store, kinds, index, secretBox, logger });
  const signingKey = createSigningKey(store, secretBox);
  const registry = createRegistry(
    { store, kinds, index, secretBox, refusesUrl: createTargetCheck(guard, resolver, { hasProxy: config.targetProxy !== null }), clock },
    { secretOverlapMs: config.secretOverlap, limits: recordLimits(config) },
  );

  // Telemetry
  const debugLog = createDebugLog({ store, clock, logger });
  const metrics = createMetrics(createMeter(VERSION));
  const observer = createDeliveryObserver(
    { log, metrics, isDebugged: debugLog.isOn, evidenceOf: evidence },
    { metricsApps: config.metricsApps, logDeliveredPercent: config.logDeliveredPercent },
  );
  const redisUrl = redis.isCluster ? null : config.redisUrl;
  const tracing = createTracing(sdk.isTracing ? { version: VERSION, prefix, natsServer: () => nats.getServer(), redisUrl } : null);

  // Status
  const outboxOf = <R extends OutboxMembers<StatusEvent>>(records: StatusRecords<R>) =>
    createOutbox<R, StatusEvent>({ records, stream: createStatusPublisher(jetStream, manager, names), clock, logger });
  const outbox = outboxOf(installationRecords);
  const circuitOutbox = outboxOf(store.recordsOf(CIRCUITS));
  const outboxRelay = createOutboxRelay(outbox, clock, logger);
  const circuitOutboxRelay = createOutboxRelay(circuitOutbox, clock, logger);
  const health = createHealthStore(redis, clock.now);
  const webhookUrlOf = (uuid: string): string => {
    const installation = index.installation(uuid);
    return redactedUrl(installation?.webhookUrl ?? (installation && index.app(installation.app)?.webhookUrl) ?? "");
  };
  const parkedFor = async (uuid: string): Promise<number> => {
    const installation = index.installation(uuid);
    return installation === undefined ? 0 : backlog.count(queueOf(installation));
  };
  const integrationStatus = createIntegrationStatus(
    { records: installationRecords, outbox, health, parkedFor, webhookUrlOf, clock },
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
  const states = createInstallationStates((uuid, before, after) => {
    probeSchedule.update(uuid, after?.broken?.probedAt ?? null);
    if (before?.status !== after?.status) parked?.wakeAll();
  });
  const redisHealth = createRedisHealth(redis, clock, logger);
  const attemptLog = createRequestLog(
    { redis, clock, logger, onFailuresWritten: healthWatch.failuresWritten, onLateBatch: tracing.lateBatch },
    {
      size: config.requestLogSize,
      listTtlMs: config.requestLogTtl,
      bufferRows: config.logBufferRows,
      recoveredAt: (uuid) => states.of(uuid)?.recoveredAt ?? 0,
    },
  );

  // Delivery
  let parked: ParkedQueues | undefined;
  const replica = randomUUID();
  const attemptCounts = createFailureExchange(nats, connectionState, names, replica, logger);
  const attemptLeaseMs = (app: string): number => (index.app(app)?.timeoutMs ?? config.requestTimeout) + ATTEMPT_LEASE_EXTRA_MS;
  const circuits = createCircuitBreakers(
    {
      broadcast: attemptCounts.tell,
      isKnown: (app) => index.app(app) !== undefined,
      store: createCircuitStore(circuitOutbox, clock, { prefix, dashboardUrl }),
      clock,
      logger,
      onAdmitting(app) {
        parked?.wakeApp(app);
        probeSchedule.wake();
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
  const circuitOpen = (app: string): boolean => circuits.isOpen(app) && !circuits.tryAcquireProbe(app);
  const sender = createSender(
    { guard, resolver, clock },
    {
      connectTimeoutMs: config.connectTimeout,
      connectionsPerOrigin: config.targetMaxConnections,
      tlsMinVersion: config.targetTlsMinVersion,
      extraAuthorities: config.targetCaFile,
      proxy: config.targetProxy,
    },
  );
  const attempt = createAttempt(
    {
      registry: index,
      envelope: createEnvelopeBuilder(config.defaultActor),
      headers: createHeaderBuilder({ prefix: config.headerPrefix, userAgent: `Posthorn/${VERSION}` }),
      sender,
      tryStart: circuits.tryStart,
      attemptListeners: [
        attemptLog.record,
        observer.attempted,
        healthWatch.onAttempt,
        // A late failure of an app that is gone is none of the one that has its slug now.
        (record) => {
          if (appCreatedAt(record.app.slug) === record.app.createdAt) circuits.onAttempt(record);
        },
      ],
      tracing,
      clock,
      random: Math.random,
      newRequestId: createTraceIds().traceId,
    },
    { requestTimeoutMs: config.requestTimeout, retryScheduleMs: config.retrySchedule, headerPrefix: config.headerPrefix },
  );
  const admission = createAdmission({
    registry: index,
    circuitOpen,
    queueBusy: (queue) => parked?.busy(queue) ?? false,
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
    // A larger one could not be stored in a stream with what has to be said of it.
    get maxBytes() {
      return Math.min(config.maxEventSize, maxPayloadBytes() - MESSAGE_OVERHEAD_BYTES);
    },
    maxHeaders: config.maxEventHeaders,
    maxDepth: config.maxEventDepth,
    maxKeys: config.maxEventKeys,
    maxIdLength: config.maxIdLength,
  };
  const streams = createDeliveryStreams({
    jetStream,
    names,
    clock,
    logger,
    isUp: () => connectionState.up,
    maxPayloadBytes,
    onStored: attemptLog.stored,
  });
  const answeringStreams = streams.within(STORED_WITHIN_MS);
  const giveUpWith = (deadLetters: DeliveryStreamWriter): GiveUp => {
    const announce = (event: StatusEvent) => deadLetters.announce(statusSubject(prefix, event), JSON.stringify(event), event.id);
    const publish = createDeliveryEvents(announce, index, clock, { prefix, dashboardUrl });
    return createGiveUp({ deadLetters, observer, tracing, publish, recordLocation: attemptLog.stored });
  };
  const giveUp = giveUpWith(streams);
  const skipDelivered = createSkipDelivered({ log: attemptLog, observer });
  const inFlight = createInFlight();
  const dispatcher = createDispatcher({
    admission,
    bulkhead,
    destinationOf,
    attempt,
    streams,
    skipDelivered,
    observer,
    tracing,
    directLimit: (appMaxInFlight) => Math.floor((appMaxInFlight ?? config.appMaxInFlight) / 2),
    onParked: (queue) => parked?.wake(queue),
    giveUp,
  });

  // Subscribers
  const isFlowing = ({ installationUuid }: ParkedQueue): boolean => {
    const status = installationUuid === null ? undefined : index.installation(installationUuid)?.status;
    return pauseReason(status, config.brokenAction) === null;
  };
  const acks = createAckBatcher(nats, connectionState, clock);
  const pulling = { connection: nats, manager, acks, connectionState, mayPull: store.isCurrent, clock, logger };
  const deduplicating = { inFlight, skipDelivered, log: attemptLog };
  const handling = {
    ...pulling,
    ...deduplicating,
    names,
    dispatcher,
    streams,
    giveUp,
    observer,
    tracing,
    settle: createCompleteMessage(logger),
  };
  const deliverEvent = createDeliverEvent({ registry: index, dispatcher, inFlight, skipDelivered });
  const backlog = createParkedBacklog(handling);
  const discardBacklog = createDiscardBacklog({ ...handling, giveUp: giveUpWith(answeringStreams), registry: index, backlog });
  const holds = createHolds(store);
  parked = createParkedQueues(
    {
      ...{ ...handling, registry: index, admission, circuitOpen, bulkhead, destinationOf, attempt, attemptLeaseMs },
      ...{ holds, backlog, isFlowing },
    },
    { appMaxInFlight: config.appMaxInFlight, maxParkedAgeMs: config.maxParkedAge },
  );
  const retries = createRetriesSubscriber(handling);
  const fanOut = createFanOutSubscriber({
    ...handling,
    registry: index,
    deliverEvent,
    waiting: () => bulkhead.waiting() + streams.stores().waiting,
  });
  const ackFloor = createAckFloor(manager, store, names, clock, logger);
  const events = createEventsSubscriber(
    { ...handling, match: index.match, registry: index, deliverEvent, ackFloor },
    { maxHeld: config.maxInFlight * EVENTS_PER_IN_FLIGHT, limits: eventLimits },
  );
  const queueOf = ({ app, uuid }: Installation): ParkedQueue => ({ app, installationUuid: uuid });
  const recoveryProbe = createRecoveryProbe({
    queueBusy: parked.busy,
    parkedAfter: backlog.after,
    removeParked: backlog.remove,
    isBroken: (uuid) => index.installation(uuid)?.status === "broken",
    circuitOpen,
    ...{ registry: index, dispatcher, attempt, bulkhead, destinationOf, inFlight, skipDelivered, tracing },
  });
  const probeSchedule = createProbeSchedule(
    {
      installation: index.installation,
      status: integrationStatus,
      isProbePossible: recoveryProbe.isPossible,
      nextProbe: recoveryProbe.next,
      clock,
      logger,
    },
    { intervalMs: config.brokenProbeInterval },
  );

  // What the registry's watch brings beside apps and installations
  store.onRecord(kinds.installations, (key, record) => {
    outboxRelay.update(key, record);
    states.update(key.slice(INSTALLATION_PREFIX.length), record);
  });
  store.onRecord(CIRCUITS, (key, record, revision) => {
    circuitOutboxRelay.update(key, record);
    circuits.apply(key.slice(CIRCUIT_PREFIX.length), circuitState(record), revision);
  });
  store.onRecord(kinds.apps, (key, record) => {
    const slug = key.slice(kinds.apps.prefix.length);
    if (record === null) circuits.forget(slug);
    // It may have become ordered, or may have more in flight.
    else parked?.wakeApp(slug);
  });
  attemptCounts.listen(circuits.receive);
  store.onCurrent(() => events.wake());
  store.onReopen(circuits.forgetRevisions);

  const clockSkew = createClockSkew(store, clock, logger);
  const streamWatch = createStreamWatch(
    {
      manager: await nats.jetstreamManager({ checkAPI: false, timeout: LOOK_WITHIN_MS }),
      canContinueSequences: () => isServerSince(nats, 2, 10),
      ...{ connectionState, names, bucket: store, clockSkew, clock, logger },
    },
    { replicas: config.streamReplicas },
  );

  // API
  const cantStore = (): string | undefined => {
    const found = streamWatch.problems();
    const unusable = STORED_STREAMS.flatMap((stream) => found.get(stream) ?? []);
    const refusing = streams.refusing().filter((stream) => !found.has(stream));
    if (refusing.length > 0) unusable.push(`refusing messages: ${refusing.join(", ")}`);
    return unusable.length === 0 ? undefined : unusable.join("; ");
  };
  const readiness: Readiness = {
    checks: () => ({
      lifecycle: { ok: state.phase === "ready", required: true, detail: state.phase },
      nats: { ok: !nats.isClosed() && connectionState.up, required: true, detail: connectionState.up ? "connected" : "away" },
      events: required("consumed", streamWatch.problems().get("events")),
      registry: required("current", streamWatch.problems().get("registry") ?? (store.isCurrent() ? undefined : "catching up")),
      records: recordsCheck(store.invalid().length),
      streams: required("storing", cantStore()),
      redis: {
        ok: redisHealth.problem() === null,
        required: false,
        detail: redisHealth.problem() === null ? "connected" : `can't be used, the request log is buffered: ${redisHealth.problem()}`,
      },
    }),
  };
  const queryRequestLog = createRequestLogQuery(
    redis,
    (uuid) => index.installation(uuid)?.organizationId,
    appCreatedAt,
    redisHealth.problem,
    (problem) => logger.error({ problem }, "part of the request log can't be read"),
  );
  const lookup = createDeliveryLookup(redis, index.slugs, redisHealth.problem);
  const storedEvents = createStoredEvents(nats, manager, names, clock);
  const explain = createExplain(
    {
      registry,
      index,
      sources: {
        queryRequestLog,
        lookup,
        events: storedEvents,
        streams: createFindInStreams(nats, manager, names),
        circuitOf: circuits.stateOf,
        holdOf: holds.read,
        oldestParked: (queue) => orUnreachable(backlog.oldest(queue)),
      },
      clock,
    },
    {
      stream: names.streams.events,
      maxParkedAgeMs: config.maxParkedAge,
      probeIntervalMs: config.brokenProbeInterval,
      brokenAction: config.brokenAction,
    },
  );
  const meets =
    (uuid: string, precondition: Precondition) =>
    (record: InstallationRecord): void =>
      checkPrecondition(installationKey(uuid), precondition, installationTag(record));
  const appTokens = createAppTokens({ index, signingKey, clock }, { maxTtlMs: config.appTokenMaxTtl });
  const stats = createStatsQuery(redis, appCreatedAt, redisHealth.problem);
  const statusHistory = createStatusHistory(nats, manager, names);
  const readOverview = createReadOverview({
    index,
    circuitOf: circuits.stateOf,
    volumes: createVolumes(stats, clock),
    subjectCounts: createSubjectCounts(manager, names),
    isBusUp: () => connectionState.up,
    clock,
  });
  const liveOverview = createLiveOverview({ readOverview, statusHistory, appCreatedAt, clock });
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
          return discardBacklog(queueOf(toInstallation(record, secretBox)), () => {
            const status = index.installation(uuid)?.status;
            return state.phase !== "stopping" && (status === "broken" || status === "disabled");
          });
        },
      },
      queryHealth: createHealthQuery(
        {
          records: installationRecords,
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
        ...{ attempt, bulkhead, destinationOf, tracing, clock },
        newId: randomUUID,
      }),
      replayNotes: createReplayNotes(redis, clock),
      deadLetters: createDeadLetters({
        ...{ connection: nats, manager, streams: answeringStreams, names, match: index.match, appCreatedAt, tracing, clock },
      }),
      explain,
      resend: createResend({ events: storedEvents, streams: answeringStreams, find: lookup.find, tracing, clock }),
      debugLog,
      stats,
      clock,
      statusHistory,
      brokenOf: (uuid) => states.brokenOf(uuid),
      invalidRecords: store.invalid,
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
      isOpen: config.apiTokens.length === 0,
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
  const gauges = createStreamMetrics(manager, names, clock, logger);
  readStreamMetrics(metrics, {
    version: VERSION,
    inFlight: bulkhead.inFlight,
    waiting: bulkhead.waiting,
    held: () => ({ events: events.held(), retries: retries.held() + fanOut.held(), parked: parked?.held() ?? 0 }),
    acksUnconfirmed: acks.unconfirmed,
    stores: streams.stores,
    refusing: () => countBy(STORED_STREAMS, streams.refusing()),
    parkedQueues: () => parked?.queues() ?? 0,
    streams: gauges.figures,
    circuits: () => countBy(["open", "half_open"], circuits.states()),
    integrations: () =>
      countBy(
        INSTALLATION_STATUSES,
        [...states.all()].map(({ status }) => status),
      ),
    registry: index.counts,
    isRegistryCurrent: store.isCurrent,
    invalidRecords: () => store.invalid().length,
    logBuffered: attemptLog.buffered,
    logNotesBuffered: attemptLog.notesBuffered,
    logDropped: attemptLog.dropped,
    logRefused: attemptLog.refused,
    destinations: sender.destinations,
    isReady: () => isReady(readiness.checks()),
    clockSkewMs: clockSkew.skewMs,
    dependenciesUp: () => ({
      nats: connectionState.up,
      redis: redisHealth.problem() === null,
      ...Object.fromEntries(NATS_DEPENDENCIES.map((name) => [name, !streamWatch.problems().has(name)])),
    }),
  });

  // Start
  const loadRegistry = async (): Promise<void> => {
    await untilAvailable("the registry bucket", store.start);
    refuseWrongKey(store.invalid(), feed.decrypted());
    if (config.encryptionKey === null)
      logger.warn({}, "POSTHORN_ENCRYPTION_KEY is not set: client secrets, header values and webhook URLs are stored in the clear");
    else if (feed.outdated() > 0)
      logger.warn({ records: feed.outdated() }, "records are not encrypted with POSTHORN_ENCRYPTION_KEY: run posthorn re-encrypt");
    for (const network of wideNetworks(config.targetAllow))
      logger.warn(
        { network },
        "POSTHORN_TARGET_ALLOW opens a very wide network, or one with a cloud's metadata service in it, to every webhook",
      );
    const { appsFile } = config;
    if (appsFile === null) return;
    const { loadAppsFile } = await import("../registry/apps-file.ts");
    const loaded = await untilAvailable("the registry bucket", () => loadAppsFile(appsFile, registry, logger));
    logger.info(loaded, "apps file loaded");
  };
  let url = "";

  const held = (): number => events.held() + retries.held() + fanOut.held() + (parked?.held() ?? 0);
  const unfinished = (): number => {
    const { pending, waiting } = streams.stores();
    return held() + bulkhead.inFlight() + pending + waiting;
  };
  const finish = async (deadline: number): Promise<void> => {
    while (unfinished() > 0 && clock.now() < deadline) await sleep(clock, 20);
    const left = unfinished();
    if (left > 0) {
      state.isFinished = false;
      logger.warn({ unfinished: left }, "POSTHORN_DRAIN_TIMEOUT is over; what was not finished is handled again by the next process");
    }
    streams.stop();
  };
  const writeLog = async (deadline: number): Promise<void> => {
    const unwritten = await attemptLog.flush(Math.max(1_000, deadline - clock.now()));
    if (unwritten === 0) return;
    state.isFinished = false;
    logger.error({ unwritten }, "attempts could not be written to the request log");
  };

  const expireParked = async (): Promise<void> => {
    for (const queue of parked?.standing() ?? []) {
      const expired = await backlog.expire(queue, config.maxParkedAge);
      if (expired > 0)
        logger.warn({ app: queue.app, installation_uuid: queue.installationUuid, expired }, "parked deliveries have expired");
    }
  };
  const expiryPeriodMs = Math.min(LONGEST_EXPIRY_SWEEP_MS, Math.max(1_000, config.maxParkedAge / 10));
  const expiring = every(clock, expiryPeriodMs, expireParked, (error) =>
    logger.warn({ error: messageOf(error) }, "expired deliveries can't be swept; trying again"),
  );
  await components.startAll([
    { name: "metrics", stop: metrics.stop },
    { name: "acknowledgements", stop: acks.flush },
    { name: "name look-ups", stop: resolver.close },
    { name: "webhook connections", stop: sender.close },
    { name: "registry", start: loadRegistry, stop: store.stop },
    {
      name: "HTTP API",
      async start() {
        url = await api.start();
        ownAddress.listensAt(config.httpHost, Number(new URL(url).port));
      },
      stop() {
        liveOverview.stop();
        return api.stop();
      },
    },
    { name: "health rule", stop: healthWatch.settled },
    { name: "request log", stop: writeLog },
    { name: "deliveries in hand", stop: finish },
    {
      name: "subscribers",
      async start() {
        for (const subscriber of [parked, retries, fanOut, events])
          if (subscriber !== undefined) await untilAvailable("the consumers", subscriber.start);
      },
      stop() {
        const stopped = Promise.all([events, retries, fanOut, parked, probeSchedule].map((subscriber) => subscriber?.stop()));
        // What has not begun is parked or given back at once, for another replica.
        bulkhead.close();
        return stopped;
      },
    },
    { name: "outbox relay", stop: outboxRelay.stop },
    { name: "outbox relay of circuits", stop: circuitOutboxRelay.stop },
    { name: "ack floor", start: ackFloor.start, stop: ackFloor.stop },
    { name: "Redis health", start: redisHealth.start, stop: redisHealth.stop },
    { name: "stream watch", start: streamWatch.start, stop: streamWatch.stop },
    { name: "stream metrics", start: gauges.start, stop: gauges.stop },
    {
      name: "expiry",
      start() {
        if (config.brokenAction === "park") probeSchedule.start();
        expiring.startLater();
      },
      stop: expiring.stop,
    },
  ]);
  state.phase = "ready";
  logger.info({ url, version: VERSION, prefix }, "Posthorn is ready");
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

function recordsCheck(invalid: number): Check {
  const detail = invalid === 0 ? "all can be read" : `${invalid} can't be read: GET /v1/invalid-records lists them`;
  return { ok: invalid === 0, required: false, detail };
}

/** @param problem undefined: there is none */
function required(whenOk: string, problem: string | undefined): Check {
  return { ok: problem === undefined, required: true, detail: problem ?? whenOk };
}

function countBy<T extends string>(all: readonly T[], values: Iterable<string>): Record<T, number> {
  const counts = Object.fromEntries(all.map((value) => [value, 0])) as Record<T, number>;
  for (const value of values) if (Object.hasOwn(counts, value)) counts[value as T]++;
  return counts;
}
