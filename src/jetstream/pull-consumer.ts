/**
 * Pulls messages of one durable consumer, never holding more than asked for. The library's consume() refills by what its
 * callback has returned from; here a message counts until it is acknowledged, which is the back-pressure of the service.
 *
 * P1  held + outstanding never exceeds limit() at the time of a pull.
 * P2  A message that arrives after stop() began is given back at once (nak), so that another replica gets it.
 * P3  A deleted consumer, a lost pull or a silent server is noticed by the heartbeats at the latest, and `recover` is
 *     called before pulling goes on; nothing waits for ever.
 * P4  A message that is handed out again while it is held goes on as the one that it is: it is never handled twice at once.
 * P5  A message's lease (LEASE-1) runs for ack_wait from its receipt, or from a heartbeat that a PONG has followed, and ends with its
 *     consumer. What arrives right after the process stood still was handed out when it last ran.
 */
import { createInbox, type JetStreamManager, type Msg, type NatsConnection, nanos, type Subscription } from "nats";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { sleep } from "../model/periodic.ts";
import { createSlots } from "../model/slots.ts";
import { resolvesWithin } from "../model/within.ts";
import { type ConnectionState, INBOX_PREFIX } from "./connection.ts";
import type { ConsumerDeletions } from "./consumer-deletions.ts";
import { type AckBatcher, type ConsumedMessage, createPulledMessage, type GiveBacks, isPoison, isSuspect } from "./message.ts";
import { AGAIN_AFTER_MS } from "./message-handler.ts";
import { createStalledConsumer, type WatchedConsumer } from "./stalled-consumer.ts";

export interface PullConsumer {
  start(): void;
  /** Stops pulling; resolves when no message can arrive any more. Deferred ones stay with their handlers. */
  stop(): Promise<void>;
  /** Looks again at limit(), e.g. after it grew. */
  wake(): void;
  held(): number;
  /** Milliseconds since the epoch of the last message, or of the start. */
  lastMessageAt(): number;
}

