/**
 * Finds a stalled consumer and deletes it; its pull consumer notices and recreates it. After a hard kill some servers come back with
 * consumers that hand out nothing.
 *
 * STALL-1  A consumer is stalled when it has not handed out anything between two checks while this replica asked for messages, and
 *          messages are waiting: pending ones although max_ack_pending is not reached, or messages in a work queue that the consumer
 *          counts neither as pending nor as handed out.
 * STALL-2  A consumer may also wait for acks. Holders send +WPI every ack_wait/3, and unclaimed messages are redelivered after ack_wait.
 *          It is therefore stalled if nothing changes for 3 × ack_wait and no ack or +WPI is seen for one more. If none of its
 *          unacknowledged messages is stored any more, it is stalled at once: its acks were lost in a server kill.
 * STALL-3  Messages that the recreated consumer delivers again are checked against the dedup keys, so nothing is repeated.
 * STALL-4  A work queue's consumer is not handed messages that the server's index loses before their turn (INDEX-1). One that is never
 *          idle gets them, too: those before its ack floor are stored again.
 */
import { type ConsumerInfo, type JetStreamManager, type NatsConnection, nanos } from "nats";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { createAckMonitor } from "./ack-monitor.ts";
import type { ConnectionState } from "./connection.ts";
import type { ConsumerSettings } from "./consumers.ts";
import { FEW_OTHERS, restoreLost } from "./read-subject.ts";
import { messageAt } from "./stored-message.ts";
import { subjectState } from "./subject-counts.ts";
import { mayLoseMessages } from "./subject-index.ts";

export interface StalledConsumerOptions {
  readonly settings: ConsumerSettings;
  /** How long no message arrives before a check, and between two; 10 s when absent. */
  readonly quietMs?: number;
}

