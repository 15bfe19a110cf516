import { expect, test } from "vitest";
import { AppError } from "../../../src/model/app-error.ts";
import type { RecordKind } from "../../../src/model/record-kind.ts";
import type { BucketEntry } from "../../../src/registry/bucket-entry.ts";
import { createRecordRecovery } from "../../../src/registry/record-recovery.ts";
import { silentLogger } from "../../support/silent-logger.ts";

const KIND: RecordKind<unknown> = {
  prefix: "app.",
  parse(_name, value) {
    if (value.startsWith("secret")) throw new AppError("SECRET_UNREADABLE", "another key");
    return JSON.parse(value) as unknown;
  },
};
const entry = (revision: number, value: string | null): BucketEntry => ({ key: "app.acme", revision, value, storedAt: 0 });

function setUp(history: () => Promise<BucketEntry[]>) {
  const applied: Array<[unknown, number]> = [];
  const recovery = createRecordRecovery({
    bucket: { history },
    apply: (_kind, { record, entry: { revision } }) => void applied.push([record, revision]),
    logger: silentLogger,
  });
  return { recovery, applied };
}

test("RECORD-1: the last readable revision before an unreadable one is put in force", async () => {
  const { recovery, applied } = setUp(async () => [entry(1, '{"n":1}'), entry(2, '{"n":2}'), entry(3, "{"), entry(4, "{"), entry(5, "{}")]);
  recovery.add(KIND, entry(4, "{"), new Error("not JSON"));
  await recovery.whenIdle();
  expect(applied).toEqual([[{ n: 2 }, 2]]);
  expect(recovery.invalid()).toMatchObject([{ key: "app.acme", revision: 4, inForce: true, isSecret: false }]);
});

test("nothing is put in force across a deletion, or without a readable revision", async () => {
  for (const history of [[entry(1, "{}"), entry(2, null), entry(3, "{")], [entry(3, "{")]]) {
    const { recovery, applied } = setUp(async () => history);
    recovery.add(KIND, entry(3, "{"), new Error("not JSON"));
    await recovery.whenIdle();
    expect([applied, recovery.invalid()[0]?.inForce]).toEqual([[], false]);
  }
});

test("a readable value that arrives while the history is read wins", async () => {
  const { promise, resolve } = Promise.withResolvers<BucketEntry[]>();
  const { recovery, applied } = setUp(() => promise);
  recovery.add(KIND, entry(2, "{"), new Error("not JSON"));
  recovery.remove("app.acme");
  resolve([entry(1, "{}"), entry(2, "{")]);
  await recovery.whenIdle();
  expect([applied, recovery.invalid()]).toEqual([[], []]);
});

test("a secret that can't be decrypted is marked as one; a history that can't be read leaves the record invalid", async () => {
  const { recovery, applied } = setUp(() => Promise.reject(new Error("no answer")));
  recovery.add(KIND, entry(2, "secret"), new AppError("SECRET_UNREADABLE", "another key"));
  await recovery.whenIdle();
  expect([applied, recovery.invalid()]).toMatchObject([[], [{ isSecret: true, inForce: false }]]);
});