export interface PullConsumerDependencies {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly acks: AckBatcher;
  readonly connectionState: ConnectionState;
  readonly consumerDeletions: ConsumerDeletions;
  readonly giveBacks: GiveBacks;
  /** Monotonic milliseconds; the process's own when not given. */
  readonly monotonicNow?: () => number;
  /** Whether what is pulled can be handled now; asked again every second, and when woken. */
  readonly mayPull: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface PullLoopOptions extends WatchedConsumer {
  /** How many messages may be held (pulled and not yet acknowledged) at once; 0 pauses. */
  readonly limit: () => number;
  /** Settles the message itself (ack or nak), now or later. */
  readonly onMessage: (message: ConsumedMessage) => void;
  /** Gets instead what may be what kills the process. */
  readonly onPoison: (message: ConsumedMessage) => void;
  /** The lease of a held message is over. Called again and again until it is settled. */
  readonly onLost?: (message: ConsumedMessage) => void;
  /** Makes the consumer when it is missing. */
  readonly recover: () => Promise<void>;
  /** The consumer's; heartbeats for what is held are sent every third of it. */
  readonly ackWaitMs: number;
}

const EXPIRES_MS = 30_000;
const HEARTBEAT_MS = 2_500;
const RECOVER_AFTER_MS = 250;
const TICK_MS = 1000;
const DRAIN_WITHIN_MS = 2_000;
/** Without a tick for so long, the process stood still (P5). */
const STALL_MS = 2_500;
/** Share of ack_wait that a lease is shorter. */
const LEASE_MARGIN = 0.1;

export function createPullConsumer(dependencies: PullConsumerDependencies, options: PullLoopOptions): PullConsumer {
  const { connection, manager, acks, connectionState, consumerDeletions, giveBacks, mayPull, clock, logger } = dependencies;
  const { stream, consumer, limit, onMessage, onPoison, onLost, recover, ackWaitMs } = options;
  const monotonicNow = dependencies.monotonicNow ?? (() => performance.now());
  const leaseMs = ackWaitMs * (1 - LEASE_MARGIN);
  const pullSubject = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
  const inbox = createInbox(INBOX_PREFIX);
  const held = createSlots<ConsumedMessage>();
  const stalledConsumer = createStalledConsumer(dependencies, options);
  let subscription: Subscription | undefined;
  let outstanding = 0;
  let lastHeardAt = clock.now();
  let lastMessageAt = clock.now();
  /** Of the pulls that are outstanding. */
  let startedAt = clock.now();
  let recovering = false;
  let stopping = false;
  let tickedAt = monotonicNow();
  /** When the process last ran before it stood still, until all that had arrived meanwhile is read; null: it did not. */
  let stalledSince: number | null = null;
  /** When the consumer was made, in the server's words. */
  let created: string | null = null;
  let cancelTick = (): void => {};
  let offReconnect = (): void => {};
  let offDeleted = (): void => {};

  const pull = (): void => {
    if (stopping || recovering || subscription === undefined || connection.isClosed()) return;
    const most = mayPull() ? limit() : 0;
    const free = most - held.size - outstanding;
    // Small top-ups cost a round trip each: wait until a quarter is free, unless nothing is on its way.
    if (free <= 0 || (outstanding > 0 && free < most / 4)) return;
    if (outstanding === 0) lastHeardAt = startedAt = clock.now();
    outstanding += free;
    const request = { batch: free, expires: nanos(EXPIRES_MS), idle_heartbeat: nanos(HEARTBEAT_MS) };
    connection.publish(pullSubject, JSON.stringify(request), { reply: inbox });
  };

  const puller = {
    now: monotonicNow,
    settled(message: ConsumedMessage, givenBack: boolean): void {
      held.remove(message);
      if (givenBack) giveBacks.note(message);
      pull();
    },
  };

  const loseAll = (): void => held.each((message) => message.lose());

  /** What was handed out by a consumer that is gone is handed out again by the one that took its place. */
  const checkIncarnation = async (): Promise<void> => {
    const found = (await manager.consumers.info(stream, consumer)).created;
    if (created !== null && found !== created) loseAll();
    created = found;
  };

  const recoverNow = async (why: string): Promise<void> => {
    if (recovering || stopping) return;
    recovering = true;
    outstanding = 0;
    for (let waitMs = RECOVER_AFTER_MS; !stopping; waitMs = Math.min(waitMs * 2, 5_000)) {
      await sleep(clock, waitMs);
      if (stopping) return;
      try {
        await recover();
        await checkIncarnation();
        break;
      } catch (error) {
        if (waitMs === RECOVER_AFTER_MS) logger.warn({ stream, consumer, why, error: messageOf(error) }, "consumer can't be recovered yet");
      }
    }
    recovering = false;
    lastHeardAt = clock.now();
    pull();
  };

  const onStatus = (message: Msg, code: number): void => {
    const description = message.headers?.description ?? "";
    if (code === 100) return;
    if (code === 408 || code === 404 || (code === 409 && message.headers?.has("Nats-Pending-Messages"))) {
      const pending = Number(message.headers?.get("Nats-Pending-Messages") || outstanding);
      outstanding = Math.max(0, outstanding - pending);
      return pull();
    }
    void recoverNow(`${code} ${description}`);
  };

  const receive = (error: Error | null, message: Msg): void => {
    lastHeardAt = clock.now();
    if (error !== null) return void recoverNow(messageOf(error));
    const code = message.headers?.code ?? 0;
    if (code !== 0) return onStatus(message, code);
    outstanding = Math.max(0, outstanding - 1);
    lastMessageAt = lastHeardAt;
    const pulled = createPulledMessage(message, acks, puller);
    const receivedAt = stalledSince ?? monotonicNow();
    const before = held.find(({ sequence }) => sequence === pulled.sequence);
    if (before !== undefined) {
      before.leaseUntil = receivedAt + leaseMs;
      return before.renew(message.reply ?? "");
    }
    if (stopping) return pulled.nak(1);
    pulled.heartbeatAt = receivedAt;
    pulled.leaseUntil = receivedAt + leaseMs;
    held.add(pulled);
    if (isSuspect(pulled)) {
      void isPoison(pulled, giveBacks).then((isOne) => (isOne ? onPoison(pulled) : begin(pulled)));
    } else begin(pulled);
    if (outstanding === 0) pull();
  };

  const begin = (pulled: ConsumedMessage): void => {
    try {
      onMessage(pulled);
    } catch (fault) {
      logger.error({ stream, sequence: pulled.sequence, error: messageOf(fault) }, "message could not be handled, it comes again");
      pulled.fail(AGAIN_AFTER_MS);
    }
  };

  /** Leases grow once the server must have the heartbeats. */
  const sendHeartbeats = (): void => {
    const sentAt = monotonicNow();
    const sent: ConsumedMessage[] = [];
    held.each((message) => {
      if (!message.isOurs()) return onLost?.(message);
      if (sentAt - message.heartbeatAt < ackWaitMs / 3) return;
      message.working();
      message.heartbeatAt = sentAt;
      sent.push(message);
    });
    if (sent.length === 0 || !connectionState.up || connection.isClosed()) return;
    connection
      .flush()
      .then(checkIncarnation)
      .then(
        () => {
          for (const message of sent) if (message.isOurs()) message.leaseUntil = sentAt + leaseMs;
        },
        (error: unknown) => logger.debug({ stream, consumer, error: messageOf(error) }, "heartbeats are not confirmed"),
      );
  };

  /** P5. */
  const noticeStall = (): void => {
    const before = tickedAt;
    tickedAt = monotonicNow();
    if (tickedAt - before < STALL_MS) return;
    stalledSince ??= before;
    if (connection.isClosed()) return;
    connection.flush().then(
      () => {
        stalledSince = null;
      },
      () => {},
    );
  };

  const tick = (): void => {
    const now = clock.now();
    noticeStall();
    sendHeartbeats();
    if (!stopping && outstanding > 0 && now - lastHeardAt > 3 * HEARTBEAT_MS) void recoverNow("no heartbeat");
    else pull();
    if (outstanding > 0 && !recovering) stalledConsumer.look(Math.max(lastMessageAt, startedAt));
    if (!stopping || held.size > 0) cancelTick = clock.after(TICK_MS, tick);
  };

  return {
    start() {
      subscription = connection.subscribe(inbox, { callback: receive });
      // Pulls of the old connection are gone with it.
      offReconnect = connectionState.onReconnect(() => void recoverNow("reconnected"));
      offDeleted = consumerDeletions.on(stream, consumer, () => {
        loseAll();
        void recoverNow("deleted");
      });
      void checkIncarnation().catch(() => {});
      cancelTick = clock.after(TICK_MS, tick);
      pull();
    },
    async stop() {
      stopping = true;
      offReconnect();
      offDeleted();
      // Heartbeats go on for what is held: its handlers may need a while.
      if (subscription !== undefined && !connection.isClosed()) {
        await resolvesWithin(clock, DRAIN_WITHIN_MS, subscription.drain());
      }
      if (held.size === 0) cancelTick();
    },
    wake: pull,
    held: () => held.size,
    lastMessageAt: () => lastMessageAt,
  };
}
