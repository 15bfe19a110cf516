/** Deliveries of a period are sent again: dead letters, what was missed, or all. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { deliveryIdOf } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { allHandled, type Bus, connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { type Behaviour, type ReceivedRequest, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;
let posthorn: Posthorn;
let bus: Bus;
let receiver: Receiver;
const asThePathSays: Behaviour = ({ path }, response) => void response.writeHead(Number(path.split("/")[2])).end();

beforeAll(async () => {
  [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver(asThePathSays)]);
  posthorn = await startPosthornHere({ nats, redis, settings: { POSTHORN_BROKEN_RULES: "none" } });
  bus = await connectBus(nats, posthorn.prefix);
});
afterAll(async () => {
  await bus.close();
  expect(await posthorn.end()).toBe(0);
  await Promise.all([nats.stop(), redis.stop(), receiver.stop()]);
});

const uniqueName = (): string => `x${randomUUID().slice(0, 8)}`;

/** @returns the replay when it has ended */
async function replay(body: object): Promise<Record<string, any>> {
  const created = await posthorn.api("POST", "/v1/replays", body);
  expect(created.body).toMatchObject({ id: expect.stringMatching(/^rpl_[0-9a-f]{32}$/) });
  expect(created.status).toBe(201);
  return ended(created.body.id as string);
}

function ended(id: string): Promise<Record<string, any>> {
  return eventually(async () => {
    const { body } = await posthorn.api("GET", `/v1/replays/${id}`);
    return !["running", "paused"].includes(body.state as string) && (body as Record<string, any>);
  });
}

/** An app of its own type of events, whose receiver answers as its path says. */
async function makeApp(status = 200, app: object = {}, on: Receiver = receiver) {
  const resource = uniqueName();
  const organization = uniqueName();
  const path = `/${resource}/${status}`;
  const { slug, uuid } = await posthorn.install({
    ...{ webhook_url: on.url + path, events: [resource], organization_id: organization, retry_schedule_s: [] },
    ...app,
  });
  const requests = (): ReceivedRequest[] => on.requests.filter((request) => request.path.startsWith(`/${resource}/`));
  const publish = async (count: number): Promise<string[]> => {
    const ids = Array.from({ length: count }, () => randomUUID());
    for (const id of ids) await bus.publish(`${resource}.created`, { id, organization_id: organization, data: { id } });
    return ids;
  };
  const delivered = async (ids: readonly string[]) => {
    const wanted = new Set(ids.map((id) => deliveryIdOf(id, uuid, `${resource}.created`)));
    return eventually(() => {
      const found = requests().filter(({ headers }) => wanted.has(String(headers["webhook-id"])));
      return found.length >= ids.length && found;
    });
  };
  const change = (changes: object) => posthorn.api("PATCH", `/v1/apps/${slug}`, changes);
  const deadLetters = async (count: number) =>
    eventually(async () => {
      const { items } = (await posthorn.api("GET", `/v1/dead-letters?app=${slug}`)).body;
      return items.length === count && (items as Array<Record<string, any>>);
    });
  return {
    slug,
    uuid,
    resource,
    organization,
    requests,
    publish,
    delivered,
    change,
    deadLetters,
    url: (to: number) => `${on.url}/${resource}/${to}`,
  };
}

