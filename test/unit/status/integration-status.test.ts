import { beforeEach, describe, expect, test } from "vitest";
import type { StatusEvent } from "../../../src/model/status-event.ts";
import type { InstallationRecord } from "../../../src/model/stored-records.ts";
import { createHealthWatch, type HealthWatch } from "../../../src/status/health-watch.ts";
import { createIntegrationStatus, type IntegrationStatus } from "../../../src/status/integration-status.ts";
import { createOutbox } from "../../../src/status/outbox.ts";
import type { HealthDay } from "../../../src/status/ports.ts";
import { anAttempt, anInstallation, UUID } from "../../support/builders.ts";
import { createManualClock, type ManualClock } from "../../support/manual-clock.ts";
import { createRecordStore, type RecordStore } from "../../support/record-store.ts";
import { silentLogger } from "../../support/silent-logger.ts";

const KEY = `installation.${UUID}`;
const DAY_MS = 86_400_000;

let clock: ManualClock;
let records: RecordStore<InstallationRecord>;
let events: StatusEvent[];
let counters: Map<string, HealthDay>;
let status: IntegrationStatus;
let watch: HealthWatch;
let parked: number;
let redisIsAway: boolean;

const health = {
  async read(_uuid: string, days: readonly string[]): Promise<HealthDay[]> {
    if (redisIsAway) throw new Error("Redis is away");
    return days.map((day) => counters.get(day) ?? { day, success: 0, error: 0, timeout: 0, fatal: 0 });
  },
  async clear(): Promise<void> {
    if (redisIsAway) throw new Error("Redis is away");
    counters.clear();
  },
};

const current = () => records.json(KEY).status;

/** An attempt as the delivery path makes it: counted, judged, and written a little later. */
async function attempt(outcome: "delivered" | "failed" | "timed_out" | "gone", writtenAfterMs = 0): Promise<void> {
  const day = new Date(clock.now()).toISOString().slice(0, 10);
  const before = counters.get(day) ?? { day, success: 0, error: 0, timeout: 0, fatal: 0 };
  const counter = { delivered: "success", failed: "error", timed_out: "timeout", gone: "fatal" }[outcome] as "success";
  counters.set(day, { ...before, [counter]: before[counter] + 1 });
  const responseCode = { delivered: 200, failed: 500, timed_out: 0, gone: 410 }[outcome];
  watch.onAttempt(
    anAttempt({
      outcome,
      responseCode,
      error: outcome === "delivered" ? null : "no",
      installation: anInstallation({ status: current() }),
      endedAt: clock.now(),
    }),
  );
  await clock.advance(writtenAfterMs);
  if (outcome !== "delivered") watch.failuresWritten(new Set([UUID]));
  await clock.advance(1_500 - writtenAfterMs);
  await watch.idle();
}

function begin(options: Partial<Parameters<typeof createHealthWatch>[1]> = {}): void {
  watch = createHealthWatch(
    { health, status, isActive: () => current() === "active", clock, logger: silentLogger },
    { windowDays: 7, timeouts: 1000, rules: new Set(["fatal", "failing_days", "timeouts"]), calmMs: 0, ...options },
  );
}

beforeEach(() => {
  clock = createManualClock();
  records = createRecordStore();
  events = [];
  counters = new Map();
  parked = 0;
  redisIsAway = false;
  records.put(KEY, { uuid: UUID, app: "acme", organization_id: "42", project_ids: [], status: "active" });
  const stream = {
    publish: async (event: StatusEvent) => void events.push(event),
    lastId: async () => events.at(-1)?.id ?? null,
  };
  const outbox = createOutbox<InstallationRecord, StatusEvent>({ records, stream, clock, logger: silentLogger });
  status = createIntegrationStatus(
    { records, outbox, health, parkedFor: async () => parked, webhookUrlOf: () => "https://hooks.acme.example/in", clock },
    { prefix: "app-platform", dashboardUrl: (path) => `https://posthorn.example${path}` },
  );
  begin();
});

