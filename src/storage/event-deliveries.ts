/**
 * Notes of which deliveries an event has, packed (packed-hash.ts): the field is a hash of the event id and then the delivery id, the
 * value the app. What became of the delivery is in its dedup record or its location.
 */
import { hash } from "node:crypto";
import type { Delivery } from "../model/delivery.ts";
import type { Lifetimes } from "./dedup-record.ts";
import { keys } from "./keys.ts";
import { type Note, PACKED } from "./log-entry.ts";
import { NODE_AT, periodAt, periodsOf } from "./packed-hash.ts";
import type { RedisClient } from "./redis.ts";

export interface EventDelivery {
  readonly deliveryId: string;
  readonly app: string;
}

/** Digits of the path, and so full hashes: about the first 1,000 deliveries of an event are noted. */
export const EVENT_PATH = 7;
const EVENT_BYTES = 8;
const DELIVERY_ID = /^dlv_([0-9a-f]{32})$/;
const PACKED_DIGITS = Buffer.from(PACKED).toString("hex");

/** @returns null for a delivery whose id can't be packed */
export function eventDeliveryNote({ id, event, app }: Pick<Delivery, "id" | "event" | "app">, now: number): Note | null {
  const digits = DELIVERY_ID.exec(id)?.[1];
  if (digits === undefined) return null;
  const ofEvent = hashOf(event.id);
  const field = Buffer.from(`${PACKED_DIGITS}${ofEvent}${digits}`, "hex");
  return { key: keys.eventDeliveries(tagOf(ofEvent), periodAt(now)), field, value: app };
}

/** KEYS root without its period; ARGV periods, the hash of the event id. @returns fields and apps in turn */
const SCRIPT = `${NODE_AT}
local found = {}
for period in string.gmatch(ARGV[1], '%d+') do
  for depth = 0, ${EVENT_PATH} do
    local key = node_at(KEYS[1] .. period, ARGV[2], depth)
    local all = redis.pcall('HGETALL', key)
    for at = 1, #all, 2 do
      if string.sub(all[at], 1, ${EVENT_BYTES}) == ARGV[2] then
        found[#found + 1] = all[at]
        found[#found + 1] = all[at + 1]
      end
    end
    if not is_full(key) then break end
  end
end
return found
`;

type Scripted = RedisClient & {
  findEventDeliveriesBuffer(keyCount: number, root: string, periods: string, ofEvent: Buffer): Promise<Buffer[]>;
};

/** Rejects if Redis does not answer. */
export function createReadEventDeliveries(
  redis: RedisClient,
  { notesTtlMs }: Pick<Lifetimes, "notesTtlMs">,
  now: () => number,
): (eventId: string) => Promise<EventDelivery[]> {
  redis.defineCommand("findEventDeliveries", { lua: SCRIPT });
  const { findEventDeliveriesBuffer } = redis as Scripted;
  return async (eventId) => {
    const digits = hashOf(eventId);
    const root = keys.eventDeliveries(tagOf(digits), "");
    const ofEvent = Buffer.from(digits, "hex");
    const found = await findEventDeliveriesBuffer.call(redis, 1, root, periodsOf(notesTtlMs, now()).join(" "), ofEvent);
    const apps = new Map<string, string>();
    for (let at = 0; at + 1 < found.length; at += 2)
      apps.set(`dlv_${found[at]?.toString("hex", EVENT_BYTES) ?? ""}`, found[at + 1]?.toString() ?? "");
    return [...apps].map(([deliveryId, app]) => ({ deliveryId, app }));
  };
}

/** Hexadecimal: a Buffer of its own for each would cost more. */
function hashOf(eventId: string): string {
  return hash("sha256", eventId, "hex").slice(0, EVENT_BYTES * 2);
}

/** The notes of one root are on one node of a cluster, those of 16 roots on several. */
function tagOf(hashOfEvent: string): string {
  return hashOfEvent.slice(-1);
}
