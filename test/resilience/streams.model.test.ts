/**
 * The streams as a state machine, on real parts: whatever is asked of the platform in whatever order, every delivery arrives or
 * rests in dead letters for a reason that is to be seen, and nobody is attempted who must not be. A small model knows what was
 * published and asked for, and what the receiver has answered; test/unit/delivery/streams.model.test.ts is the quick one.
 *
 * By itself it takes the same few sequences each time. STREAMS_MODEL_RUNS says how many runs of others, in which replicas are suspended and
 * cut off, and NATS is killed, too; STREAMS_MODEL_SEED and STREAMS_MODEL_PATH repeat one that failed and make it smaller.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { deliveryIdOf } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import {
  type Attempted,
  type Letter,
  MOODS,
  ORDERS,
  type Order,
  type OrderedSpan,
  type Published,
  RETRY_AFTER_MS,
  RETRY_SCHEDULE_S,
  type Received,
  type Span,
  type StreamsWorld,
  startStreamsWorld,
  type WorldOptions,
} from "../support/streams-world.ts";

const { STREAMS_MODEL_RUNS: runs, STREAMS_MODEL_SEED: seed, STREAMS_MODEL_PATH: path } = process.env;
const isExploring = runs !== undefined || seed !== undefined;
const USUAL_SEED = 7;
const USUAL_RUNS = 2;
/** More runs take longer than a test may. */
const TIMEOUT_MS = isExploring ? 24 * 3_600_000 : 300_000;
/** The start of an attempt is known to a millisecond or two; replicas and this process share a clock. */
const CLOCK_MS = 20;
/** As docs/reliability.md says: what is stored later than that after a younger one may come after it. */
const ORDER_GRACE_MS = 150;
/** A replica that was suspended knows by then what has changed. */
const LAG_MS = 2_000;
/** Marks are written by then, on a machine with much else to do. */
const MARKED_MS = 5_000;
/** So are lines of the log. */
const LINES_MS = 10_000;

let nats: Server;
let redis: Server;
beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
});
afterAll(async () => {
  await Promise.all([nats.stop(), redis.stop()]);
});

/** What is asked of the platform, as fast-check prints it. */
type Step =
  | { readonly do: "publish"; readonly count: number }
  | { readonly do: "feel"; readonly mood: (typeof MOODS)[number]; readonly whom: number | null }
  | { readonly do: "disable" | "enable" | "discard"; readonly whom: number }
  | { readonly do: "put"; readonly order_by: Order; readonly max_in_flight: number }
  | { readonly do: "pause" | "kill NATS"; readonly ms: number }
  | { readonly do: "reinstall"; readonly whom: number; readonly ms: number }
  | { readonly do: "suspend" | "cut off"; readonly replica: number; readonly ms: number }
  | { readonly do: "resend"; readonly nth: number }
  | { readonly do: "replay"; readonly all: boolean }
  | { readonly do: "terminate" | "kill" | "start"; readonly replica: number };

const whom = fc.nat({ max: 1 });
const app = { order_by: fc.constantFrom(...ORDERS), max_in_flight: fc.constantFrom(1, 2, 3, 32) };
/** In the last one another replica becomes the owner of the queues. */
const AWAY_MS = [500, 3_000, 16_000];

const PLAIN = { noNullPrototype: true };

