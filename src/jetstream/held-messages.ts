/**
 * The messages that a pull consumer holds: their heartbeats, and their leases (LEASE-1).
 *
 * HELD-1  A message that is delivered again while it is held stays the same message: it is never handled twice at once.
 * HELD-2  A lease runs for ack_wait, less a margin, from the receipt of the message or from a heartbeat that a PONG has followed. It ends
 *         when the consumer is deleted, even if a consumer of the same name replaces it.
 * HELD-3  After the process was suspended, messages that arrive before the server answers again may have been delivered before the
 *         suspension: their leases count from then.
 * HELD-4  Heartbeats of many messages are sent over several ticks, so that they don't hold up the event loop.
 */
import type { JetStreamManager, NatsConnection } from "nats";
import { messageOf } from "../model/app-error.ts";
import type { Logger } from "../model/logger.ts";
import { createSlots } from "../model/slots.ts";
import type { ConnectionState } from "./connection.ts";
import type { ConsumerSettings } from "./consumers.ts";
import type { HeldShare } from "./held-bytes.ts";
import type { ConsumedMessage } from "./message.ts";
import { createRepeatedMessages } from "./repeated-messages.ts";

export interface HeldMessages {
  size(): number;
  /** Those that the consumer has handed out: without those of a deleted one, which come again from the one that replaces it. */
  current(): number;
  /** @returns false when the message is held already; it was renewed */
  add(message: ConsumedMessage, reply: string): boolean;
  remove(message: ConsumedMessage): void;
  /** The held messages may be delivered again as if for the first time. */
  expectRepeats(): void;
  /** Ends all leases: the consumer was deleted. */
  loseAll(): void;
  /** Ends all leases if the consumer is another one than at the last call. */
  checkConsumer(): Promise<void>;
  /** Sends the heartbeats that are due. Called once a second. */
  tick(): void;
}

export interface HeldMessagesDependencies {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly connectionState: Pick<ConnectionState, "up">;
  /** Monotonic milliseconds. */
  readonly monotonicNow: () => number;
  readonly logger: Logger;
  readonly share?: Pick<HeldShare, "received" | "ended"> | undefined;
}

/** A process that did not tick for so long was suspended (HELD-3). */
const SUSPENDED_MS = 2_500;
/** A lease ends before ack_wait does, by this share of it. */
const LEASE_MARGIN = 0.1;
const HEARTBEATS_PER_ACK_WAIT = 3;
const TICK_MS = 1_000;
/** So many may go in one tick (HELD-4). */
const FEW_HEARTBEATS = 500;

/** @param onLost called on every tick for each held message whose lease is over */
export function createHeldMessages(
  { connection, manager, connectionState, monotonicNow, logger, share }: HeldMessagesDependencies,
  { stream, consumer, ackWaitMs }: ConsumerSettings,
  onLost: (message: ConsumedMessage) => void,
): HeldMessages {
  const held = createSlots<ConsumedMessage>();
  const leaseMs = ackWaitMs * (1 - LEASE_MARGIN);
  const heartbeatAfterMs = ackWaitMs / HEARTBEATS_PER_ACK_WAIT;
  const suspension = createSuspension(connection, monotonicNow);
  /** When the consumer was created, as the server says it. */
  let consumerCreated: string | null = null;
  const repeats = createRepeatedMessages(held.each, monotonicNow);
  let lost = 0;

  const loseAll = (): void => {
    repeats.expect();
    held.each((message) => {
      if (!isLost(message)) lost++;
      message.lose();
    });
  };

  const checkConsumer = async (): Promise<void> => {
    const { created } = await manager.consumers.info(stream, consumer);
    if (consumerCreated !== null && created !== consumerCreated) loseAll();
    consumerCreated = created;
  };

  const sendHeartbeats = (): readonly ConsumedMessage[] => {
    const now = monotonicNow();
    const sent: ConsumedMessage[] = [];
    const most = Math.max(FEW_HEARTBEATS, (held.size() * TICK_MS) / heartbeatAfterMs);
    held.each((message) => {
      if (!message.isOurs()) return onLost(message);
      if (sent.length >= most || now - message.heartbeatAt < heartbeatAfterMs) return;
      message.working();
      message.heartbeatAt = now;
      sent.push(message);
    });
    return sent;
  };

  /** Extends leases once the server must have received the heartbeats (HELD-2). */
  const extendLeases = (sent: readonly ConsumedMessage[], sentAt: number): void => {
    if (sent.length === 0 || !connectionState.up || connection.isClosed()) return;
    connection
      .flush()
      .then(checkConsumer)
      .then(
        () => {
          for (const message of sent) if (message.isOurs()) message.leaseUntil = sentAt + leaseMs;
        },
        (error: unknown) => logger.debug({ stream, consumer, error: messageOf(error) }, "heartbeats were not confirmed"),
      );
  };

  return {
    size: held.size,
    current: () => held.size() - lost,
    add(message, reply) {
      const receivedAt = suspension.since() ?? monotonicNow();
      const before = repeats.heldOf(message);
      if (before !== undefined) {
        // HELD-1.
        if (isLost(before)) lost--;
        before.leaseUntil = receivedAt + leaseMs;
        before.renew(reply);
        return false;
      }
      message.heartbeatAt = receivedAt;
      message.leaseUntil = receivedAt + leaseMs;
      held.add(message);
      share?.received(message);
      repeats.added(message);
      return true;
    },
    remove(message) {
      if (isLost(message)) lost--;
      held.remove(message);
      share?.ended(message);
      repeats.removed(message);
    },
    expectRepeats: repeats.expect,
    loseAll,
    checkConsumer,
    tick() {
      suspension.tick();
      repeats.tick();
      const sentAt = monotonicNow();
      extendLeases(sendHeartbeats(), sentAt);
    },
  };
}

/** HELD-3. */
function createSuspension(connection: NatsConnection, monotonicNow: () => number) {
  let tickedAt = monotonicNow();
  let since: number | null = null;
  return {
    /** The last tick before the process was suspended, until the server has answered again; null: it was not. */
    since: () => since,
    tick(): void {
      const before = tickedAt;
      tickedAt = monotonicNow();
      if (tickedAt - before < SUSPENDED_MS) return;
      since ??= before;
      if (connection.isClosed()) return;
      const end = (): void => {
        since = null;
      };
      connection.flush().then(end, () => {});
    },
  };
}

/** Its consumer was deleted, and nothing has handed it out since. */
function isLost({ leaseUntil }: ConsumedMessage): boolean {
  return leaseUntil === Number.NEGATIVE_INFINITY;
}
