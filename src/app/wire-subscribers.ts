/** The subscribers of events, fan-out batches, retries, parked queues and ordered apps, and the probes of broken integrations. */
import type { Config } from "../config/settings.ts";
import { createDeadLetters } from "../dead-letters/dead-letters.ts";
import { createStoppingDeadLetter } from "../dead-letters/stopping-dead-letter.ts";
import { createDeliverEvent } from "../delivery/deliver-event.ts";
import { createNextInOrder } from "../delivery/next-in-order.ts";
import type { ParkedQueue } from "../delivery/ports.ts";
import { createRecoveryProbe } from "../delivery/recovery-probe.ts";
import { createStopKeys } from "../delivery/stop-keys.ts";
import { createFindInStreams } from "../explain/find-in-streams.ts";
import { createAckFloor } from "../jetstream/ack-floor.ts";
import { MESSAGE_OVERHEAD_BYTES } from "../jetstream/connection.ts";
import { createHeldBytes } from "../jetstream/held-bytes.ts";
import { mayLoseMessages } from "../jetstream/subject-index.ts";
import type { Installation } from "../model/app.ts";
import type { EventLimits } from "../model/event-reader.ts";
import { pauseReason } from "../model/installation-pause.ts";
import { createProbeSchedule } from "../status/probe-schedule.ts";
import { createDeliveryLookup } from "../storage/delivery-lookup.ts";
import { createGiveBacks } from "../storage/give-backs.ts";
import { createHandOuts } from "../storage/hand-outs.ts";
import { createEventsSubscriber } from "../subscribers/events-subscriber.ts";
import { createFanOutSubscriber } from "../subscribers/fan-out-subscriber.ts";
import { answerAboutOrder, createAskOrder } from "../subscribers/ordered/ask-order.ts";
import { createQueueOwner } from "../subscribers/ordered/queue-owner.ts";
import { createAttemptParked } from "../subscribers/parked/attempt-parked.ts";
import { createBacklog } from "../subscribers/parked/backlog.ts";
import { createParkedQueues } from "../subscribers/parked/parked-queues.ts";
import { createPoisonLimit } from "../subscribers/parked/poison-limit.ts";
import { createReadEvent } from "../subscribers/read-event.ts";
import { createReplicaChannel } from "../subscribers/replica-channel.ts";
import { createRetriesSubscriber } from "../subscribers/retries-subscriber.ts";
import { createRetryNow } from "../subscribers/retry-now.ts";
import type { Foundation } from "./foundation.ts";
import type { LatePorts } from "./late-ports.ts";
import type { CircuitParts } from "./wire-circuits.ts";
import type { DeliveryParts } from "./wire-delivery.ts";
import type { RegistryParts } from "./wire-registry.ts";
import type { StatusParts } from "./wire-status.ts";
import type { StreamParts } from "./wire-streams.ts";
import type { TelemetryParts } from "./wire-telemetry.ts";
import type { ThrottleParts } from "./wire-throttles.ts";

type Given = Foundation &
  StreamParts &
  RegistryParts &
  TelemetryParts &
  StatusParts &
  CircuitParts &
  ThrottleParts &
  DeliveryParts &
  LatePorts;

export type SubscriberParts = ReturnType<typeof wireSubscribers>;

