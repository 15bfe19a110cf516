import { describe, expect, test } from "vitest";
import { type AdmissionDecision, createAdmission } from "../../../src/delivery/admission.ts";
import type { ParkedQueue } from "../../../src/delivery/ports.ts";
import type { App, Installation } from "../../../src/model/app.ts";
import { aDelivery, anApp, anInstallation, UUID } from "../../support/builders.ts";

interface Situation {
  readonly app?: Partial<App> | null;
  readonly installation?: Partial<Installation> | null;
  readonly isCurrent?: boolean;
  readonly circuitOpen?: boolean;
  readonly busy?: readonly ("own" | "installation")[];
  readonly brokenAction?: "park" | "deliver";
  readonly from?: ParkedQueue;
}

const own: ParkedQueue = { app: "acme", installationUuid: null };
const ofInstallation: ParkedQueue = { app: "acme", installationUuid: UUID };

function pass({
  app = {},
  installation = {},
  isCurrent = true,
  circuitOpen = false,
  busy = [],
  brokenAction = "park",
  from,
}: Situation): string {
  const admission = createAdmission({
    registry: {
      app: () => (app === null ? undefined : anApp(app)),
      installation: () => (installation === null ? undefined : anInstallation(installation)),
    },
    isCurrent: () => isCurrent,
    circuitOpen: () => circuitOpen,
    queueBusy: ({ installationUuid }) => busy.includes(installationUuid === null ? "own" : "installation"),
    brokenAction,
  });
  const decision: AdmissionDecision = from === undefined ? admission.direct(aDelivery()) : admission.parked(aDelivery(), from);
  if (decision.kind !== "park") return decision.kind;
  return `park in the ${decision.queue.installationUuid === null ? "app's" : "installation's"} queue: ${decision.why}`;
}

describe("from an event or a retry", () => {
  test.each<[string, Situation, string]>([
    ["nothing in the way", {}, "open"],
    ["the installation is gone", { installation: null }, "uninstalled"],
    ["the app is gone", { app: null }, "uninstalled"],
    ["the installation is not known yet", { installation: null, isCurrent: false }, "unknown"],
    ["disabled", { installation: { status: "disabled" } }, "park in the installation's queue: disabled"],
    ["broken", { installation: { status: "broken" } }, "park in the installation's queue: broken"],
    ["broken, and deliveries go on", { installation: { status: "broken" }, brokenAction: "deliver" }, "open"],
    [
      "disabled, and deliveries to broken ones go on",
      { installation: { status: "disabled" }, brokenAction: "deliver" },
      "park in the installation's queue: disabled",
    ],
    ["the circuit is open", { circuitOpen: true }, "park in the app's queue: circuit"],
    ["the queue is not empty", { busy: ["own"] }, "park in the app's queue: queue"],
    ["the installation's backlog is being delivered", { busy: ["installation"] }, "open"],
    ["ordered", { app: { orderBy: "app" } }, "park in the app's queue: ordered"],
    ["ordered, with a backlog", { app: { orderBy: "app" }, busy: ["installation"] }, "park in the app's queue: ordered"],
    ["ordered and broken", { app: { orderBy: "app" }, installation: { status: "broken" } }, "park in the installation's queue: broken"],
  ])("%s", (_what, situation, wanted) => {
    expect(pass(situation)).toBe(wanted);
  });
});

describe("from a parked queue", () => {
  test.each<[string, Situation, string]>([
    ["nothing in the way, although its queue is busy", { from: own, busy: ["own"] }, "open"],
    ["the installation is not known yet", { from: ofInstallation, installation: null, isCurrent: false }, "unknown"],
    ["ordered", { from: own, app: { orderBy: "app" }, busy: ["own"] }, "open"],
    ["broken meanwhile", { from: own, installation: { status: "broken" } }, "park in the installation's queue: broken"],
    ["still broken", { from: ofInstallation, installation: { status: "broken" } }, "park in the installation's queue: broken"],
    ["recovered", { from: ofInstallation, busy: ["installation"] }, "open"],
    ["recovered and ordered", { from: ofInstallation, app: { orderBy: "app" } }, "open"],
    ["the circuit is open, which the drain waits for", { from: ofInstallation, circuitOpen: true }, "open"],
    ["uninstalled meanwhile", { from: own, installation: null }, "uninstalled"],
  ])("%s", (_what, situation, wanted) => {
    expect(pass(situation)).toBe(wanted);
  });
});
