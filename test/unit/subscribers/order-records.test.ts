import { beforeEach, expect, test } from "vitest";
import { createOrderRecords, type OrderRecord, type OrderRecords } from "../../../src/subscribers/ordered/order-records.ts";

const KEY = "order.acme";

let stored: { record: OrderRecord | null; revision: number };
let owner: OrderRecords;
let nextOwner: OrderRecords;

const everybodySees = (): void => {
  for (const one of [owner, nextOwner]) one.observe(KEY, stored.record, stored.revision);
};

beforeEach(() => {
  stored = { record: null, revision: 0 };
  const write = <T>(revision: number, record: OrderRecord | null, done: (revision: number) => T): T | "conflict" => {
    if (stored.revision !== revision) return "conflict";
    stored = { record, revision: revision + 1 };
    return done(stored.revision);
  };
  const store = {
    updateRecord: async (_key: string, value: string, revision: number) => write(revision, JSON.parse(value) as OrderRecord, (now) => now),
    deleteRecordAt: async (_key: string, revision: number) => write(revision, null, () => "deleted" as const),
  };
  owner = createOrderRecords(store, () => {});
  nextOwner = createOrderRecords(store, () => {});
});

test("a record is made, changed, removed and made again", async () => {
  for (const record of [{ from: 1, state: "taking" }, { from: 1, state: "ending" }, null, { from: 9, state: "taking" }] as const) {
    await (record === null ? owner.remove("acme") : owner.put("acme", record));
    everybodySees();
    expect([stored.record, nextOwner.get("acme") ?? null]).toEqual([record, record]);
  }
});

test("its writer knows at once what it has written", async () => {
  await owner.put("acme", { from: 1, state: "ending" });
  expect(owner.get("acme")).toEqual({ from: 1, state: "ending" });
  everybodySees();
  await owner.remove("acme");
  expect(owner.get("acme")).toBe(undefined);
});

test("what an owner wrote while it was cut off leaves the record of the next one as it is", async () => {
  await owner.put("acme", { from: 1, state: "ending" });
  everybodySees();
  await nextOwner.put("acme", { from: 1, state: "taking" });
  await expect(owner.remove("acme")).rejects.toMatchObject({ code: "CONFLICT" });
  await expect(owner.put("acme", { from: 1, state: "ending" })).rejects.toMatchObject({ code: "CONFLICT" });
  expect(stored.record).toEqual({ from: 1, state: "taking" });
});

test("in a bucket that was made again a record can be made", async () => {
  await owner.put("acme", { from: 1, state: "ending" });
  everybodySees();
  await owner.remove("acme");
  everybodySees();
  stored = { record: null, revision: 0 };
  owner.forgetRevisions();
  await owner.put("acme", { from: 9, state: "taking" });
  expect(stored.record).toEqual({ from: 9, state: "taking" });
});
