/** The fake that the tests of the outbox use keeps the contract of the real bucket. */
import type { CircuitRecord } from "../../../src/model/stored-records.ts";
import { createRecordStore } from "../../support/record-store.ts";
import { testStatusRecords } from "../../support/status-records-conformance.ts";

testStatusRecords(() => {
  const records = createRecordStore<CircuitRecord>();
  return { records, damage: records.damage, remove: records.remove };
});
