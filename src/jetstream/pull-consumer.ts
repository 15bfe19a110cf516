/**
 * Pulls messages of one durable consumer and holds no more than its limit. The library's consume() asks for more when its callback
 * returns; here a message counts until it is acknowledged, which is the back-pressure of the service.
 *
 * PULL-1  Held and outstanding messages together never exceed limit() at the time of a pull.
 * PULL-2  A message that arrives after stop() began is given back at once, for another replica.
 * PULL-3  A deleted consumer, a lost pull request or a silent server is noticed by the missing heartbeats at the latest. `recover` is
 *         then called, and again until it succeeds, before pulling continues. A reconnect begins this again at once: a call on the
 *         old connection would only end with its time limit.
 * PULL-4  A message that comes while none may be handled waits until they may, and is given back when that takes long. The server may
 *         answer a pull request from before a reconnect, and a record that was changed meanwhile is not known yet.
 */
import { createInbox, type JetStreamManager, type Msg, type NatsConnection, type Subscription } from "nats";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { sleep } from "../model/periodic.ts";
import { untilSharedTick } from "../model/shared-tick.ts";
import { resolvesWithin } from "../model/within.ts";
import type { AckBatcher } from "./ack-batcher.ts";
import { type ConnectionState, INBOX_PREFIX } from "./connection.ts";
import type { ConsumerDeletions } from "./consumer-deletions.ts";
import type { ConsumerSettings } from "./consumers.ts";
import type { HeldBytes, ShareOptions } from "./held-bytes.ts";
import { createHeldMessages } from "./held-messages.ts";
import { type ConsumedMessage, createConsumedMessage, type GiveBacks, type MessageHolder } from "./message.ts";
import { AGAIN_AFTER_MS, endFailed } from "./message-handler.ts";
import { createPullRequests } from "./pull-requests.ts";
import { createStalledConsumer } from "./stalled-consumer.ts";

export interface PullConsumer {
  start(): void;
  /** Stops pulling. Resolves when no message can arrive any more; held messages stay with their handlers. Never rejects. */
  stop(): Promise<void>;
  /** Checks mayPull() and limit() again, e.g. after the limit grew. */
  wake(): void;
  held(): number;
  /** Milliseconds since the epoch of the last message, or of the creation. */
  lastMessageAt(): number;
}

