import fc from "fast-check";
import { expect, test } from "vitest";
import { dedupFieldOf, packDedupRecord, unpackDedupRecord } from "../../../src/storage/packed-dedup-record.ts";

const hex = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length - 1}}[1-9a-f]$`));
const record = fc.record({
  delivered: fc.boolean(),
  attempt: fc.integer({ min: 1, max: 65_535 }),
  responseCode: fc.integer({ min: 0, max: 999 }),
  endedAt: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  eventSequence: fc.option(fc.integer({ min: 1, max: 2 ** 48 - 1 })),
  installationUuid: fc.uuid(),
  traceparent: fc.oneof(
    fc.constant(""),
    fc.tuple(hex(32), hex(16), fc.boolean()).map(([traceId, spanId, isSampled]) => `00-${traceId}-${spanId}-0${isSampled ? 1 : 0}`),
  ),
});

test("a record is read as it was packed, and fits a listpack", () => {
  fc.assert(
    fc.property(record, (members) => {
      const { delivered, eventSequence, installationUuid, ...last } = members;
      const packed = packDedupRecord(members);
      expect(packed.length).toBeLessThanOrEqual(64);
      expect(unpackDedupRecord(packed, "acme")).toEqual({ delivered, eventSequence, installationUuid, app: "acme", last });
    }),
  );
});

test("any other value is no record", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      const found = unpackDedupRecord(Buffer.from(bytes), "acme");
      const isRecord = (bytes.length === 33 || bytes.length === 58) && ["d", "p"].includes(String.fromCharCode(bytes[0] ?? 0));
      expect(found !== null).toBe(isRecord);
    }),
  );
});

test("a field is half of the delivery id, or of a hash of any other id", () => {
  expect(dedupFieldOf(`dlv_${"0123456789abcdef".repeat(2)}`)).toEqual(Buffer.from("0123456789abcdef", "hex"));
  expect(dedupFieldOf("another")).toHaveLength(8);
  expect(dedupFieldOf("another")).not.toEqual(dedupFieldOf("third"));
});