const step = (killing: boolean): fc.Arbitrary<Step> => {
  const of = <Do extends Step["do"]>(name: Do, members: object, weight: number) => ({
    weight,
    arbitrary: fc.record({ do: fc.constant(name), ...members }, PLAIN) as unknown as fc.Arbitrary<Step>,
  });
  return fc.oneof(
    of("publish", { count: fc.integer({ min: 1, max: 8 }) }, 8),
    of("feel", { mood: fc.constantFrom(...MOODS), whom: fc.constantFrom(null, 0, 1) }, 6),
    of("pause", { ms: fc.constantFrom(20, 100, 300, 700) }, 5),
    of("disable", { whom }, 3),
    of("enable", { whom }, 3),
    of("discard", { whom }, 1),
    of("put", app, 4),
    of("resend", { nth: fc.nat({ max: 100 }) }, 1),
    of("replay", { all: fc.boolean() }, 1),
    of("terminate", { replica: whom }, 1),
    of("start", { replica: whom }, 2),
    of("reinstall", { whom, ms: fc.constantFrom(0, 50, 500) }, 1),
    ...(killing ? [of("kill", { replica: whom }, 2)] : []),
    // These take long.
    ...(killing && isExploring ? [of("suspend", { replica: whom, ms: fc.constantFrom(...AWAY_MS) }, 1)] : []),
    ...(killing && isExploring ? [of("cut off", { replica: whom, ms: fc.constantFrom(...AWAY_MS) }, 1)] : []),
    ...(killing && isExploring ? [of("kill NATS", { ms: fc.constantFrom(0, 500, 3_000) }, 1)] : []),
  );
};

async function take(world: StreamsWorld, replicas: number, one: Step): Promise<void> {
  switch (one.do) {
    case "publish":
      return world.publish(one.count);
    case "feel":
      return world.feel(one.mood, one.whom);
    case "disable":
      return world.disable(one.whom);
    case "enable":
      return world.enable(one.whom);
    case "discard":
      return world.discard(one.whom);
    case "reinstall":
      return world.reinstall(one.whom, one.ms);
    case "suspend":
      return world.suspend(one.replica % replicas, one.ms);
    case "cut off":
      return world.cutOff(one.replica % replicas, one.ms);
    case "kill NATS":
      return world.killNats(one.ms);
    case "put":
      return world.putApp(one);
    case "pause":
      return new Promise((resolve) => setTimeout(resolve, one.ms));
    case "resend":
      return world.resend(one.nth);
    case "replay":
      return world.replay(one.all);
    case "terminate":
      return world.end(one.replica % replicas, "SIGTERM");
    case "kill":
      return world.end(one.replica % replicas, "SIGKILL");
    case "start":
      return world.start(one.replica % replicas);
  }
}

const FAILURES: ReadonlySet<string> = new Set(["fails", "later", "resets"]);
const isDelivered = ({ answer }: Received): boolean => answer === "ok" || answer === "slow";

/** What is wrong with what the world has seen: one line each. */
async function complaints(world: StreamsWorld, replicas: number): Promise<string[]> {
  const found = [...world.wrong];
  // A process's last lines may be read later than the rows that it wrote after them. A killed one's are missing.
  if (world.kills.length === 0) await eventually(() => requestComplaints(world, world.attempts()).length === 0, LINES_MS).catch(() => {});
  const attempts = world.attempts();
  const letters = await world.letters();
  const wasKilled = world.kills.length > 0;
  const receivedOf = Map.groupBy(world.received, (one) => one.deliveryId);
  const lettersOf = Map.groupBy(letters, (letter) => letter.delivery_id);
  const runsOf = Map.groupBy(attempts, (attempt) => `${attempt.deliveryId} ${attempt.replay ?? "first run"}`);
  const startOf = new Map(attempts.map((attempt) => [attempt.spanId, attempt.startedAt]));

  for (const { id } of world.published) {
    for (const uuid of world.uuids) {
      const delivery = deliveryIdOf(id, uuid);
      const requests = receivedOf.get(delivery) ?? [];
      const resting = lettersOf.get(delivery) ?? [];
      const arrivals = requests.filter(isDelivered);
      if (arrivals.length + resting.length === 0 && !world.mayMiss.has(delivery)) found.push(`${id} for ${uuid} is lost`);
      for (const letter of resting) {
        const why = unexplained(letter, requests, { wasDiscarded: world.discarded.has(uuid), wasRemoved: world.removed.has(uuid) });
        if (why !== null) found.push(`${id} for ${uuid} is a dead letter (${letter.reason}), but ${why}`);
      }
      if (world.askedAgain.has(delivery)) continue;
      if (!wasKilled && arrivals.length + resting.length > 1)
        found.push(`${id} for ${uuid} arrived ${arrivals.length} times and rests in ${resting.length} dead letters`);
      const [first] = arrivals;
      const last = arrivals.at(-1);
      if (first && last && first !== last && !world.kills.some((at) => at > first.at && at - first.endedAt < MARKED_MS))
        found.push(`${id} for ${uuid} came again ${last.at - first.endedAt} ms after it was delivered`);
    }
  }
  found.push(...(await runComplaints(world, runsOf, wasKilled)), ...stoppedComplaints(world, attempts));
  found.push(...overlapComplaints(world, startOf));
  if (!wasKilled) found.push(...requestComplaints(world, attempts));
  // Of two replicas one that is held up by others' work may store what it has later than its grace.
  if (!wasKilled && (isExploring || replicas === 1)) found.push(...orderComplaints(world, startOf));
  return found;
}

