/** The contract of StatusRecords, which the registry bucket and its fake both have to keep. */
import { expect, test } from "vitest";
import type { CircuitRecord } from "../../src/model/stored-records.ts";
import type { StatusRecords } from "../../src/status/ports.ts";

export interface RecordsUnderTest {
  readonly records: StatusRecords<CircuitRecord>;
  /** Writes bytes that are no record. */
  damage(key: string): unknown;
  remove(key: string): unknown;
}

/** @param setUp keys must not exist yet; each test uses a key of its own */
export function testStatusRecords(setUp: () => RecordsUnderTest): void {
  test("a record that was never written does not exist, and was not deleted", async () => {
    const { records } = setUp();
    expect([await records.read("circuit.none"), await records.deletedAt("circuit.none")]).toEqual([null, 0]);
  });

  test("a record is created once, and read with the revision of its last write", async () => {
    const { records } = setUp();
    const created = await records.create("circuit.created", { state: "open" });
    expect(await records.create("circuit.created", { state: "closed" })).toBe("conflict");
    expect(await records.read("circuit.created")).toMatchObject({ record: { state: "open" }, revision: created });
  });

  test("of two updates at one revision the first wins, and revisions grow", async () => {
    const { records } = setUp();
    const created = Number(await records.create("circuit.updated", { state: "open" }));
    const updated = Number(await records.update("circuit.updated", { state: "closed" }, created));
    expect(updated).toBeGreaterThan(created);
    expect(await records.update("circuit.updated", { state: "open" }, created)).toBe("conflict");
    expect(await records.read("circuit.updated")).toMatchObject({ record: { state: "closed" }, revision: updated });
  });

  test("a deleted record has the revision of its deletion, and can be created again with a higher one", async () => {
    const { records, remove } = setUp();
    const created = Number(await records.create("circuit.deleted", { state: "open" }));
    await remove("circuit.deleted");
    const deletedAt = await records.deletedAt("circuit.deleted");
    expect(deletedAt).toBeGreaterThan(created);
    expect(await records.read("circuit.deleted")).toBeNull();
    expect(await records.create("circuit.deleted", { state: "open" })).toBeGreaterThan(deletedAt);
  });

  test("a value that can't be read leaves the last readable record in force, or none, and can be replaced", async () => {
    const { records, damage } = setUp();
    await damage("circuit.damaged");
    const first = await records.read("circuit.damaged");
    expect(first?.record).toBeNull();
    const replaced = Number(await records.update("circuit.damaged", { state: "open" }, first?.revision ?? 0));
    await damage("circuit.damaged");
    const second = await records.read("circuit.damaged");
    expect(second).toMatchObject({ record: { state: "open" } });
    expect(second?.revision).toBeGreaterThan(replaced);
  });
}
