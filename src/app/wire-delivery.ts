/** The way of a delivery: admission, the app's share, the attempt, and what follows from it. */
import { VERSION } from "../config/version.ts";
import { createStoreAgain } from "../dead-letters/store-again.ts";
import { createAdmission } from "../delivery/admission.ts";
import { createAttempt } from "../delivery/attempt.ts";
import { createDispatcher } from "../delivery/dispatcher.ts";
import { createEnvelopeBuilder } from "../delivery/envelope.ts";
import { createGiveUp, type GiveUp } from "../delivery/give-up.ts";
import { createHeaderBuilder } from "../delivery/headers.ts";
import { maxOpenFiles } from "../delivery/http/max-open-files.ts";
import { createSender } from "../delivery/http/sender.ts";
import { createInFlight } from "../delivery/in-flight.ts";
import { createBulkhead } from "../delivery/limits/bulkhead.ts";
import { createDestinationOf, webhookUrlOf } from "../delivery/limits/destination.ts";
import type { AttemptRecord, RegistryView } from "../delivery/ports.ts";
import { createSkipDelivered } from "../delivery/skip-delivered.ts";
import { createDeliveryStreams, type DeliveryStreamWriter } from "../jetstream/delivery-streams.ts";
import { type App, isOrdered } from "../model/app.ts";
import { createDeliveryEvents } from "../status/delivery-events.ts";
import { createOrderRecords } from "../subscribers/ordered/order-records.ts";
import { createParkedShare } from "../subscribers/parked/parked-share.ts";
import { createTraceIds } from "../telemetry/trace-ids.ts";
import type { Foundation } from "./foundation.ts";
import type { LatePorts } from "./late-ports.ts";
import type { CircuitParts } from "./wire-circuits.ts";
import type { RegistryParts } from "./wire-registry.ts";
import type { StatusParts } from "./wire-status.ts";
import type { StreamParts } from "./wire-streams.ts";
import type { TelemetryParts } from "./wire-telemetry.ts";
import type { ThrottleParts } from "./wire-throttles.ts";

type Given = Foundation & StreamParts & RegistryParts & TelemetryParts & StatusParts & CircuitParts & ThrottleParts & LatePorts;

export type DeliveryParts = ReturnType<typeof wireDelivery>;

/** How long a delivery waits for its app's share before it is parked. */
const BULKHEAD_WAIT_MS = 500;
/** How long a person waits for what they asked to be stored; longer than a publish without an answer takes. */
const STORED_WITHIN_MS = 5_000;

export function wireDelivery(given: Given) {
  const { config, names, connectionState, registryStore, index, observer, tracing, requestLog, circuitOpen } = given;
  const { throttles, turns, directLimit, isQueueBusy, onParked, wakeQueues, clock, logger } = given;
  const sender = senderOf(given);
  const attempt = attemptOf(given, sender);
  const orderRecords = createOrderRecords(registryStore, (app) => wakeQueues("order", app));
  registryStore.onReopen(orderRecords.forgetRevisions);
  const keepsOrder = (app: App | undefined): boolean => app !== undefined && (isOrdered(app) || orderRecords.get(app.slug) !== undefined);
  const admission = createAdmission({
    registry: index,
    isCurrent: registryStore.isCurrent,
    isThrottled: throttles.isThrottled,
    circuitOpen,
    queueBusy: isQueueBusy,
    keepsOrder,
    brokenAction: config.brokenAction,
  });
  const bulkhead = createBulkhead(clock, {
    maxInFlight: config.maxInFlight,
    maxPerDestination: config.targetMaxConnections,
    maxWaitMs: BULKHEAD_WAIT_MS,
  });
  // Without NATS nothing can be acknowledged or stored: attempts in flight finish, and none starts until the registry is current again.
  const isUsable = (): boolean => connectionState.problem() === null;
  const suspendOrResume = (): void => {
    if (!isUsable()) bulkhead.suspend();
    else if (registryStore.isCurrent()) bulkhead.resume();
  };
  connectionState.onDisconnect(suspendOrResume);
  connectionState.onServerInfo(suspendOrResume);
  registryStore.onCurrent(suspendOrResume);
  const share = createParkedShare(config.parkedAppShare);
  const deliveryStreams = createDeliveryStreams({
    ...{ publish: given.pipelinedPublish, names, maxPayloadBytes: connectionState.maxPayloadBytes, clock, logger },
    isUsable,
    onStored(delivery, location) {
      requestLog.stored(delivery, location);
      if (location.stream === "parked") share.parked(delivery, location.sequence);
    },
  });
  const answeringStreams = deliveryStreams.within(STORED_WITHIN_MS);
  const storeAgain = createStoreAgain({
    ...{ streams: answeringStreams, admission, onParked, clock },
    keepsOrder: (app) => keepsOrder(index.app(app)),
  });
  const giveUp = giveUpInto(given, deliveryStreams);
  const destinationOf = createDestinationOf(index);
  const skipDelivered = createSkipDelivered({ log: requestLog, observer });
  const dispatcher = createDispatcher({
    ...{ admission, bulkhead, destinationOf, attempt, skipDelivered, observer, tracing, turns, directLimit, onParked, giveUp },
    streams: deliveryStreams,
    takeRoom: share.take,
  });
  return {
    ...{ sender, attempt, orderRecords, admission, bulkhead, destinationOf, dispatcher, share },
    ...{ skipDelivered, inFlight: createInFlight(), deliveryStreams, answeringStreams, storeAgain, giveUp },
    answeringGiveUp: giveUpInto(given, answeringStreams),
  };
}

