/**
 * The dedup record of a delivery's first run, packed (packed-hash.ts): its field is the first half of the delivery id, whose 64 bits are
 * unique enough within one app, and its value has the state, the attempt, the response code, the time, the event's sequence, the
 * installation and, if there is one, the trace.
 */
import { hash } from "node:crypto";
import { formatTraceparent, parseTraceparent } from "../model/trace-context.ts";
import { DELIVERED, type DedupRecord } from "./dedup-record.ts";

/** Value of a dedup record before it is packed. */
export interface DedupMembers {
  readonly delivered: boolean;
  readonly attempt: number;
  readonly responseCode: number;
  readonly endedAt: number;
  readonly eventSequence: number | null;
  readonly installationUuid: string;
  /** Empty: none. */
  readonly traceparent: string;
}

/** First byte of the value, for the script. */
export const DELIVERED_BYTE = DELIVERED.slice(0, 1);
const PENDING_BYTE = "p";

const FIELD_DIGITS = 16;
const DELIVERY_ID = /^dlv_([0-9a-f]{32})$/;
const MAX_16_BITS = 0xffff;

const AT = {
  attempt: 1,
  responseCode: 3,
  endedAt: 5,
  eventSequence: 11,
  installation: 17,
  trace: 33,
  span: 49,
  flags: 57,
  end: 58,
} as const;

export function dedupFieldOf(deliveryId: string): Buffer {
  const digits = DELIVERY_ID.exec(deliveryId)?.[1] ?? hash("sha256", deliveryId, "hex");
  return Buffer.from(digits.slice(0, FIELD_DIGITS), "hex");
}

export function packDedupRecord(record: DedupMembers): Buffer {
  const trace = parseTraceparent(record.traceparent);
  // From Node's pool, which `alloc` doesn't use.
  const packed = Buffer.allocUnsafe(trace === null ? AT.trace : AT.end).fill(0);
  packed.write(record.delivered ? DELIVERED_BYTE : PENDING_BYTE, 0, "latin1");
  packed.writeUInt16BE(Math.min(record.attempt, MAX_16_BITS), AT.attempt);
  packed.writeUInt16BE(record.responseCode, AT.responseCode);
  packed.writeUIntBE(record.endedAt, AT.endedAt, 6);
  packed.writeUIntBE(record.eventSequence ?? 0, AT.eventSequence, 6);
  packed.write(record.installationUuid.replaceAll("-", ""), AT.installation, "hex");
  if (trace === null) return packed;
  packed.write(trace.traceId, AT.trace, "hex");
  packed.write(trace.spanId, AT.span, "hex");
  packed.writeUInt8(trace.isSampled ? 1 : 0, AT.flags);
  return packed;
}

/** @returns null for any other value */
export function unpackDedupRecord(packed: Buffer, app: string): DedupRecord | null {
  const state = packed.toString("latin1", 0, 1);
  if ((packed.length !== AT.trace && packed.length !== AT.end) || (state !== DELIVERED_BYTE && state !== PENDING_BYTE)) return null;
  const uuid = packed.toString("hex", AT.installation, AT.trace);
  return {
    delivered: state === DELIVERED_BYTE,
    eventSequence: packed.readUIntBE(AT.eventSequence, 6) || null,
    app,
    installationUuid: uuid.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"),
    last: {
      attempt: packed.readUInt16BE(AT.attempt),
      endedAt: packed.readUIntBE(AT.endedAt, 6),
      responseCode: packed.readUInt16BE(AT.responseCode),
      traceparent:
        packed.length === AT.trace
          ? ""
          : formatTraceparent(
              packed.toString("hex", AT.trace, AT.span),
              packed.toString("hex", AT.span, AT.flags),
              packed.readUInt8(AT.flags),
            ),
    },
  };
}
