import { expect, test } from "vitest";
import type { Change } from "../../../src/audit/audit-log.ts";
import { createAuditedStatus } from "../../../src/audit/audited-status.ts";
import { type BrokenReasonData, integrationBroken, integrationChanged, type StatusEvent } from "../../../src/model/status-event.ts";

const FACTS = { id: "u:3", time: "2026-01-05T10:11:12.000Z", prefix: "posthorn" };
const DATA = { app: "acme", installation_uuid: "u", organization_id: "42", webhook_url: "https://a.example", dashboard_url: null };
const REASON: BrokenReasonData = {
  ...{ rule: "fatal", window_days: 7, days: ["2026-01-05"], success: 0, error: 0, timeout: 0, fatal: 1 },
  ...{ last_response_code: 410, last_error: null },
};

test("a change that Posthorn made by itself is recorded once, before its event; a person's with the call", async () => {
  const done: Array<string | object> = [];
  const stream = createAuditedStatus(
    { publish: async ({ type }: StatusEvent) => void done.push(type) },
    { record: async (change: Change, known?: object) => void done.push({ ...change, ...known }) },
  );
  await stream.publish(integrationBroken(FACTS, { ...DATA, previous_status: "active", status: "broken", reason: REASON }));
  for (const by of ["probe", "person"] as const) {
    const data = { ...DATA, previous_status: "broken", status: "active", reason: { by } } as const;
    await stream.publish(integrationChanged({ ...FACTS, id: `u:${by}` }, "recovered", data));
  }
  expect(done).toMatchObject([
    {
      who: "posthorn",
      action: "breakInstallation",
      app: "acme",
      id: "status-u:3",
      at: FACTS.time,
      after: { status: "broken", reason: REASON },
    },
    "integration.broken",
    { who: "posthorn", action: "recoverInstallation", id: "status-u:probe", before: { status: "broken" }, after: { status: "active" } },
    "integration.recovered",
    "integration.recovered",
  ]);
});