test.concurrent("a replay is paused, resumed and cancelled", async () => {
  const app = await makeApp(200);
  const ids = await app.publish(40);
  await app.delivered(ids);
  const { body: created } = await posthorn.api("POST", "/v1/replays", { app: app.slug, what: "all", rate_per_s: 10 });
  const change = (verb: string) => posthorn.api("POST", `/v1/replays/${created.id}/${verb}`);
  await eventually(() => app.requests().length >= 43);
  expect(await change("pause")).toMatchObject({ status: 200, body: { state: "paused" } });
  // Deliveries that have begun end, and the progress is saved.
  const paused = await eventually(async () => {
    const first = (await posthorn.api("GET", `/v1/replays/${created.id}`)).body;
    await new Promise((resolve) => setTimeout(resolve, 300));
    const second = (await posthorn.api("GET", `/v1/replays/${created.id}`)).body;
    return first.sent === second.sent && first.done === first.sent && first.sent > 0 && second;
  });
  expect(paused.sent).toBeLessThan(40);
  expect(app.requests()).toHaveLength(40 + paused.sent);
  expect(await change("pause")).toMatchObject({ status: 200 });
  expect(await change("resume")).toMatchObject({ status: 200, body: { state: "running" } });
  expect(await ended(created.id)).toMatchObject({ state: "done", found: 40, sent: 40, done: 40 });
  expect(app.requests()).toHaveLength(80);
  for (const verb of ["pause", "resume", "cancel"]) expect(await change(verb)).toMatchObject({ status: 409 });

  const { body: second } = await posthorn.api("POST", "/v1/replays", { app: app.slug, what: "all", rate_per_s: 5 });
  await eventually(() => app.requests().length > 80);
  expect((await posthorn.api("POST", `/v1/replays/${second.id}/cancel`)).body).toMatchObject({
    state: "cancelled",
    ended_at: expect.any(String),
  });
  const cancelled = await ended(second.id);
  expect(cancelled["sent"]).toBeLessThan(40);
  const list = (await posthorn.api("GET", `/v1/replays?app=${app.slug}`)).body;
  expect(list.items.map(({ id }: { id: string }) => id)).toEqual([second.id, created.id]);
  expect((await posthorn.api("GET", `/v1/replays?app=${app.slug}&state=cancelled`)).body.items).toHaveLength(1);
  const page = (await posthorn.api("GET", `/v1/replays?app=${app.slug}&limit=1`)).body;
  expect((await posthorn.api("GET", `/v1/replays?app=${app.slug}&limit=1&cursor=${page.next}`)).body).toMatchObject({
    items: [{ id: created.id }],
    next: null,
  });
});

test.concurrent("a receiver that asks for a pause, and a rate limit, make it wait", async ({ onTestFinished }) => {
  const own = await startReceiver(asThePathSays);
  onTestFinished(own.stop);
  const app = await makeApp(200, { rate_limit: { per_s: 20, burst: 1 } }, own);
  await app.delivered(await app.publish(6));
  own.behave((_request, response) => {
    own.behave(asThePathSays);
    response.writeHead(429, { "retry-after": "1" }).end();
  });
  expect(await replay({ app: app.slug, what: "all", rate_per_s: 1000 })).toMatchObject({ state: "done", sent: 6, done: 6, failed: 0 });
  expect(app.requests()).toHaveLength(6 + 1 + 6);
});

test.concurrent("what is retried is counted when it is delivered", async () => {
  const app = await makeApp(400, { retry_schedule_s: [1, 1, 1] });
  const ids = await app.publish(2);
  await app.deadLetters(2);
  await app.change({ webhook_url: app.url(503) });
  const { body } = await posthorn.api("POST", "/v1/replays", { app: app.slug, what: "failed" });
  await eventually(() => app.requests().length >= 4);
  await app.change({ webhook_url: app.url(200) });
  expect(await ended(body.id as string)).toMatchObject({ state: "done", sent: 2, done: 2, failed: 0 });
  const attempts = app.requests().slice(2);
  expect(new Set(attempts.map(({ headers }) => headers["webhook-replay"]))).toEqual(new Set([body.id]));
  expect(new Set(attempts.map(({ headers }) => headers["webhook-id"])).size).toBe(ids.length);
  await app.deadLetters(0);
});

test.concurrent("an app that is installed today is given what was published before", async () => {
  const other = await makeApp();
  const before = await other.publish(5);
  await other.delivered(before);
  const slug = uniqueName();
  await posthorn.api("PUT", `/v1/apps/${slug}`, { webhook_url: `${receiver.url}/${slug}/200`, events: [other.resource] });
  const uuid = randomUUID();
  await posthorn.api("PUT", `/v1/installations/${uuid}`, { app: slug, organization_id: other.organization });

  const request = { installation_uuid: uuid, what: "missed" };
  const dryRun = await posthorn.api("POST", "/v1/replays", { ...request, dry_run: true });
  expect(dryRun.body).toMatchObject({ state: "done", found: 5, found_by_kind: { missed: 5, failed: 0, delivered: 0 }, sent: 0 });
  expect(receiver.requests.filter(({ path }) => path.startsWith(`/${slug}/`))).toEqual([]);

  const done = await replay(request);
  expect(done).toMatchObject({ app: slug, state: "done", found: 5, sent: 5, done: 5, skipped: 0, failed: 0, percent: 100 });
  const received = receiver.requests.filter(({ path }) => path.startsWith(`/${slug}/`));
  expect(received.map(({ headers }) => headers["webhook-id"]).sort()).toEqual(
    before.map((id) => deliveryIdOf(id, uuid, `${other.resource}.created`)).sort(),
  );
  expect(new Set(received.map(({ headers }) => headers["webhook-replay"]))).toEqual(new Set([done["id"]]));
  // It is delivered now: nothing is missed any more.
  expect(await replay(request)).toMatchObject({ found: 0, sent: 0 });
  expect((await posthorn.api("GET", `/v1/apps/${slug}/stats`)).body.totals?.delivered ?? 0).toBe(0);
});