/** @returns why the dead letter should not be one. */
function unexplained(
  letter: Letter,
  requests: readonly Received[],
  { wasDiscarded, wasRemoved }: { readonly wasDiscarded: boolean; readonly wasRemoved: boolean },
): string | null {
  const answered = (...answers: string[]): boolean => requests.some(({ answer }) => answers.includes(answer));
  const made = letter.attempts.map(({ attempt }) => attempt);
  if (made.join() !== Array.from({ length: letter.attempts_made }, (_, n) => n + 1).join())
    return `its ${letter.attempts_made} attempts are ${made.join()}`;
  switch (letter.reason) {
    case "discarded":
      return wasDiscarded ? null : "nothing was discarded";
    case "uninstalled":
      return wasRemoved ? null : "its installation was never removed";
    case "rejected":
      return answered("rejects") ? null : "the receiver has not rejected it";
    case "gone":
      return answered("gone") ? null : "the receiver has not said so";
    case "exhausted": {
      const failures = requests.filter(({ answer }) => FAILURES.has(answer)).length;
      const wanted = RETRY_SCHEDULE_S.length + 1;
      // An attempt that is answered with Retry-After uses up none of the schedule.
      const most = wanted + requests.filter(({ answer }) => answer === "later").length;
      return failures >= wanted && letter.attempts_made >= wanted && letter.attempts_made <= most
        ? null
        : `${letter.attempts_made} attempts were made, ${failures} failed`;
    }
    default:
      return "nothing of the kind has happened";
  }
}

/** Attempts of one run: their numbers, none after it is delivered, none before a Retry-After has passed. */
async function runComplaints(world: StreamsWorld, runsOf: Map<string, Attempted[]>, wasKilled: boolean): Promise<string[]> {
  const found: string[] = [];
  const answers = new Map(world.received.map(({ spanId, answer }) => [spanId, answer]));
  for (const [run, attempts] of runsOf) {
    const [{ uuid, deliveryId: id, replay } = { uuid: "", deliveryId: "", replay: null }] = attempts;
    const numbers = attempts.map(({ attempt }) => attempt);
    const shown = `${run} for ${uuid}`;
    if (replay !== null && !world.askedAgain.has(id)) found.push(`${shown}: nobody asked for that run`);
    const wanted = Array.from({ length: Math.max(...numbers) }, (_, n) => n + 1);
    // The probes of a broken installation spend no attempt.
    const mayRepeat = wasKilled || world.wentBroken.has(uuid);
    const got = mayRepeat ? [...new Set(numbers)].sort() : numbers;
    if (!wasKilled && got.join() !== wanted.join()) found.push(`${shown}: its attempts are ${numbers.join()}`);
    if (!wasKilled && attempts.slice(0, -1).some(({ outcome }) => outcome === "delivered"))
      found.push(`${shown}: its outcomes are ${attempts.map(({ outcome }) => outcome).join()}`);
    for (const [at, attempt] of attempts.slice(0, -1).entries()) {
      const waitedMs = (attempts[at + 1]?.startedAt ?? 0) - attempt.endedAt;
      if (!mayRepeat && answers.get(attempt.spanId) === "later" && waitedMs < RETRY_AFTER_MS - CLOCK_MS)
        found.push(`${shown}: attempt ${attempt.attempt + 1} came ${waitedMs} ms after a Retry-After of ${RETRY_AFTER_MS} ms`);
    }
  }
  if (!wasKilled) {
    const key = (one: { attempt: number; outcome: string }, id: string): string => `${id} attempt ${one.attempt} ${one.outcome}`;
    const told = [...runsOf.values()].flat().map((one) => key(one, one.deliveryId));
    const logged = (await world.rows()).map((row) => key(row, row.delivery_id));
    if (told.sort().join() !== logged.sort().join()) found.push(`the request log has ${logged.length} attempts, ${told.length} were made`);
  }
  return found;
}

