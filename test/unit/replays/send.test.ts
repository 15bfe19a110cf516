import { describe, expect, test } from "vitest";
import type { AdmissionDecision, ParkedBecause } from "../../../src/delivery/admission.ts";
import { createBulkhead } from "../../../src/delivery/limits/bulkhead.ts";
import { createSend, type SendDependencies } from "../../../src/replays/send.ts";
import { createTracing } from "../../../src/telemetry/tracing.ts";
import { aDelivery, anApp, anInstallation } from "../../support/builders.ts";
import { createManualClock } from "../../support/manual-clock.ts";

const app = anApp({ slug: "acme" });
const installation = anInstallation({ app: "acme" });
const delivery = aDelivery({ app: "acme", installationUuid: installation.uuid });
const OPEN: AdmissionDecision = { kind: "open", app, installation };
const OWN_QUEUE = { app: "acme", installationUuid: null };
const parked = (why: ParkedBecause): AdmissionDecision => ({ kind: "park", queue: OWN_QUEUE, why });
const source = { stream: "rpl_1", sequence: 0 };

interface Situation {
  readonly decision?: AdmissionDecision;
  readonly directLimit?: number;
  readonly turn?: "granted" | "full";
  readonly hasRoom?: boolean;
  /** Fresh attempts in flight. */
  readonly fresh?: number;
}

async function sendIn({ decision = OPEN, directLimit = 16, turn = "granted", hasRoom = true, fresh = 0 }: Situation, mayPark = true) {
  const done: string[] = [];
  const bulkhead = createBulkhead(createManualClock(), { maxInFlight: 100, maxPerDestination: 100, maxWaitMs: 500 });
  for (let n = 0; n < fresh; n++) await bulkhead.enter("acme", directLimit, "https://acme.example");
  const send = createSend({
    admission: { direct: () => decision, parked: () => decision },
    bulkhead,
    turns: { takeWithin: () => turn, limitOf: () => Number.POSITIVE_INFINITY },
    destinationOf: () => "https://acme.example",
    attempt: async (one) => {
      done.push("attempted");
      return { kind: "delivered", delivery: one, record: null };
    },
    dispatcher: {
      apply: async () => null,
      dispatch: async () => {},
      park: async (_delivery, { installationUuid }, why) => void done.push(`parked ${why}${installationUuid === null ? "" : " alone"}`),
    },
    tracing: createTracing(null),
    directLimit: () => directLimit,
    takeRoom: () => (hasRoom ? () => {} : null),
  } satisfies SendDependencies);
  const start = send(delivery, source, mayPark);
  if (start.kind === "started") await start.ended;
  return { start: start.kind === "wait" ? `wait ${start.why}` : start.kind, done, inFlight: bulkhead.inFlight() - fresh };
}

describe("a delivery of a replay", () => {
  test("is attempted while fresh deliveries use less than half of the app's direct slots", async () => {
    expect(await sendIn({ fresh: 7 })).toEqual({ start: "started", done: ["attempted"], inFlight: 0 });
    expect(await sendIn({ fresh: 8 })).toEqual({ start: "wait capacity", done: [], inFlight: 0 });
  });

  test.each<[string, Situation, string]>([
    ["the circuit is open", { decision: parked("circuit") }, "wait circuit"],
    ["the receiver has asked for a pause", { decision: parked("throttled") }, "wait throttled"],
    ["deliveries of the app are parked", { decision: parked("queue") }, "wait queue"],
    ["the rate limit is used up", { turn: "full" }, "wait rate"],
    ["the app has no room in the parked stream", { decision: parked("ordered"), hasRoom: false }, "wait queue"],
  ])("waits while %s, and takes nothing", async (_, situation, start) => {
    expect(await sendIn(situation)).toEqual({ start, done: [], inFlight: 0 });
  });

  test.each<[string, Situation, string]>([
    ["an ordered app", { decision: parked("ordered") }, "parked ordered"],
    [
      "an installation that is paused",
      { decision: { kind: "park", queue: { app: "acme", installationUuid: installation.uuid }, why: "disabled" } },
      "parked disabled alone",
    ],
    ["an app with one attempt at a time", { directLimit: 0 }, "parked bulkhead"],
    ["such an app whose queue is in use", { directLimit: 0, decision: parked("queue") }, "parked queue"],
  ])("of %s goes through its queue, a few at a time", async (_, situation, done) => {
    expect(await sendIn(situation)).toMatchObject({ start: "started", done: [done] });
    expect(await sendIn(situation, false)).toEqual({ start: "wait queue", done: [], inFlight: 0 });
  });

  test("is skipped when its app is no longer installed", async () => {
    expect(await sendIn({ decision: { kind: "uninstalled" } })).toEqual({ start: "uninstalled", done: [], inFlight: 0 });
  });
});
