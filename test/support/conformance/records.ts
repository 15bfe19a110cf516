/** Records by compare-and-set (status/ports.ts): held by the registry's store and by the fake of the unit tests. */
import { describe, expect, test } from "vitest";
import type { CircuitRecord } from "../../../src/model/stored-records.ts";
import type { StatusRecords } from "../../../src/status/ports.ts";

export interface RecordsUnderTest {
  readonly records: StatusRecords<CircuitRecord>;
  remove(key: string): unknown;
  /** Writes a value that can't be read. */
  damage(key: string): unknown;
}

const OPEN: CircuitRecord = { state: "open" };
const CLOSED: CircuitRecord = { state: "closed" };

/** A key of its own for each test. */
const keyOf = (name: string): string => `circuit.${name}`;

export function describeRecords(name: string, subject: () => RecordsUnderTest): void {
  describe(`records of ${name}`, () => {
    test("are null until they are created, and then have a revision", async () => {
      const { records } = subject();
      const key = keyOf("created");
      expect([await records.read(key), await records.deletedAt(key)]).toEqual([null, 0]);
      const revision = await records.create(key, CLOSED);
      expect(await records.read(key)).toMatchObject({ record: CLOSED, revision });
      await records.reached(Number(revision));
    });

    test("are created once and updated only at their newest revision, which grows", async () => {
      const { records } = subject();
      const key = keyOf("compared");
      const first = Number(await records.create(key, CLOSED));
      expect(await records.create(key, OPEN)).toBe("conflict");
      const second = Number(await records.update(key, OPEN, first));
      expect(second).toBeGreaterThan(first);
      expect(await records.update(key, CLOSED, first)).toBe("conflict");
      expect(await records.read(key)).toMatchObject({ record: OPEN, revision: second });
    });

    test("let one of several writers win", async () => {
      const { records } = subject();
      const key = keyOf("raced");
      const revision = Number(await records.create(key, CLOSED));
      const results = await Promise.all([records.update(key, OPEN, revision), records.update(key, CLOSED, revision)]);
      expect(results.filter((result) => result === "conflict")).toHaveLength(1);
    });

    test("remember their deletion until they are created again", async () => {
      const { records, remove } = subject();
      const key = keyOf("deleted");
      const revision = Number(await records.create(key, OPEN));
      await remove(key);
      expect(await records.read(key)).toBeNull();
      const deletedAt = await records.deletedAt(key);
      expect(deletedAt).toBeGreaterThan(revision);
      expect(Number(await records.create(key, CLOSED))).toBeGreaterThan(deletedAt);
      expect([await records.deletedAt(key), (await records.read(key))?.record]).toEqual([0, CLOSED]);
    });

    test("have the newest revision and the last good record when their value can't be read, or none", async () => {
      const { records, damage } = subject();
      const [good, never] = [keyOf("damaged"), keyOf("never-good")];
      const revision = Number(await records.create(good, OPEN));
      await damage(good);
      const found = await records.read(good);
      expect(found?.record).toEqual(OPEN);
      expect(found?.revision).toBeGreaterThan(revision);
      expect(Number(await records.update(good, CLOSED, found?.revision ?? 0))).toBeGreaterThan(found?.revision ?? 0);
      await damage(never);
      const unread = await records.read(never);
      expect(unread?.record).toBeNull();
      expect(await records.update(never, OPEN, unread?.revision ?? 0)).not.toBe("conflict");
      expect((await records.read(never))?.record).toEqual(OPEN);
    });
  });
}
