import { beforeEach, expect, test } from "vitest";
import { toRfc3339 } from "../../../src/model/clock.ts";
import { integrationChanged, type StatusEvent } from "../../../src/model/status-event.ts";
import type { InstallationRecord } from "../../../src/model/stored-records.ts";
import { createOutbox } from "../../../src/status/outbox.ts";
import { createOutboxRelay, type OutboxRelay } from "../../../src/status/outbox-relay.ts";
import { UUID } from "../../support/builders.ts";
import { eventually } from "../../support/eventually.ts";
import { createManualClock, type ManualClock } from "../../support/manual-clock.ts";
import { createRecordStore, type RecordStore } from "../../support/record-store.ts";
import { silentLogger } from "../../support/silent-logger.ts";

const KEY = `installation.${UUID}`;
let clock: ManualClock;
let records: RecordStore<InstallationRecord>;
let published: StatusEvent[];
let streamFails: boolean;
let outboxRelay: OutboxRelay;

const eventNumber = (n: number, at = clock.now()): StatusEvent =>
  integrationChanged({ id: `${UUID}:${n}`, time: toRfc3339(at), prefix: "app-platform" }, "disabled", {
    ...{ app: "acme", installation_uuid: UUID, organization_id: "42", webhook_url: "https://hooks.acme.example/in" },
    ...{ previous_status: "active", status: "disabled", dashboard_url: null, reason: { by: "person" } },
  });

beforeEach(() => {
  clock = createManualClock();
  records = createRecordStore();
  published = [];
  streamFails = false;
  const stream = {
    async publish(event: StatusEvent) {
      if (streamFails) throw new Error("the stream is away");
      published.push(event);
    },
    lastId: async () => published.at(-1)?.id ?? null,
  };
  outboxRelay = createOutboxRelay(
    createOutbox<InstallationRecord, StatusEvent>({ records, stream, clock, logger: silentLogger }),
    clock,
    silentLogger,
  );
});

/** As the registry's watch does. */
function write(record: object | null): void {
  if (record === null) records.remove(KEY);
  else records.put(KEY, record);
  outboxRelay.update(KEY, record as InstallationRecord | null);
}

test("what a dead process left is published once it is stale, and its record is clear", async () => {
  write({ status: "disabled", n: 1, pending_event: eventNumber(1) });
  await clock.advance(4_000);
  expect(published).toEqual([]);
  streamFails = true;
  await clock.advance(2_000);
  streamFails = false;
  await clock.advance(2_000);
  await eventually(() => !("pending_event" in records.json(KEY)));
  expect(published.map(({ id }) => id)).toEqual([`${UUID}:1`]);
});

test("so it is when the writer's clock was far ahead", async () => {
  write({ status: "disabled", n: 1, pending_event: eventNumber(1, clock.now() + 3_600_000) });
  await clock.advance(6_000);
  expect(published).toHaveLength(1);
});

test("so it is when its record was removed meanwhile, and comes back", async () => {
  write({ status: "disabled", n: 1, pending_event: eventNumber(1) });
  write(null);
  write({ status: "active", n: 7 });
  await clock.advance(6_000);
  expect(published.map(({ id }) => id)).toEqual([`${UUID}:1`]);
  expect(records.json(KEY)).toEqual({ status: "active", n: 7 });
});

test("what was published is not published again when its record goes", async () => {
  write({ status: "disabled", n: 1, pending_event: eventNumber(1) });
  published.push(eventNumber(1));
  write(null);
  await clock.advance(20_000);
  expect(published).toHaveLength(1);
});