describe("an integration", () => {
  test("with one 500 a day breaks on the seventh day, once", async () => {
    for (let day = 1; day <= 6; day++) {
      await attempt("failed");
      await clock.advance(DAY_MS - 1_500);
    }
    expect([current(), events]).toEqual(["active", []]);
    for (let more = 0; more < 20; more++) await attempt("failed");
    expect(current()).toBe("broken");
    expect(events).toHaveLength(1);
    expect(events[0]).toEqual({
      specversion: "1.0",
      id: `${UUID}:1`,
      source: "/posthorn/app-platform",
      type: "integration.broken",
      time: expect.stringMatching(/^2026-01-11T12:00:0\d\.\d{3}Z$/),
      subject: UUID,
      datacontenttype: "application/json",
      data: {
        app: "acme",
        installation_uuid: UUID,
        organization_id: "42",
        webhook_url: "https://hooks.acme.example/in",
        previous_status: "active",
        status: "broken",
        reason: {
          rule: "failing_days",
          window_days: 7,
          days: ["2026-01-05", "2026-01-06", "2026-01-07", "2026-01-08", "2026-01-09", "2026-01-10", "2026-01-11"],
          success: 0,
          error: 7,
          timeout: 0,
          fatal: 0,
          last_response_code: 500,
          last_error: "no",
        },
        dashboard_url: `https://posthorn.example/installations/${UUID}`,
      },
    });
  });

  test("whose failure of the seventh day ends right before midnight is judged by that day", async () => {
    await clock.advance(Date.UTC(2026, 0, 5, 23, 59, 59, 999) - clock.now());
    for (let day = 1; day <= 7; day++) {
      await attempt("failed", 5);
      await clock.advance(DAY_MS - 1_500);
    }
    expect(events[0]?.data).toMatchObject({ reason: { days: expect.arrayContaining(["2026-01-05", "2026-01-11"]) } });
  });

  test.each([false, true])("breaks at once with a 410, and says by what; Redis is down: %s", async (isAway) => {
    redisIsAway = isAway;
    await attempt("gone");
    expect([current(), events[0]?.type]).toEqual(["broken", "integration.broken"]);
    const days = Array.from({ length: 7 }, () => expect.stringMatching(/^20\d\d-\d\d-\d\d$/));
    expect(events[0]?.data).toMatchObject({ reason: { rule: "fatal", window_days: 7, days, fatal: 1, last_response_code: 410 } });
  });

  test("does not break with a 410 when that part of the rule is off", async () => {
    begin({ rules: new Set(["timeouts"]) });
    await attempt("gone");
    expect(current()).toBe("active");
  });

  test("breaks with the third timeout when the threshold is 3", async () => {
    begin({ timeouts: 3 });
    await attempt("timed_out");
    await attempt("timed_out");
    expect(current()).toBe("active");
    await attempt("timed_out");
    expect(events.map(({ data }) => (data as { reason: { rule: string } }).reason.rule)).toEqual(["timeouts"]);
  });

  test("that is broken and is still delivered to recovers with its first success, once", async () => {
    await attempt("gone");
    await Promise.all([attempt("delivered"), attempt("delivered")]);
    expect([current(), events.map(({ type }) => type)]).toEqual(["active", ["integration.broken", "integration.recovered"]]);
    expect(events[1]?.data).toMatchObject({ previous_status: "broken", status: "active", reason: { by: "probe" } });
  });

  test("that takes some deliveries and fails others does not change its status all the time", async () => {
    begin({ calmMs: 3_600_000 });
    for (let n = 0; n < 20; n++) for (const outcome of ["gone", "delivered"] as const) await attempt(outcome);
    expect([current(), events.length]).toEqual(["broken", 3]);
    await clock.advance(3_600_000);
    await attempt("delivered");
    expect([current(), events.length]).toEqual(["active", 4]);
  });

  test("whose deliveries park is not recovered by an attempt that was under way", async () => {
    begin({ calmMs: null });
    await attempt("gone");
    await attempt("delivered");
    expect(current()).toBe("broken");
  });

  test("is judged once when 1000 failures on two replicas come at the same time", async () => {
    begin({ timeouts: 3 });
    const other = watch;
    begin({ timeouts: 3 });
    for (let i = 0; i < 3; i++) counters.set("2026-01-05", { day: "2026-01-05", success: 0, error: 0, timeout: 3, fatal: 0 });
    for (let i = 0; i < 500; i++) for (const replica of [other, watch]) replica.failuresWritten(new Set([UUID]));
    await clock.advance(3_000);
    await Promise.all([other.idle(), watch.idle()]);
    expect(events).toHaveLength(1);
  });
});