export interface PullConsumerDependencies {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly acks: AckBatcher;
  readonly connectionState: ConnectionState;
  readonly consumerDeletions: ConsumerDeletions;
  readonly giveBacks: GiveBacks;
  /** Monotonic milliseconds; the process's own when absent. */
  readonly monotonicNow?: () => number;
  /** Whether messages can be handled now; checked every second, and when woken. */
  readonly mayPull: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface PullConsumerOptions {
  readonly settings: ConsumerSettings;
  /** How many messages may be held (pulled and not yet acknowledged) at once; 0 pauses. */
  readonly limit: () => number;
  /** Limits the bytes of its messages together with those of other consumers. */
  readonly heldBytes?: { readonly of: HeldBytes } & ShareOptions;
  /** More are asked for when a quarter of so many may be; `limit` when absent. */
  readonly window?: () => number;
  /** Ends the message itself (ack, nak or drop), now or later. */
  readonly onMessage: (message: ConsumedMessage) => void;
  /** The lease of a held message is over. Called every second until the message is dropped. */
  readonly onLost?: (message: ConsumedMessage) => void;
  /** Creates the consumer if it is missing. */
  readonly recover: () => Promise<void>;
  /** How long no message arrives before the consumer is checked for a stall; 10 s when absent. */
  readonly quietMs?: number;
}

/**
 * `idle` → start → `pulling` ⇄ `recovering` (PULL-3); any → stop → `stopped`, in which only the heartbeats of held messages continue,
 * as their handlers may need a while.
 */
type Phase = "idle" | "pulling" | "recovering" | "stopped";

interface PullState {
  phase: Phase;
  /** How often a recovery began; only the last one counts. */
  recoveries: number;
  lastMessageAt: number;
  subscription: Subscription | null;
  /** Set by `stop`. Resolves when no message can arrive any more. */
  drained?: Promise<void>;
  cancelTick: () => void;
  /** Remove the listeners of `start`. */
  removers: ReadonlyArray<() => void>;
}

function idleAt(now: number): PullState {
  return { phase: "idle", recoveries: 0, lastMessageAt: now, subscription: null, cancelTick: () => {}, removers: [] };
}

const FIRST_RECOVERY_MS = 250;
const LONGEST_RECOVERY_MS = 5_000;
/** All consumers of a process tick together, so that it wakes up once for all of them. */
const TICK_MS = 1000;
const DRAIN_WITHIN_MS = 2_000;
/** Much longer than the registry takes after a reconnect (PULL-4). */
const WAITS_MS = 5_000;

export function createPullConsumer(dependencies: PullConsumerDependencies, options: PullConsumerOptions): PullConsumer {
  const { connection, acks, connectionState, consumerDeletions, giveBacks, mayPull, clock, logger } = dependencies;
  const { settings, limit, window = limit, onMessage, onLost = () => {}, recover } = options;
  const { stream, consumer } = settings;
  const monotonicNow = dependencies.monotonicNow ?? (() => performance.now());
  const inbox = createInbox(INBOX_PREFIX);
  const state = idleAt(clock.now());
  const isIn = (phase: Phase): boolean => state.phase === phase;
  const share = options.heldBytes?.of.share(() => pull(), options.heldBytes);
  const held = createHeldMessages({ ...dependencies, monotonicNow, share }, settings, onLost);
  const requests = createPullRequests({ connection, clock, share }, { stream, consumer, inbox });
  const stalledConsumer = createStalledConsumer(dependencies, options);

  const incoming = createIncoming({ ...dependencies, onMessage });

  const pull = (): void => {
    incoming.pass();
    if (isIn("pulling") && !connection.isClosed()) requests.topUp(held.current(), mayPull() ? limit() : 0, window());
  };

  const holder: MessageHolder = {
    now: monotonicNow,
    completed(message, isGivenBack) {
      held.remove(message);
      if (isGivenBack) giveBacks.note(message);
      pull();
    },
  };

  /** PULL-3. Takes the place of a recovery that is under way. */
  const beginRecovery = async (why: string): Promise<void> => {
    state.phase = "recovering";
    const recovery = ++state.recoveries;
    held.expectRepeats();
    requests.reset();
    const isWanted = (): boolean => isIn("recovering") && recovery === state.recoveries;
    const recovering = { isWanted, clock, logger, fields: { stream, consumer, why } };
    if (!(await retryUntilDone(recovering, () => recover().then(held.checkConsumer)))) return;
    state.phase = "pulling";
    requests.reset();
    pull();
  };
  const recoverConsumer = (why: string): void => {
    if (isIn("pulling")) void beginRecovery(why);
  };

  const receive = (error: Error | null, message: Msg): void => {
    requests.received();
    if (error !== null) return recoverConsumer(messageOf(error));
    const code = message.headers?.code ?? 0;
    if (code !== 0 && requests.statusArrived(message, code)) return pull();
    if (code !== 0) return recoverConsumer(`${code} ${message.headers?.description ?? ""}`);
    requests.messageArrived();
    state.lastMessageAt = clock.now();
    const received = createConsumedMessage(message, acks, holder);
    if (!held.add(received, message.reply ?? "")) return pull();
    // PULL-2.
    if (isIn("stopped")) return received.nak(1);
    incoming.add(received);
    pull();
  };

  const tick = (): void => {
    held.tick();
    if (isIn("pulling") && requests.isServerSilent()) recoverConsumer("no heartbeat");
    else pull();
    if (isIn("pulling") && requests.outstanding() > 0) stalledConsumer.check(Math.max(state.lastMessageAt, requests.pullingSince()));
    if (!isIn("stopped") || held.size() > 0) state.cancelTick = clock.after(untilSharedTick(clock.now(), TICK_MS), tick);
  };

  return {
    start() {
      state.phase = "pulling";
      state.subscription = connection.subscribe(inbox, { callback: receive });
      state.removers = [
        // Pull requests end with the connection that sent them.
        connectionState.onReconnect(() => void beginRecovery("reconnected")),
        consumerDeletions.on(stream, consumer, () => {
          held.loseAll();
          recoverConsumer("deleted");
        }),
      ];
      held.checkConsumer().catch(() => {});
      state.cancelTick = clock.after(untilSharedTick(clock.now(), TICK_MS), tick);
      pull();
    },
    async stop() {
      state.phase = "stopped";
      share?.stop();
      for (const remove of state.removers) remove();
      incoming.stop();
      state.drained ??= drained(state.subscription, connection, clock);
      await state.drained;
      if (held.size() === 0) state.cancelTick();
    },
    wake: pull,
    held: held.size,
    lastMessageAt: () => state.lastMessageAt,
  };
}

type IncomingDependencies = Pick<PullConsumerDependencies, "mayPull" | "clock" | "logger"> & Pick<PullConsumerOptions, "onMessage">;

/** Passes messages on in the order in which they came (PULL-4). */
function createIncoming({ mayPull, onMessage, clock, logger }: IncomingDependencies) {
  const waiting: ConsumedMessage[] = [];
  let waitingSince = 0;

  const handle = (message: ConsumedMessage): void => {
    try {
      onMessage(message);
    } catch (fault) {
      endFailed(message, fault, logger);
    }
  };

  const giveBack = (delayMs: number): void => {
    for (const message of waiting.splice(0)) message.isOurs() ? message.nak(delayMs) : message.drop();
  };

  return {
    add(message: ConsumedMessage): void {
      if (waiting.length === 0 && mayPull()) return handle(message);
      if (waiting.length === 0) waitingSince = clock.now();
      waiting.push(message);
    },
    pass(): void {
      if (waiting.length === 0) return;
      if (mayPull()) for (const message of waiting.splice(0)) message.isOurs() ? handle(message) : message.drop();
      else if (clock.now() - waitingSince > WAITS_MS) giveBack(AGAIN_AFTER_MS);
    },
    stop: () => giveBack(1),
  };
}

/** Resolves when no message can arrive any more. */
async function drained(subscription: Subscription | null, connection: NatsConnection, clock: Clock): Promise<void> {
  if (subscription === null || connection.isClosed()) return;
  // A connection that closes in the meantime ends the subscription as well.
  await resolvesWithin(clock, DRAIN_WITHIN_MS, subscription.drain()).catch(() => {});
}

interface Recovering {
  readonly isWanted: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For the log. */
  readonly fields: object;
}

/** @returns false when the recovery is not wanted any more */
async function retryUntilDone({ isWanted, clock, logger, fields }: Recovering, attempt: () => Promise<void>): Promise<boolean> {
  for (let waitMs = FIRST_RECOVERY_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_RECOVERY_MS)) {
    await sleep(clock, waitMs);
    if (!isWanted()) return false;
    try {
      await attempt();
      return isWanted();
    } catch (error) {
      if (waitMs === FIRST_RECOVERY_MS) logger.warn({ ...fields, error: messageOf(error) }, "consumer can't be recovered yet");
    }
  }
}
