import { expect, test } from "vitest";
import { createAudited } from "../../../src/api/http/audited.ts";
import { type Change, createAuditLog } from "../../../src/audit/audit-log.ts";
import type { Logger } from "../../../src/model/logger.ts";
import { anApp } from "../../support/builders.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

const CHANGE: Change = {
  ...{ who: "robin", action: "updateApp", app: "acme", installation_uuid: null, target: "/v1/apps/acme" },
  ...{ before: { events: [] }, after: { events: ["*"] } },
};

test("an entry that can't be stored does not fail the change, is logged whole, and is stored once when that works again", async () => {
  const clock = createManualClock();
  const stored: string[] = [];
  const logged: object[] = [];
  let isDown = true;
  const logger: Logger = { ...silentLogger, error: (fields) => void logged.push(fields) };
  const append = async (_app: string | null, id: string): Promise<void> => {
    if (isDown) throw new Error("no stream");
    stored.push(id);
  };
  const log = createAuditLog({ append }, clock, logger);
  log.start();
  await log.record(CHANGE);
  expect(logged).toMatchObject([{ entry: CHANGE, error: "no stream" }]);
  await clock.advance(5_000);
  expect(stored).toEqual([]);
  isDown = false;
  await clock.advance(10_000);
  expect(stored).toEqual([(logged[0] as { entry: { id: string } }).entry.id]);
  await log.stop();
});

test("an entry that could not be stored is published once more at the end of the process", async () => {
  const stored: string[] = [];
  let isDown = true;
  const append = async (_app: string | null, id: string): Promise<void> => {
    if (isDown) throw new Error("no stream");
    stored.push(id);
  };
  const log = createAuditLog({ append }, createManualClock(), silentLogger);
  log.start();
  await log.record(CHANGE, { id: "status-1", at: "2026-01-05T10:11:12.000Z" });
  isDown = false;
  await log.stop();
  expect(stored).toEqual(["status-1"]);
});

test("a call that changes no record does not record what another caller changes meanwhile", async () => {
  const recorded: Change[] = [];
  let name = "before";
  const index = { app: () => ({ ...anApp(), name }), installation: () => undefined };
  const audited = createAudited({ record: async (change) => void recorded.push(change) }, index);
  const run = (action: string) =>
    audited.run({ who: "robin", action, target: "/v1/apps/acme" }, { app: "acme", installationUuid: null }, async () => {
      name = `after ${action}`;
    });
  await run("retryAppNow");
  await run("updateApp");
  expect(recorded).toMatchObject([
    { action: "retryAppNow", app: "acme", before: null, after: null },
    { action: "updateApp", before: { name: "after retryAppNow" }, after: { name: "after updateApp" } },
  ]);
});
