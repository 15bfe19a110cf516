import { beforeEach, expect, test } from "vitest";
import type { App } from "../../../src/model/app.ts";
import { AppError } from "../../../src/model/app-error.ts";
import type { AppStops } from "../../../src/model/key-stop.ts";
import {
  createReadOverview,
  type Overview,
  type ReadOverview,
  type ReadOverviewDependencies,
} from "../../../src/overview/read-overview.ts";
import { anApp } from "../../support/builders.ts";
import { createManualClock, type ManualClock } from "../../support/manual-clock.ts";

const STOPS: AppStops = { keys: 2, oldest: { deliveryId: "dlv_1", deadLetter: 7, since: 0 } };
const apps: App[] = [
  anApp({ slug: "free" }),
  anApp({ slug: "halting", orderBy: "app", onExhausted: "stop" }),
  anApp({ slug: "going", orderBy: "app", onExhausted: "continue" }),
];

let clock: ManualClock;
type Source = "isBusUp" | "keyStops" | "oldestInAppQueue" | "recentAttempts" | "subjectCounts" | "volumes" | "circuitOf" | "throttleOf";
let sources: { -readonly [S in Source]: ReadOverviewDependencies[S] };

beforeEach(() => {
  clock = createManualClock();
  sources = {
    isBusUp: () => true,
    keyStops: async () => new Map([["halting", STOPS]]),
    oldestInAppQueue: async () => ({
      storedAt: clock.now() - 60_000,
      delivery: { firstParkedAt: null },
      dueAt: null,
      isStopped: false,
    }),
    recentAttempts: async () => ({ minutes: [], lastSuccessAt: null }),
    volumes: async (slugs) => new Map(slugs.map((slug) => [slug, [{ attempts: 3, delivered: 2 }]])),
    async subjectCounts() {
      const parked = new Map(apps.map(({ slug }) => [slug, 4]));
      return { parked, parkedInAppQueue: parked, parkedOfInstallation: new Map(), deadLetters: new Map(), unreadable: 0 };
    },
    circuitOf: () => ({ state: "closed" }),
    throttleOf: () => null,
  };
});

async function read(): Promise<{ problems: Overview["head"]["problems"]; row: (slug: string) => Record<string, unknown> }> {
  const readOverview: ReadOverview = createReadOverview({
    ...{ ...sources, clock, index: { apps: () => apps, installations: () => [] } as never },
    ...{ failingSince: () => null, paceOf: () => null, maxInFlightOf: () => 8 },
  });
  const reading = readOverview();
  await clock.advance(2_000);
  const overview = await reading;
  return { problems: overview.head.problems, row: (slug) => JSON.parse(overview.apps.get(slug) ?? "{}") };
}

const KNOWN = { parked: 4, dead_letters: 0, attempts: [3], health: { attempts: 0 }, unknown: [] };

test("everything is known when every source answers", async () => {
  const { problems, row } = await read();
  expect(problems).toEqual([]);
  expect(row("free")).toMatchObject({ ...KNOWN, stopped: null, waiting: { because: "max_in_flight" } });
  expect(row("halting")).toMatchObject({ ...KNOWN, stopped: { keys: 2, oldest: { dead_letter: 7 } }, waiting: { because: "ordered" } });
});

test("a queue that is read slowly leaves nothing else unknown, not even what other apps wait for", async () => {
  const { oldestInAppQueue } = sources;
  sources.oldestInAppQueue = (app) => (app.slug === "free" ? new Promise(() => {}) : oldestInAppQueue(app));
  const { problems, row } = await read();
  expect(problems).toEqual([{ code: "UNKNOWN", detail: "NATS answers slowly", missing: ["waiting"] }]);
  expect(row("free")).toMatchObject({ ...KNOWN, waiting: null, unknown: ["waiting"] });
  expect(row("going")).toMatchObject({ ...KNOWN, waiting: { because: "ordered" } });
});

test.each<[string, Awaited<ReturnType<ReadOverviewDependencies["keyStops"]>>]>([
  ["does not answer", null],
  ["has yet to read the app's queue", new Map([["halting", null]])],
])("stops are unknown, not none, while the owner of the queues %s", async (_what, answer) => {
  sources.keyStops = async () => answer;
  const { problems, row } = await read();
  expect(problems).toMatchObject([{ code: "UNKNOWN", missing: ["stopped"] }]);
  expect(row("halting")).toMatchObject({ ...KNOWN, stopped: null, unknown: ["stopped"] });
  for (const slug of ["free", "going"]) expect(row(slug)).toMatchObject({ ...KNOWN, stopped: null, unknown: [] });
});

test("recent attempts that can't be read leave the volumes known", async () => {
  sources.recentAttempts = () => Promise.reject(new AppError("REDIS_UNREACHABLE", "down"));
  const { problems, row } = await read();
  expect(problems).toMatchObject([{ code: "REDIS_UNREACHABLE", missing: expect.not.arrayContaining(["attempts"]) }]);
  expect(row("free")).toMatchObject({ ...KNOWN, health: { attempts: null, by_code: null } });
});

test("without NATS, which is one problem, the counts, what waits and what is stopped are unknown", async () => {
  sources.isBusUp = () => false;
  const { problems, row } = await read();
  expect(problems).toMatchObject([{ code: "NATS_UNREACHABLE", missing: expect.arrayContaining(["parked", "waiting", "stopped"]) }]);
  expect(row("halting")).toMatchObject({ parked: null, dead_letters: null, attempts: [3], unknown: ["stopped", "waiting"] });
  expect(row("free")).toMatchObject({ stopped: null, unknown: ["waiting"] });
});
