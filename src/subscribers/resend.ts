/**
 * Sends one delivery again, whatever became of it, from its event in the stream. It is a run of its own: its own id keeps
 * deduplication and delivered marks from swallowing it, and it counts for neither health nor circuit.
 */
import { randomUUID } from "node:crypto";
import type { JetStreamManager, StoredMsg } from "nats";
import { AppError } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import { newDelivery } from "../model/delivery.ts";
import { readEvent } from "../model/event-reader.ts";
import type { LaneWriter } from "./lanes.ts";
import type { BusNames } from "./names.ts";
import { isNotFound } from "./topology.ts";

/** Where a delivery's event is. storage's attempt log knows. */
export type FindDelivery = (deliveryId: string) => Promise<{
  readonly eventSequence: number | null;
  readonly app: string;
  readonly installationUuid: string;
} | null>;

/** @throws AppError NOT_FOUND, REDIS_UNREACHABLE @returns the resend's id. */
export type Resend = (deliveryId: string) => Promise<string>;

export function createResend(manager: JetStreamManager, lanes: LaneWriter, names: BusNames, find: FindDelivery, clock: Clock): Resend {
  const stream = names.streams.events;

  const eventMessage = async (deliveryId: string, sequence: number): Promise<StoredMsg> => {
    try {
      return await manager.streams.getMessage(stream, { seq: sequence });
    } catch (error) {
      if (isNotFound(error)) throw new AppError("NOT_FOUND", `the event of delivery ${deliveryId} is not in the stream any more`);
      throw error;
    }
  };

  return async (deliveryId) => {
    const found = await find(deliveryId);
    if (found === null) throw new AppError("NOT_FOUND", `no delivery ${deliveryId} in the last days`);
    if (found.eventSequence === null) throw new AppError("NOT_FOUND", `delivery ${deliveryId} was a test, it has no event in the stream`);
    const message = await eventMessage(deliveryId, found.eventSequence);
    const [, , resource = "", action = ""] = message.subject.split(".");
    const read = readEvent({
      resource,
      action,
      body: message.data,
      header: (name) => headerOf(message, name),
      fallbackId: `${stream}:${message.seq}`,
      storedAt: message.time.getTime(),
    });
    if (!read.ok) throw new AppError("NOT_FOUND", `the event of delivery ${deliveryId} can't be read: ${read.problem}`);
    const resendId = randomUUID();
    const delivery = { ...newDelivery(read.event, found.app, found.installationUuid, message.seq), replay: resendId, counted: false };
    if (delivery.id !== deliveryId) throw new AppError("NOT_FOUND", `the event of delivery ${deliveryId} is not in the stream any more`);
    await lanes.retry(delivery, { dueAt: clock.now(), delayMs: 0, floor: false }, { stream: resendId, sequence: 0 });
    return resendId;
  };
}

function headerOf({ header }: StoredMsg, name: string): string | undefined {
  for (const [key, values] of header) if (key.toLowerCase() === name) return values[0];
  return undefined;
}