test.concurrent("failed, missed and all differ", async () => {
  const app = await makeApp(200);
  const delivered = await app.publish(4);
  await app.delivered(delivered);
  await app.change({ webhook_url: app.url(400) });
  const refused = await app.publish(3);
  await app.deadLetters(3);
  await app.change({ webhook_url: app.url(200), events: [] });
  await app.publish(2);
  // An event is matched when it is handled, which may be after the next change.
  await allHandled(bus);
  await app.change({ events: [app.resource] });

  const dryRun = async (what: string) => (await posthorn.api("POST", "/v1/replays", { app: app.slug, what, dry_run: true })).body;
  expect(await dryRun("failed")).toMatchObject({ found: 3, found_by_kind: { failed: 3, missed: 0, delivered: 0 } });
  expect(await dryRun("missed")).toMatchObject({ found: 5, found_by_kind: { failed: 3, missed: 2, delivered: 0 } });
  expect(await dryRun("all")).toMatchObject({ found: 9, found_by_kind: { failed: 3, missed: 2, delivered: 4 } });

  expect(await replay({ app: app.slug, what: "failed" })).toMatchObject({ state: "done", found: 3, sent: 3, done: 3, failed: 0 });
  await app.deadLetters(0);
  expect(await app.delivered(refused)).toHaveLength(6);
  expect(await dryRun("missed")).toMatchObject({ found: 2 });
  expect(await replay({ app: app.slug, what: "all" })).toMatchObject({ state: "done", found: 9, sent: 9, done: 9 });
  expect(app.requests()).toHaveLength(4 + 3 + 3 + 9);
});

test.concurrent("what fails again becomes a dead letter and is counted", async () => {
  const app = await makeApp(400);
  await app.publish(3);
  await app.deadLetters(3);
  expect(await replay({ app: app.slug, what: "failed" })).toMatchObject({ state: "done", found: 3, sent: 3, done: 0, failed: 3 });
  await app.deadLetters(3);
});

test.concurrent("a time, types and an installation narrow it", async () => {
  const app = await makeApp(200);
  const event = { organization_id: app.organization, data: {} };
  const sequences: number[] = [];
  for (const action of ["created", "created", "updated"]) sequences.push(await bus.publish(`${app.resource}.${action}`, event));
  await eventually(() => app.requests().length === 3);
  const storedAt = async (sequence: number): Promise<string> =>
    (await (await bus.connection.jetstreamManager()).streams.getMessage(eventsStream(), { seq: sequence })).time.toISOString();
  const [first, second, third] = await Promise.all(sequences.map(storedAt));
  const found = async (body: object) =>
    (await posthorn.api("POST", "/v1/replays", { app: app.slug, what: "all", dry_run: true, ...body })).body.found as number;
  expect(await found({})).toBe(3);
  expect(await found({ from: second, to: third })).toBe([second, third].filter((at) => at !== third).length + (first === second ? 1 : 0));
  expect(await found({ to: first })).toBe(0);
  expect(await found({ from: third })).toBe([first, second, third].filter((at) => at === third).length);
  expect(await found({ from: first, to: first })).toBe(0);
  expect(await found({ event_types: [`${app.resource}.updated`] })).toBe(1);
  expect(await found({ event_types: [`${app.resource}.*`, "other"] })).toBe(3);
  expect(await found({ event_types: ["other"] })).toBe(0);
  expect(await found({ installation_uuid: app.uuid })).toBe(3);
});

const eventsStream = (): string => `${posthorn.prefix}_EVENTS`.toUpperCase().replaceAll("-", "_");