export interface StalledConsumerDependencies {
  readonly connection: NatsConnection;
  readonly connectionState: Pick<ConnectionState, "onDisconnect" | "onReconnect">;
  readonly manager: JetStreamManager;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface StalledConsumer {
  /** Called now and then while messages are asked for. @param quietSince when the last one arrived, or the first was asked for */
  check(quietSince: number): void;
}

const QUIET_MS = 10_000;
/** STALL-4. */
const SKIPPED_EVERY_MS = 60_000;
/** STALL-2. */
const UNCHANGED_ACK_WAITS = 3;
/** Up to so many unacknowledged sequences are looked up one by one; with more, only the acks of their holders are conclusive. */
const MOST_LOOKED_UP = 256;

/** Messages wait to be handed out, or to be acknowledged. */
type Waiting = "for a delivery" | "for acks";

interface CheckState {
  /** The consumer's counters at the first check that found messages waiting, and the time of that check; null: none wait. */
  suspicion: { readonly counters: string; readonly since: number } | null;
  stallCheckAt: number;
  isChecking: boolean;
  /** STALL-4. */
  skippedCheckAt: number;
  /** The queue held more than the consumer counted. */
  hadMore: boolean;
}

export function createStalledConsumer(dependencies: StalledConsumerDependencies, options: StalledConsumerOptions): StalledConsumer {
  const { connection, manager, clock, logger } = dependencies;
  const { stream, consumer } = options.settings;
  const { quietMs = QUIET_MS } = options;
  const workQueueSubject = options.settings.isWorkQueue ? options.settings.filterSubject : null;
  const ackMonitor = createAckMonitor(dependencies, options.settings);
  const state: CheckState = { suspicion: null, stallCheckAt: 0, isChecking: false, skippedCheckAt: clock.now(), hadMore: false };

  const storedMessages = async (): Promise<number> => {
    if (workQueueSubject === null) return 0;
    return (await subjectState(manager, stream, workQueueSubject)).count;
  };

  const waitingMessages = async ({ num_pending: pending, num_ack_pending: ackPending, config }: ConsumerInfo): Promise<Waiting | null> => {
    if (pending > 0 && ackPending < (config.max_ack_pending ?? Number.POSITIVE_INFINITY)) return "for a delivery";
    if (ackPending > 0) return ackMonitor.isPermitted() ? "for acks" : null;
    return pending === 0 && (await storedMessages()) > 0 ? "for a delivery" : null;
  };

  /**
   * Unacknowledged messages lie between the ack floor and the last delivered sequence. They are looked up one by one, because the index
   * of subjects may lack them (INDEX-1).
   */
  const mayBeStored = async ({ ack_floor: floor, delivered }: ConsumerInfo): Promise<boolean> => {
    if (workQueueSubject === null || delivered.stream_seq - floor.stream_seq > MOST_LOOKED_UP) return true;
    for (let sequence = floor.stream_seq + 1; sequence <= delivered.stream_seq; sequence++) {
      if ((await messageAt(manager, stream, sequence)) !== null) return true;
    }
    return false;
  };

  /** STALL-2. @returns null when it is too early to decide */
  const isWaitingInVain = async (info: ConsumerInfo, since: number): Promise<boolean | null> => {
    if (!(await mayBeStored(info))) return true;
    const ackWaitMs = (info.config.ack_wait ?? 0) / nanos(1);
    if (clock.now() - since < UNCHANGED_ACK_WAITS * ackWaitMs) return null;
    if (await ackMonitor.isActive(ackWaitMs)) return false;
    const { delivered, num_ack_pending: ackPending } = await manager.consumers.info(stream, consumer);
    return delivered.consumer_seq === info.delivered.consumer_seq && ackPending === info.num_ack_pending;
  };

  const checkNow = async (): Promise<void> => {
    const info = await manager.consumers.info(stream, consumer);
    const waiting = await waitingMessages(info);
    const acked = waiting === "for acks" ? ` ${info.ack_floor.consumer_seq} ${info.num_ack_pending}` : "";
    const counters = `${info.created} ${info.delivered.consumer_seq}${acked}`;
    const { suspicion } = state;
    if (waiting === null || counters !== suspicion?.counters) {
      state.suspicion = waiting === null ? null : { counters, since: clock.now() };
      return;
    }
    const isStalled = waiting === "for a delivery" || (await isWaitingInVain(info, suspicion.since));
    if (isStalled === null) return;
    state.suspicion = null;
    if (!isStalled) return;
    logger.error({ stream, consumer, pending: info.num_pending, ack_pending: info.num_ack_pending }, "stalled consumer recreated");
    await manager.consumers.delete(stream, consumer);
  };

  /** Messages that are stored or acknowledged meanwhile can look like skipped ones once. */
  const restoreSkipped = async (subject: string): Promise<void> => {
    const stored = await storedMessages();
    const { num_pending: pending, num_ack_pending: ackPending, ack_floor: floor } = await manager.consumers.info(stream, consumer);
    const hasMore = stored > pending + ackPending;
    if (hasMore && state.hadMore)
      await restoreLost(connection, manager, { stream, subject, to: floor.stream_seq, mostOthers: FEW_OTHERS }, async () => true);
    state.hadMore = hasMore;
  };

  /** Counts as its time. @returns the check that is due; null: none */
  const takeDueCheck = (quietSince: number): (() => Promise<void>) | null => {
    const now = clock.now();
    if (now - quietSince >= quietMs && now - state.stallCheckAt >= quietMs) {
      state.stallCheckAt = now;
      return checkNow;
    }
    if (workQueueSubject === null || now - state.skippedCheckAt < SKIPPED_EVERY_MS || !mayLoseMessages(connection)) return null;
    state.skippedCheckAt = now;
    return () => restoreSkipped(workQueueSubject);
  };

  return {
    check(quietSince) {
      const due = state.isChecking ? null : takeDueCheck(quietSince);
      if (due === null) return;
      state.isChecking = true;
      due()
        .catch((error: unknown) => logger.debug({ stream, consumer, error: messageOf(error) }, "a stalled-consumer check failed"))
        .finally(() => {
          state.isChecking = false;
        });
    },
  };
}
