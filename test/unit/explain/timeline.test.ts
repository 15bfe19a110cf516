import { expect, test } from "vitest";
import type { ExplainedDelivery } from "../../../src/explain/answer-schemas.ts";
import { timelineOf } from "../../../src/explain/timeline.ts";
import type { StoredEvent } from "../../../src/model/delivery-location.ts";
import { aDelivery, anEvent, UUID } from "../../support/builders.ts";

const attempt = (second: number, outcome: string, number: number): ExplainedDelivery["attempts"][number] => ({
  ...{ attempt: number, at: `2026-01-05T10:00:0${second}.000Z`, outcome, response_code: outcome === "delivered" ? 200 : 503 },
  ...{ duration_ms: 5, error: outcome === "delivered" ? null : "answered with status 503", response_body: null },
  ...{ webhook_url: null, trace_id: null },
});
const delivery = (members: Partial<ExplainedDelivery>): ExplainedDelivery => ({
  ...{ delivery_id: aDelivery().id, app: "acme", installation_uuid: UUID, state: "unknown", detail: "its state", delivered_at: null },
  ...{ next_attempt_at: null, retry: null, parked: null, dead_letter: null, installation_status: "active" },
  ...{ throttled: null, stopped_by: null, circuit: "closed" },
  ...{ attempts: [], skipped: [], timeline: [], trace_id: null },
  ...members,
});
const stored: StoredEvent = {
  ...{ stream: "APP_PLATFORM_EVENTS", sequence: 7, storedAt: Date.UTC(2026, 0, 5, 10), event: anEvent(), problem: null, stage: "handled" },
};
const kinds = (members: Partial<ExplainedDelivery>): string[] => timelineOf(delivery(members), stored).map(({ kind }) => kind);

test("a retry is shown between its attempts and the time when the next one is due", () => {
  const due = "2026-01-05T10:05:00.000Z";
  const entries = timelineOf(
    delivery({
      ...{ state: "retrying", attempts: [attempt(1, "failed", 1)], next_attempt_at: due },
      retry: { sequence: 3, tier_s: 4, due_at: due, stored_at: "2026-01-05T10:00:02.000Z" },
    }),
    stored,
  );
  expect(entries.map(({ at, kind }) => `${at.slice(14, 19)} ${kind}`)).toEqual([
    "00:00 event",
    "00:01 attempt",
    "00:02 waiting",
    "05:00 due",
  ]);
  expect(entries[1]?.detail).toBe("attempt 1: failed, answered with status 503");
});

test("a parked delivery is shown with the time when it goes to dead letters", () => {
  const parked = {
    sequence: 1,
    queue: "q",
    since: "2026-01-05T10:00:03.000Z",
    because: "disabled",
    expires_at: "2026-01-12T10:00:03.000Z",
  } as const;
  expect(kinds({ state: "parked", parked })).toEqual(["event", "waiting", "expires"]);
});

test("the end is shown once: the attempt that delivered, or the time that outlasts its row, or the dead letter", () => {
  const deliveredAt = "2026-01-05T10:00:02.005Z";
  expect(kinds({ state: "delivered", delivered_at: deliveredAt, attempts: [attempt(2, "delivered", 1)] })).toEqual(["event", "attempt"]);
  expect(kinds({ state: "delivered", delivered_at: deliveredAt })).toEqual(["event", "delivered"]);
  const deadLetter = { sequence: 4, reason: "exhausted", error: null, at: "2026-01-05T10:00:04.000Z" };
  expect(kinds({ state: "dead_letter", attempts: [attempt(1, "failed", 1)], dead_letter: deadLetter })).toEqual([
    "event",
    "attempt",
    "dead_letter",
  ]);
});