test.concurrent("what can't be meant is refused", async () => {
  const app = await makeApp();
  const refused = async (body: object) => {
    const { status, body: problem } = await posthorn.api("POST", "/v1/replays", { app: app.slug, what: "all", ...body });
    return [status, problem.errors?.[0]?.path ?? problem.code];
  };
  expect(await refused({ from: "2026-01-02T00:00:00Z", to: "2026-01-01T00:00:00Z" })).toEqual([400, "from"]);
  expect(await refused({ from: "yesterday" })).toEqual([400, "from"]);
  expect((await posthorn.api("POST", "/v1/replays", { app: app.slug, what: "all", surprise: 1 })).body).toMatchObject({
    status: 400,
    detail: expect.stringContaining("surprise"),
  });
  expect(await refused({ what: "some" })).toEqual([400, "what"]);
  expect(await refused({ rate_per_s: 0 })).toEqual([400, "rate_per_s"]);
  expect(await refused({ event_types: ["Issue Created"] })).toEqual([400, "event_types.0"]);
  expect(await refused({ app: undefined })).toEqual([400, "app"]);
  expect(await refused({ app: "nobody" })).toEqual([404, "NOT_FOUND"]);
  expect(await refused({ installation_uuid: randomUUID() })).toEqual([404, "NOT_FOUND"]);
  const other = await makeApp();
  expect(await refused({ installation_uuid: other.uuid })).toEqual([404, "NOT_FOUND"]);
  expect((await posthorn.api("GET", `/v1/replays/rpl_${"0".repeat(32)}`)).status).toBe(404);
  expect((await posthorn.api("GET", "/v1/replays?after=1")).status).toBe(400);
});

test.concurrent("what waits for its retry, or is parked, is on its way: it is found and skipped", async () => {
  const app = await makeApp(503, { retry_schedule_s: [3600] });
  await app.publish(2);
  await eventually(() => app.requests().length === 2);
  await posthorn.api("POST", `/v1/installations/${app.uuid}/disable`);
  await app.publish(3);
  const parked = async () => (await posthorn.api("GET", `/v1/installations/${app.uuid}/health`)).body.parked.deliveries as number;
  await eventually(async () => (await parked()) === 3);
  expect(await replay({ app: app.slug, what: "missed" })).toMatchObject({ state: "done", found: 5, sent: 0, skipped: 5 });
  await app.change({ webhook_url: app.url(200) });
  await posthorn.api("POST", `/v1/installations/${app.uuid}/enable`);
  await eventually(() => app.requests().length === 5);
});

test.concurrent("an ordered app gets them one at a time, in the order of the events", async () => {
  const app = await makeApp(200, { order_by: "app" });
  const ids = await app.publish(30);
  await app.delivered(ids);
  expect(await replay({ app: app.slug, what: "all", rate_per_s: 500 })).toMatchObject({ state: "done", sent: 30, done: 30 });
  const again = app.requests().filter(({ headers }) => headers["webhook-replay"] !== undefined);
  expect(again.map(({ headers }) => headers["webhook-id"])).toEqual(ids.map((id) => deliveryIdOf(id, app.uuid, `${app.resource}.created`)));
});

test.concurrent("an app with one attempt at a time gets them through its queue", async () => {
  const app = await makeApp(200, { max_in_flight: 1 });
  const ids = await app.publish(10);
  await app.delivered(ids);
  expect(await replay({ app: app.slug, what: "all", rate_per_s: 500 })).toMatchObject({ state: "done", sent: 10, done: 10 });
});

test.concurrent("two events with the same key are one delivery", async () => {
  const app = await makeApp(200, { events: [] });
  for (const n of [1, 2]) {
    const subject = `${posthorn.prefix}.events.${app.resource}.created`;
    await bus.jetStream.publish(subject, JSON.stringify({ id: "twice", organization_id: app.organization, data: { n } }));
  }
  await allHandled(bus);
  await app.change({ events: [app.resource] });
  expect(await replay({ app: app.slug, what: "missed" })).toMatchObject({ state: "done", found: 1, sent: 1, done: 1 });
  expect(app.requests()).toHaveLength(1);
});

test.concurrent("a deleted app ends its replays", async () => {
  const app = await makeApp(200);
  await app.delivered(await app.publish(20));
  const { body } = await posthorn.api("POST", "/v1/replays", { app: app.slug, what: "all", rate_per_s: 2 });
  await eventually(() => app.requests().length > 20);
  await posthorn.api("DELETE", `/v1/apps/${app.slug}`);
  expect(await ended(body.id as string)).toMatchObject({ state: "failed", error: expect.stringContaining("deleted") });
});