export function wireSubscribers(given: Given) {
  const { config, nats, redis, manager, names, index, registryStore, acks, bulkhead, deliveryStreams, orderRecords } = given;
  const { shareOf, replica, clock, logger } = given;
  const eventLimits = eventLimitsOf(config, given.connectionState.maxPayloadBytes);
  const giveBacks = createGiveBacks(redis, clock, () => given.state.phase === "stopping");
  // A server that takes too small messages could not store what a delivery leads to: a retry, a parked delivery or a dead letter.
  const mayPull = (): boolean => registryStore.isCurrent() && given.connectionState.problem() === null;
  const pulling = { ...given, connection: nats, acks, giveBacks, mayPull };
  const handling = { ...pulling, log: given.requestLog, streams: deliveryStreams, registry: index, match: index.match };
  const deliverEvent = createDeliverEvent(given);
  const readEvent = createReadEvent(names, eventLimits);
  const poisonLimit = createPoisonLimit(createHandOuts(redis), names.streams.events);
  const backlog = createBacklog({ ...given, connection: nats, poisonLimit });
  const replicaChannel = createReplicaChannel(nats, logger);
  const attemptParked = createAttemptParked({ ...given, circuitOpen: given.isHeldBack, maxParkedAgeMs: config.maxParkedAge });
  const isFlowing = ({ installationUuid }: ParkedQueue): boolean => {
    const status = installationUuid === null ? undefined : index.installation(installationUuid)?.status;
    return pauseReason(status, config.brokenAction) === null;
  };
  const parkedQueues = createParkedQueues({
    ...{ ...handling, attemptParked, attemptsSoon: attemptsSoonOf(given), heldBytes: createHeldBytes(config.readAhead) },
    isOwned: (app) => orderRecords.get(app) !== undefined,
    limitOf: shareOf,
    onWake: given.wakeOwner,
  });
  const lookup = createDeliveryLookup(
    { redis, knownApps: index.slugs, now: clock.now, problem: given.redisHealth.problem },
    { dedupTtlMs: config.dedupTtl, notesTtlMs: config.deliveryNotesTtl },
  );
  const findInStreams = createFindInStreams(nats, manager, names);
  const deadLetterOf = createStoppingDeadLetter({ find: lookup.find, at: findInStreams.at });
  const stopKeys = createStopKeys({ ...given, registry: index, streams: deliveryStreams, deadLetterOf });
  const queueOwner = createQueueOwner({
    ...{ ...handling, attemptParked, backlog, isFlowing, readEvent, records: registryStore, orderRecords, replica },
    ...{ poisonLimit, deadLetterOf, heldBytes: createHeldBytes(config.readAhead), readAnyEvent: createReadEvent(names, null) },
    stateOf: parkedQueues.stateOf,
    countOf: (queue) => (mayLoseMessages(nats) ? Number.POSITIVE_INFINITY : parkedQueues.count(queue)),
    busyQueues: parkedQueues.busyQueues,
    takeRoom: given.share.take,
    limitOf: shareOf,
    maxInFlightOf: given.maxInFlightOf,
  });
  replicaChannel.answerAsOwner(names.inFlight, () => (queueOwner.isOwner() ? queueOwner.inFlight() : null));
  replicaChannel.answerAsOwner(names.retryNow, (app) => queueOwner.retryNow(String(app)));
  replicaChannel.answerAsOwner(names.order, (question) => answerAboutOrder(queueOwner.term(), question));
  replicaChannel.onNews(names.removedDeadLetters, (sequence) => {
    queueOwner.deadLetterRemoved(Number(sequence));
    given.lookSoon(null);
  });
  const askOrder = createAskOrder(replicaChannel, names.order);
  const deadLetters = createDeadLetters({
    ...{ connection: nats, manager, names, appCreatedAt: given.appCreatedAt },
    onRemoved: (sequence) => replicaChannel.announce(names.removedDeadLetters, sequence),
  });
  const retries = createRetriesSubscriber({ ...handling, maxHeldBytes: config.readAhead });
  replicaChannel.onNews(names.movedRetries, (sequences) => retries.drop(new Set(sequences as number[])));
  const retryNow = createRetryNow({ ...pulling, names, registry: index, streams: given.answeringStreams, channel: replicaChannel });
  const fanOut = createFanOutSubscriber({
    ...{ ...handling, deliverEvent },
    waiting: () => bulkhead.waiting() + deliveryStreams.counts().waiting,
  });
  const ackFloor = createAckFloor(manager, registryStore, names, clock, logger);
  const events = createEventsSubscriber(
    { ...handling, ...waitsOf(given), readEvent, isLeft: orderRecords.areLeft, deliverEvent, ackFloor },
    { maxInFlight: config.maxInFlight, maxBytes: config.readAhead },
  );
  registryStore.onCurrent(() => events.wake());
  bulkhead.onStalled(() => events.wake());
  return {
    ...{
      pulling,
      eventLimits,
      backlog,
      stopKeys,
      replicaChannel,
      isFlowing,
      parkedQueues,
      queueOwner,
      askOrder,
      lookup,
      findInStreams,
      deadLetters,
      retries,
      retryNow,
      fanOut,
      ackFloor,
      events,
    },
    probeSchedule: probeScheduleOf(given, { parkedQueues, backlog, poisonLimit, askOrder, stopKeys }),
    held: () => ({
      events: events.held(),
      retries: retries.held() + fanOut.held(),
      parked: parkedQueues.held() + queueOwner.held(),
    }),
  };
}

