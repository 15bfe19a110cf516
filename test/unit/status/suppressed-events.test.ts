import { expect, test } from "vitest";
import type { StatusEvent } from "../../../src/model/status-event.ts";
import type { SuppressedEvents } from "../../../src/status/ports.ts";
import { createSuppressedReports } from "../../../src/status/suppressed-events.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

test("suppressed events are reported once when their minute has ended, and again only if that failed", async () => {
  const clock = createManualClock();
  const since = clock.now();
  let pending: SuppressedEvents[] = [{ app: "acme", since, until: since + 60_000, count: 200 }];
  const published: StatusEvent[] = [];
  let failures = 1;
  const reports = createSuppressedReports(
    {
      budget: {
        take: async () => true,
        suppress: async () => true,
        suppressed: async () => pending,
        async reported(events) {
          pending = pending.filter((other) => other !== events);
        },
      },
      async publishOnce(event) {
        if (failures-- > 0) throw new Error("the stream refuses it");
        published.push(event);
      },
      clock,
      logger: silentLogger,
    },
    { prefix: "t", dashboardUrl: (path) => `https://posthorn.example/#${path}` },
  );
  reports.startLater();
  await clock.advance(60_500);
  expect(published).toEqual([]);
  await clock.advance(30_000);
  expect(published).toEqual([
    expect.objectContaining({
      id: `acme:suppressed:${since}`,
      type: "delivery.suppressed",
      subject: "acme",
      data: {
        app: "acme",
        count: 200,
        since: "2026-01-05T12:00:00.000Z",
        until: "2026-01-05T12:01:00.000Z",
        dashboard_url: "https://posthorn.example/#/apps/acme",
      },
    }),
  ]);
});
