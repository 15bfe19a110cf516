/** Records by compare-and-set (status/ports.ts): held by the registry's store and by the fake of the unit tests. */
import { describe, expect, test } from "vitest";
import type { StatusRecords } from "../../../src/status/ports.ts";

export interface ExampleRecord {
  readonly state: "closed" | "open";
}

export interface RecordsUnderTest {
  readonly records: StatusRecords<ExampleRecord>;
  remove(key: string): Promise<void>;
  /** Writes a value that can't be read. */
  damage(key: string): Promise<void>;
}

const OPEN: ExampleRecord = { state: "open" };
const CLOSED: ExampleRecord = { state: "closed" };

/** @param keyOf a key of its own for each test */
export function describeRecords(name: string, subject: () => RecordsUnderTest, keyOf: (test: string) => string): void {
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
      expect((await records.read(never))?.record).toBeNull();
    });
  });
}