/** Deliveries whose attempts begin later than this need not be held. */
const SOON_MS = 2_000;

function attemptsSoonOf({ throttles, circuits, turns }: Given): (app: string) => number {
  return (app) => {
    if (throttles.isThrottled(app)) return 0;
    if (circuits.isOpen(app)) return circuits.mayProbe(app) ? 1 : 0;
    return turns.countWithin(app, SOON_MS);
  };
}

/** Reasons for which an event's deliveries have to wait. */
function waitsOf({ config, throttles, circuits, isQueueBusy, bulkhead, turns, deliveryStreams, shareOf }: Given) {
  return {
    mustWait: ({ app, status }: Installation): boolean =>
      pauseReason(status, config.brokenAction) !== null ||
      throttles.isThrottled(app) ||
      isQueueBusy({ app, installationUuid: null }) ||
      circuits.isOpen(app) ||
      bulkhead.isStalled(app),
    isCrowded: (app: string): boolean => bulkhead.waitingOf(app) >= shareOf(app),
    waitingForApps: () => bulkhead.stalled() + turns.waiting(),
    beingStored: deliveryStreams.underWay,
  };
}

function eventLimitsOf(config: Config, maxPayloadBytes: () => number): EventLimits {
  return {
    // A larger event would not fit into a stream together with what its messages add.
    get maxBytes() {
      return Math.min(config.maxEventSize, maxPayloadBytes() - MESSAGE_OVERHEAD_BYTES);
    },
    maxHeaders: config.maxEventHeaders,
    maxDepth: config.maxEventDepth,
    maxKeys: config.maxEventKeys,
    maxIdLength: config.maxIdLength,
  };
}

interface Queues {
  readonly parkedQueues: ReturnType<typeof createParkedQueues>;
  readonly backlog: ReturnType<typeof createBacklog>;
  readonly poisonLimit: ReturnType<typeof createPoisonLimit>;
  readonly askOrder: ReturnType<typeof createAskOrder>;
  readonly stopKeys: ReturnType<typeof createStopKeys>;
}

function probeScheduleOf(given: Given, { parkedQueues, backlog, poisonLimit, askOrder, stopKeys }: Queues) {
  const { config, index, integrationStatus, clock, logger } = given;
  const recoveryProbe = createRecoveryProbe({
    ...given,
    registry: index,
    circuitOpen: given.isHeldBack,
    queueBusy: parkedQueues.busy,
    parkedAfter: (queue, sequence) => backlog.first(queue, { from: sequence + 1, reading: poisonLimit.probe.reading }),
    removeParked: backlog.remove,
    nextInOrder: createNextInOrder({
      ...{ registry: index, skipDelivered: given.skipDelivered, firstInOrder: askOrder.firstInOrder },
      readParked: (queue, after) => backlog.read(queue, { from: after + 1 }),
      parkedAt: (sequence) => backlog.at(sequence, poisonLimit.probe.reading),
      isStopping: () => given.state.phase === "stopping",
      async removeDone(parked) {
        const isStopped = await stopKeys.done(parked.delivery, parked.source);
        await backlog.remove(parked);
        return isStopped;
      },
    }),
    onGivenUp: stopKeys.givenUp,
    handOut: poisonLimit.probe.attempt,
    isBroken: (uuid) => index.installation(uuid)?.status === "broken",
  });
  const { isPossible: isProbePossible, prepare: prepareProbe } = recoveryProbe;
  return createProbeSchedule(
    { installation: index.installation, status: integrationStatus, isProbePossible, prepareProbe, clock, logger },
    { intervalMs: config.brokenProbeInterval },
  );
}