/** Every request is one attempt and the other way round. */
function requestComplaints(world: StreamsWorld, attempts: readonly Attempted[]): string[] {
  const outcomes = new Map(attempts.map(({ spanId, outcome }) => [spanId, outcome]));
  const spans = new Set(world.received.map(({ spanId }) => spanId));
  // A request that is sent once more replaces the one before it.
  const lastOfSpan = new Map(world.received.map((one) => [one.spanId, one]));
  const found = [...lastOfSpan.values()]
    .filter((one) => outcomes.has(one.spanId) !== true || (outcomes.get(one.spanId) === "delivered") !== isDelivered(one))
    .map(({ deliveryId: id, spanId, answer }) => `${id} was answered with ${answer}, its attempt was ${outcomes.get(spanId)}`);
  // An attempt over a kept connection that the receiver resets is sent once more, over a new one.
  const resets = new Set(world.received.filter(({ answer }) => answer === "resets").map(({ spanId }) => spanId));
  const repeated = world.received.filter(({ spanId }, index) => world.received.findIndex((one) => one.spanId === spanId) < index);
  const isSentTwice =
    repeated.filter(({ spanId }) => !resets.has(spanId)).length > 0 || new Set(repeated.map(({ spanId }) => spanId)).size < repeated.length;
  if (isSentTwice) found.push(`${world.received.length} requests in ${spans.size} spans`);
  return found;
}

function stoppedComplaints({ disabled, resumptions }: StreamsWorld, attempts: readonly Attempted[]): string[] {
  // One that goes on where it was suspended has yet to read what has changed.
  const mayLag = ({ startedAt }: Attempted): boolean => resumptions.some((at) => startedAt > at - CLOCK_MS && startedAt < at + LAG_MS);
  return attempts.flatMap((attempt) =>
    disabled
      .filter(() => !mayLag(attempt))
      .filter(({ uuid, from, to }) => attempt.uuid === uuid && attempt.startedAt > from + CLOCK_MS && attempt.startedAt < to - CLOCK_MS)
      .map(
        ({ uuid, from }) =>
          `${attempt.deliveryId}: attempt ${attempt.attempt} ${Math.round(attempt.startedAt - from)} ms after ${uuid} was disabled`,
      ),
  );
}

/** Deliveries with the same text start one at a time, in the order of their events. */
function lineOf({ orderBy }: OrderedSpan, uuid: string, key: number): string {
  return { app: "", installation: uuid, "/key": `${uuid} ${key}` }[orderBy];
}

