/** The durable consumer of one parked queue, with room for a discard next to the deliveries that are in flight. */
import { AckPolicy, type ConsumerInfo, type JetStreamManager, nanos } from "nats";
import type { ParkedQueue, RegistryView } from "../delivery/ports.ts";
import { orUnreachable } from "../jetstream/or-unreachable.ts";
import { ensureConsumer, unlessNotFound } from "../jetstream/streams.ts";
import type { Subjects } from "../jetstream/subjects.ts";

export interface DiscardConsumer {
  /** Creates the consumer, or raises its max_ack_pending unless the app is ordered. */
  open(): Promise<void>;
  /** Sets max_ack_pending back to its value before `open`, unless somebody else has changed it meanwhile. */
  restore(): Promise<void>;
  /** Deliveries handed out and not acknowledged, those of the discard included. */
  ackPending(): Promise<number>;
}

export interface DiscardConsumerDependencies {
  readonly manager: JetStreamManager;
  readonly names: Subjects;
  readonly registry: RegistryView;
}

/** Deliveries that a discard takes at a time. */
export const DISCARD_BATCH = 64;
export const ACK_WAIT_MS = 10_000;

export function createDiscardConsumer({ manager, names, registry }: DiscardConsumerDependencies, queue: ParkedQueue): DiscardConsumer {
  const stream = names.streams.parked;
  const consumer = names.parkedConsumer(queue.app, queue.installationUuid);
  /** Null: there was no consumer; undefined: not opened yet. */
  let before: number | null | undefined;
  let opened = 1;

  const info = (): Promise<ConsumerInfo | null> => unlessNotFound(orUnreachable(manager.consumers.info(stream, consumer)));

  const ensure = (maxAckPending: number): Promise<unknown> =>
    ensureConsumer(manager, stream, {
      durable_name: consumer,
      filter_subject: names.parked(queue.app, queue.installationUuid),
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(ACK_WAIT_MS),
      max_deliver: -1,
      max_ack_pending: maxAckPending,
    });

  return {
    async open() {
      const found = await info();
      const isOrdered = registry.app(queue.app)?.ordered === true;
      if (before === undefined) before = found?.config.max_ack_pending ?? null;
      opened = isOrdered ? 1 : Math.max(before ?? 0, (found?.num_ack_pending ?? 0) + DISCARD_BATCH);
      await ensure(opened);
    },

    async restore() {
      if (before != null && (await info())?.config.max_ack_pending === opened) await ensure(before);
    },

    ackPending: async () => (await info())?.num_ack_pending ?? 0,
  };
}
