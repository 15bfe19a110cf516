/**
 * Pulls messages of one durable consumer, never holding more than asked for. The library's consume() refills by what its
 * callback has returned from; here a message counts until it is acknowledged, which is the back-pressure of the service.
 *
 * P1  held + outstanding never exceeds limit() at the time of a pull.
 * P2  A message that arrives after stop() began is given back at once (nak), so that another replica gets it.
 * P3  A deleted consumer, a lost pull or a silent server is noticed by the heartbeats at the latest, and `recover` is
 *     called before pulling goes on; nothing waits for ever.
 * P4  A message that is handed out again while it is held goes on as the one that it is: it is never handled twice at once.
 */
import { createInbox, type JetStreamManager, type Msg, type NatsConnection, nanos, type Subscription } from "nats";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { createSlots } from "../model/slots.ts";
import { resolvesWithin } from "../model/within.ts";
import { type ConnectionState, INBOX_PREFIX } from "./connection.ts";
import { type AckBatcher, type ConsumedMessage, createPulledMessage } from "./message.ts";
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
  /** Makes the consumer when it is missing. */
  readonly recover: () => Promise<void>;
  /** Deferred messages are kept alive with working() this often; well below the consumer's ack_wait. */
  readonly workingEveryMs: number;
}

const EXPIRES_MS = 30_000;
const HEARTBEAT_MS = 2_500;
const RECOVER_AFTER_MS = 250;
const TICK_MS = 1000;
const DRAIN_WITHIN_MS = 2_000;

export function createPullConsumer(dependencies: PullConsumerDependencies, options: PullLoopOptions): PullConsumer {
  const { connection, acks, connectionState, mayPull, clock, logger } = dependencies;
  const { stream, consumer, limit, onMessage, recover } = options;
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
  let cancelTick = (): void => {};
  let offReconnect = (): void => {};

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

  const onSettled = (message: ConsumedMessage): void => {
    held.remove(message);
    pull();
  };

  const recoverNow = async (why: string): Promise<void> => {
    if (recovering || stopping) return;
    recovering = true;
    outstanding = 0;
    for (let waitMs = RECOVER_AFTER_MS; !stopping; waitMs = Math.min(waitMs * 2, 5_000)) {
      await new Promise((resolve) => clock.after(waitMs, () => resolve(undefined)));
      if (stopping) return;
      try {
        await recover();
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
    const pulled = createPulledMessage(message, acks, onSettled);
    const before = pulled.deliveries > 1 ? held.find(({ sequence }) => sequence === pulled.sequence) : undefined;
    if (before !== undefined) return before.renew(message.reply ?? "");
    if (stopping) return pulled.nak(1);
    pulled.touchedAt = lastHeardAt;
    held.add(pulled);
    try {
      onMessage(pulled);
    } catch (fault) {
      logger.error({ stream, sequence: pulled.sequence, error: messageOf(fault) }, "message could not be handled, it comes again");
      pulled.nak(AGAIN_AFTER_MS);
    }
    if (outstanding === 0) pull();
  };

  const tick = (): void => {
    const now = clock.now();
    held.each((message) => {
      if (now - message.touchedAt < options.workingEveryMs) return;
      message.working();
      message.touchedAt = now;
    });
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
      cancelTick = clock.after(TICK_MS, tick);
      pull();
    },
    async stop() {
      stopping = true;
      offReconnect();
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