describe("after a recovery the next failure does not break it again", () => {
  const recoverByProbe = async () => {
    await status.recover(UUID);
    expect(current()).toBe("active");
  };

  test.each<[string, () => Promise<void>]>([
    ["a 410", () => attempt("gone")],
    [
      "seven days of errors",
      async () => {
        for (let day = 1; day <= 7; day++) {
          await attempt("failed");
          await clock.advance(DAY_MS - 1_500);
        }
      },
    ],
    [
      "timeouts",
      async () => {
        begin({ timeouts: 3 });
        for (let i = 0; i < 3; i++) await attempt("timed_out");
      },
    ],
  ])("when it broke by %s", async (_what, breakIt) => {
    await breakIt();
    expect(current()).toBe("broken");
    // Probes that fail are counted, too.
    for (let probes = 0; probes < 10; probes++) await attempt("timed_out");
    await recoverByProbe();
    await attempt("failed");
    await attempt("timed_out");
    expect([current(), events.length]).toEqual(["active", 2]);
  });

  test("also when Redis was down as it broke and as it recovered", async () => {
    await attempt("failed");
    redisIsAway = true;
    await attempt("gone");
    expect([current(), counters.size]).toEqual(["broken", 1]);
    await recoverByProbe();
    redisIsAway = false;
    await attempt("failed");
    await attempt("failed");
    expect([current(), records.json(KEY)]).toEqual(["active", expect.not.objectContaining({ counters_stale: true })]);
    await attempt("gone");
    expect(current()).toBe("broken");
  });
});

test("failures that are counted after it was recovered do not break it", async () => {
  await attempt("gone");
  await status.enable(UUID);
  // Redis was away: what ended before is written now.
  counters.set("2026-01-05", { day: "2026-01-05", success: 0, error: 0, timeout: 0, fatal: 1 });
  watch.failuresWritten(new Set([UUID]));
  await clock.advance(1_500);
  await watch.idle();
  expect([current(), counters.size]).toEqual(["active", 0]);
  await attempt("gone");
  expect(current()).toBe("broken");
});

test("a success that comes late does not clear the counters of one that is active", async () => {
  await attempt("failed");
  expect(await status.recover(UUID)).toBe(false);
  expect(counters.size).toBe(1);
});

describe("a person", () => {
  const told = () =>
    events.map(({ type, data }) => {
      const { previous_status, status: now, reason } = data as { previous_status: string; status: string; reason: { by?: string } };
      return `${type}: ${previous_status} to ${now} by ${reason.by ?? "the rule"}`;
    });

  test("disables and enables, each announced once", async () => {
    await status.disable(UUID);
    await status.disable(UUID);
    expect(current()).toBe("disabled");
    await status.enable(UUID);
    await status.enable(UUID);
    expect(current()).toBe("active");
    expect(told()).toEqual(["integration.disabled: active to disabled by person", "integration.enabled: disabled to active by person"]);
  });

  test("enables an active one: nothing happens, and what it is judged by stays", async () => {
    await attempt("failed");
    const before = records.json(KEY);
    expect(await status.enable(UUID)).toBe("active");
    expect([records.json(KEY), counters.size, events]).toEqual([before, 1, []]);
  });

  test("recovers a broken one: its counters are forgotten, and it is known what waits", async () => {
    await attempt("gone");
    await attempt("failed");
    parked = 12;
    await status.enable(UUID);
    expect([current(), counters.size]).toEqual(["active", 0]);
    expect(told().at(-1)).toBe("integration.recovered: broken to active by person");
    expect(records.json(KEY)).toMatchObject({ recovered_at: expect.any(String), recovered_backlog: 12 });
    expect(Object.keys(records.json(KEY)).filter((member) => /^(broken|probed)_/.test(member))).toEqual([]);
  });

  test("disables a broken one and enables it: nothing is left of why it was broken", async () => {
    await attempt("gone");
    await status.disable(UUID);
    await status.enable(UUID);
    expect(told()).toEqual([
      "integration.broken: active to broken by the rule",
      "integration.disabled: broken to disabled by person",
      "integration.enabled: disabled to active by person",
    ]);
    await attempt("failed");
    expect([current(), events.length]).toEqual(["active", 3]);
  });

  test("asks for an installation that is not there", async () => {
    for (const change of [status.enable, status.disable])
      await expect(change("ffffffff-5b6a-4c7d-8e9f-0a1b2c3d4e5f")).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("a success of a disabled one does not enable it", async () => {
    await status.disable(UUID);
    await attempt("delivered");
    expect(current()).toBe("disabled");
  });
});

test("a probe is claimed by one replica an interval", async () => {
  await attempt("gone");
  expect(await status.claimRecoveryProbe(UUID, 3_600_000)).toBe(false);
  await clock.advance(3_600_000);
  const claims = await Promise.all([1, 2, 3].map(() => status.claimRecoveryProbe(UUID, 3_600_000)));
  expect(claims.filter(Boolean)).toHaveLength(1);
  expect(events).toHaveLength(1);
});