/** Requests of an ordered app: one at a time in each line. What had begun before it was ordered ends as it ends. */
function overlapComplaints(
  { ordered, received, published, uuids, wentBroken }: StreamsWorld,
  startOf: ReadonlyMap<string, number>,
): string[] {
  const placeOf = new Map(published.flatMap(({ id, key }) => uuids.map((uuid) => [deliveryIdOf(id, uuid), { uuid, key }] as const)));
  return ordered.flatMap((span) => {
    const began = received.filter(({ spanId, at }) => (startOf.get(spanId) ?? at) > span.from + CLOCK_MS && at < span.to);
    const lines = Map.groupBy(began, ({ deliveryId }) => {
      const { uuid = "", key = 0 } = placeOf.get(deliveryId) ?? {};
      // Each broken installation has a probe of its own.
      return lineOf(span, uuid, key) || (wentBroken.has(uuid) ? uuid : "");
    });
    return [...lines.values()].flatMap((line) =>
      line.flatMap((one, at) => {
        const next = line[at + 1];
        return next === undefined || one.endedAt <= next.at
          ? []
          : [`two requests at once of an ordered app: ${one.deliveryId} and ${next.deliveryId}, ${one.endedAt - next.at} ms`];
      }),
    );
  });
}

/** First requests of an ordered app, of each installation: in the order of the events. */
function orderComplaints(world: StreamsWorld, startOf: ReadonlyMap<string, number>): string[] {
  const firstStarts = new Map<string, number>();
  for (const { deliveryId: id, spanId, at } of world.received) if (!firstStarts.has(id)) firstStarts.set(id, startOf.get(spanId) ?? at);
  const within = ({ from, to }: Span, time: number): boolean => time > from && time < to;
  return world.ordered.flatMap((span) =>
    world.uuids
      // The probes of a broken installation go out of turn.
      .filter((uuid) => !world.wentBroken.has(uuid))
      .flatMap((uuid) => {
        const inTurn = world.published
          .filter(({ at }) => within(span, at))
          .map(({ id, sequence, key }: Published) => ({ id: deliveryIdOf(id, uuid), sequence, line: lineOf(span, uuid, key) }))
          .filter(({ id }) => !world.askedAgain.has(id) && within(span, firstStarts.get(id) ?? 0));
        return inTurn.flatMap((older, at) =>
          inTurn.slice(at + 1).flatMap((younger) => {
            if (older.line !== younger.line) return [];
            const [start = 0, before = 0] = [firstStarts.get(older.id), firstStarts.get(younger.id)];
            const lateMs = (world.parkedAt.get(older.id) ?? 0) - (world.parkedAt.get(younger.id) ?? 0);
            if (start <= before || lateMs > ORDER_GRACE_MS) return [];
            return [`${older.id} (event ${older.sequence}) of an ordered app came after ${younger.id} (event ${younger.sequence})`];
          }),
        );
      }),
  );
}

const world = (replicas: number): fc.Arbitrary<Omit<WorldOptions, "killing" | "cutting">> =>
  fc.record(
    { replicas: fc.constant(replicas), circuit: fc.boolean(), maxInFlight: fc.constantFrom(2, 256), app: fc.record(app, PLAIN) },
    PLAIN,
  );

describe("no delivery gets lost between the streams, and none is attempted that must wait", () => {
  test.concurrent.each([
    { replicas: 1, killing: false },
    { replicas: 2, killing: false },
    { replicas: 2, killing: true },
  ])(
    "$replicas replicas, killed: $killing",
    async ({ replicas, killing }) => {
      await fc.assert(
        fc.asyncProperty(world(replicas), fc.array(step(killing), { minLength: 8, maxLength: 24, size: "max" }), async (options, steps) => {
          const own = steps.some((one) => one.do === "kill NATS") ? await startNatsServer() : null;
          const streams = await startStreamsWorld(
            { nats: own ?? nats, redis },
            { ...options, killing, cutting: steps.some((one) => one.do === "cut off") },
          );
          try {
            for (const one of steps) await take(streams, replicas, one);
            await streams.heal();
            expect(await complaints(streams, replicas)).toEqual([]);
          } finally {
            await streams.stop();
            await own?.stop();
          }
        }),
        {
          numRuns: Number(runs ?? USUAL_RUNS),
          endOnFailure: seed === undefined,
          ...(runs !== undefined && seed === undefined ? {} : { seed: Number(seed ?? USUAL_SEED) }),
          ...(path === undefined ? {} : { path }),
        },
      );
    },
    TIMEOUT_MS,
  );
});