function senderOf({ config, addressGuard, nameResolver, clock }: Given) {
  return createSender(
    { guard: addressGuard, resolver: nameResolver, clock },
    {
      connectTimeoutMs: config.connectTimeout,
      connectionsPerOrigin: config.targetMaxConnections,
      maxIdleConnections: Math.min(config.targetMaxIdleConnections, Math.floor(maxOpenFiles() / 2)),
      tlsMinVersion: config.targetTlsMinVersion,
      extraAuthorities: config.targetCaFile,
      proxy: config.targetProxy,
    },
  );
}

function attemptOf(given: Given, sender: ReturnType<typeof createSender>) {
  const { config, index, requestLog, observer, circuits, throttles, turns, healthWatch, appCreatedAt, tracing, clock, wallClock } = given;
  return createAttempt(
    {
      ...{ registry: index, sender, tracing, clock, wallClock },
      envelope: createEnvelopeBuilder(config.defaultActor),
      headers: createHeaderBuilder({ prefix: config.headerPrefix, userAgent: `Posthorn/${VERSION}` }),
      tryStart: (app) => !throttles.isThrottled(app) && circuits.tryStart(app),
      circuitOf: (app) => (circuits.isOpen(app) ? "open" : circuits.isOpening(app) ? "opening" : "closed"),
      attemptListeners: [
        requestLog.record,
        observer.attempted,
        healthWatch.onAttempt,
        // The slug of a deleted app may belong to a new one, which a late failure must not concern.
        (record) => {
          if (appCreatedAt(record.app.slug) !== record.app.createdAt) return;
          if (isOfPresentReceiver(index, record)) {
            throttles.onAttempt(record);
            turns.onAttempt(record);
          }
          circuits.onAttempt(record);
        },
      ],
      random: Math.random,
      newRequestId: createTraceIds().traceId,
    },
    {
      requestTimeoutMs: config.requestTimeout,
      retryScheduleMs: config.retrySchedule,
      rejectedRetryScheduleMs: config.rejectedRetrySchedule,
      maxThrottleMs: config.maxThrottle,
      maxParkedAgeMs: config.maxParkedAge,
      headerPrefix: config.headerPrefix,
    },
  );
}

/** An answer of a former receiver says nothing about what the present one takes. */
function isOfPresentReceiver(registry: RegistryView, { app, installation, webhookUrl }: AttemptRecord): boolean {
  return webhookUrlOf(registry.installation(installation.uuid) ?? installation, registry.app(app.slug) ?? app) === webhookUrl;
}

function giveUpInto(
  { config, observer, tracing, requestLog, index, eventBudget, dashboardUrl, clock }: Given,
  deadLetters: DeliveryStreamWriter,
): GiveUp {
  const prefix = config.subjectPrefix;
  const events = { publish: deadLetters.announce, budget: eventBudget, registry: index, clock };
  const publish = createDeliveryEvents(events, { prefix, dashboardUrl });
  return createGiveUp({ deadLetters, observer, tracing, publish, recordLocation: requestLog.stored });
}
