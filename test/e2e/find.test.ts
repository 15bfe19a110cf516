/** Finding what happened without knowing an id, and with one: lists, filters, payloads, one search. */
import { randomUUID } from "node:crypto";
import { headers } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { deliveryIdOf } from "../support/builders.ts";
import { runCli } from "../support/cli.ts";
import { eventually } from "../support/eventually.ts";
import { type Bus, connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;
let posthorn: Posthorn;
let bus: Bus;
let good: Receiver;
let bad: Receiver;

beforeAll(async () => {
  [nats, redis, good, bad] = await Promise.all([
    startNatsServer(),
    startRedisServer({ arguments: ["--appendfsync", "always"] }),
    startReceiver((_request, response) => void response.writeHead(200, { "x-receiver": "fine" }).end("thanks")),
    startReceiver(answer(503, "out of order")),
  ]);
  posthorn = await startPosthornHere({
    ...{ nats, redis },
    settings: { POSTHORN_LOG_DELIVERED_BODIES: "true", POSTHORN_CIRCUIT_MIN_ATTEMPTS: "1000" },
  });
  bus = await connectBus(nats, posthorn.prefix);
});
afterAll(async () => {
  await bus.close();
  await posthorn.end();
  await Promise.all([nats.stop(), redis.stop(), good.stop(), bad.stop()]);
});

const get = async (path: string) => {
  const { status, body } = await posthorn.api("GET", path);
  if (status !== 200) throw new Error(`${status}: ${JSON.stringify(body)}`);
  return body;
};
/** An app installed in an organization of its own. */
const installed = async (app: { webhook_url: string; [member: string]: unknown }) => {
  const organization = randomUUID();
  return { organization, ...(await posthorn.install({ organization_id: organization, ...app })) };
};
const publish = (organization: string, id: string, more: object = {}, type = "issue.created") =>
  bus.publish(type, { id, organization_id: organization, data: {}, ...more });

describe("the request log", () => {
  test("is filtered by event, delivery, installation, outcome, code and time", async () => {
    const { slug, uuid, organization } = await installed({ webhook_url: bad.url, retry_schedule_s: [] });
    await publish(organization, "log-1");
    await eventually(async () => (await get(`/v1/apps/${slug}/webhook-requests`)).items.length === 1);
    await posthorn.api("PATCH", `/v1/apps/${slug}`, { webhook_url: good.url });
    await publish(organization, "log-2");
    const { items } = await eventually(async () => {
      const page = await get(`/v1/apps/${slug}/webhook-requests`);
      return page.items.length === 2 && page;
    });
    const found = async (query: string): Promise<string[]> =>
      (await get(`/v1/apps/${slug}/webhook-requests?${query}`)).items.map((row: { event_id: string }) => row.event_id);
    expect(await found("event_id=log-1")).toEqual(["log-1"]);
    expect(await found(`delivery_id=${deliveryIdOf("log-2", uuid)}`)).toEqual(["log-2"]);
    expect(await found(`installation_uuid=${uuid}`)).toEqual(["log-2", "log-1"]);
    expect(await found(`installation_uuid=${randomUUID()}`)).toEqual([]);
    expect(await found("outcome=failed&response_code=503")).toEqual(["log-1"]);
    expect(await found("outcome=delivered")).toEqual(["log-2"]);
    expect(await found(`start=${items[0].date}`)).toEqual(["log-2"]);
    expect(await found(`end=${items[0].date}`)).toEqual(["log-1"]);
    for (const [query, path] of [
      [`start=${items[0].date}&end=${items[1].date}`, "start"],
      ["outcome=lost", "outcome"],
      ["response_code=5xx", "response_code"],
      ["delivery_id=dlv_1", "delivery_id"],
      ["events_id=log-1", "events_id"],
    ]) {
      const { status, body } = await posthorn.api("GET", `/v1/apps/${slug}/webhook-requests?${query}`);
      expect([status, body.errors?.[0].path]).toEqual([400, path]);
    }
  });

  test("has request and response of delivered attempts when POSTHORN_LOG_DELIVERED_BODIES says so", async () => {
    const { slug, organization } = await installed({ webhook_url: good.url, headers: { "X-Key": "secret-of-theirs" } });
    await publish(organization, "whole", { data: { number: 1 } });
    const row = await eventually(async () => (await get(`/v1/apps/${slug}/webhook-requests`)).items[0]);
    expect(row).toMatchObject({ outcome: "delivered", response_body: "thanks", error: null });
    expect(row.request_headers).toMatchObject({ "X-Key": "[redacted]", "webhook-id": row.delivery_id });
    expect(JSON.parse(row.request_body).data).toEqual({ number: 1 });
  });

  test("has both bodies and headers of a test call, as its answer has", async () => {
    const { slug, clientSecret } = await installed({ webhook_url: good.url });
    const { body } = await posthorn.api("POST", `/v1/apps/${slug}/test`, { data: { secret: clientSecret } });
    expect(body).toMatchObject({ outcome: "delivered", response_body: "thanks", response_headers: { "x-receiver": "fine" } });
    expect(body.request_headers).toMatchObject({ "webhook-id": body.delivery_id });
    expect(JSON.parse(body.request_body).data).toEqual({ secret: "[redacted]" });
    const row = await eventually(async () => (await get(`/v1/apps/${slug}/webhook-requests`)).items[0]);
    const { request_headers, request_body, response_headers, response_body } = body;
    expect(row).toMatchObject({ request_headers, request_body, response_headers, response_body });
  });
});

describe("dead letters", () => {
  test("are deleted by filter, and all of them only when that is said", async () => {
    const [first, second] = [
      await installed({ webhook_url: bad.url, retry_schedule_s: [] }),
      await installed({ webhook_url: bad.url, retry_schedule_s: [] }),
    ];
    for (let at = 0; at < 3; at++) await publish(first.organization, `gone-${at}`);
    await publish(first.organization, "gone-3", {}, "comment.created");
    await publish(second.organization, "kept");
    const count = async (slug: string): Promise<number> => (await get(`/v1/dead-letters?app=${slug}`)).items.length;
    await eventually(async () => (await count(first.slug)) === 4 && (await count(second.slug)) === 1);

    expect((await posthorn.api("DELETE", "/v1/dead-letters")).body.errors).toMatchObject([{ path: "all" }]);
    expect((await posthorn.api("DELETE", "/v1/dead-letters?app=nobody")).status).toBe(404);
    expect((await posthorn.api("DELETE", "/v1/dead-letters?start=2026-01-02&end=2026-01-01")).status).toBe(400);
    const dry = await posthorn.api("DELETE", `/v1/dead-letters?app=${first.slug}&event_type=issue.created&dry_run=true`);
    expect(dry.body).toEqual({ deleted: 3, complete: true, dry_run: true });
    const done = await posthorn.api("DELETE", `/v1/dead-letters?app=${first.slug}&event_type=issue.created`);
    expect(done.body).toEqual({ deleted: 3, complete: true, dry_run: false });
    expect([await count(first.slug), await count(second.slug)]).toEqual([1, 1]);
    const cli = (line: string) => runCli(line.split(" "), { environment: { POSTHORN_URL: posthorn.url } });
    expect(await cli("dead-letters delete --yes")).toMatchObject({ code: 64, err: expect.stringContaining("wanted a number, a filter") });
    const unconfirmed = await cli(`dead-letters delete --app ${first.slug}`);
    expect([unconfirmed.code, unconfirmed.err]).toEqual([64, expect.stringContaining("removes 1 dead letter; confirm with --yes")]);
    expect(await cli(`dead-letters delete --app ${first.slug} --yes`)).toMatchObject({ code: 0, out: "Removed 1 dead letter.\n" });
    expect([await count(first.slug), await count(second.slug)]).toEqual([0, 1]);
    expect((await posthorn.api("DELETE", "/v1/dead-letters?all=true")).body.deleted).toBeGreaterThanOrEqual(1);
    expect(await count(second.slug)).toBe(0);
  });
});

describe("an event that is explained", () => {
  const explain = (id: string, query = "") => get(`/v1/events/${encodeURIComponent(id)}${query}`);

  test("has its data as it was published, and so has the event of a delivery", async () => {
    const { uuid, organization } = await installed({ webhook_url: good.url });
    const data = '{"b":1.0,"a":12345678901234567890}';
    await bus.publish("issue.created", `{"id":"with-data","organization_id":"${organization}","data":${data},"actor":{"id":"7"}}`);
    const text = await (await fetch(`${posthorn.url}/v1/events/with-data`)).text();
    expect(text).toContain(`"data":${data},"actor":{"id":"7"}`);
    await eventually(async () => (await get(`/v1/deliveries/${deliveryIdOf("with-data", uuid)}`)).delivery.state === "delivered");
    expect((await get(`/v1/deliveries/${deliveryIdOf("with-data", uuid)}`)).event).toMatchObject({ data: { b: 1 }, actor: { id: "7" } });
  });

  test("says why one app did not get it: not installed in the organization, or no such app", async () => {
    const { slug, organization } = await installed({ webhook_url: good.url, events: ["comment"] });
    const elsewhere = await installed({ webhook_url: good.url });
    await publish(organization, "why");
    expect((await explain("why", `?app=${slug}`)).not_wanted).toMatchObject([{ app: slug, because: "not_subscribed" }]);
    expect((await explain("why", `?app=${elsewhere.slug}`)).not_wanted).toEqual([
      {
        ...{ app: elsewhere.slug, installation_uuid: null, because: "not_installed" },
        detail: `app ${elsewhere.slug} is not installed in organization ${organization}; it is installed once elsewhere`,
      },
    ]);
    expect((await explain("why", "?app=unheard-of")).not_wanted).toMatchObject([{ because: "no_app", detail: "no app unheard-of" }]);
  });

  test("is not hidden by a delivered event of another type with the same id", async () => {
    const { organization } = await installed({ webhook_url: good.url, events: ["issue"] });
    await publish(organization, "twin");
    await eventually(async () => (await explain("twin")).deliveries[0]?.state === "delivered");
    await publish(organization, "twin", {}, "comment.created");
    const both = await eventually(async () => {
      const found = await explain("twin");
      return found.others.length === 1 && found;
    });
    expect([both.event.type, both.others[0].event.type]).toEqual(["comment.created", "issue.created"]);
  });

  test("says that it was published more than once", async () => {
    const { organization } = await installed({ webhook_url: good.url });
    await publish(organization, "twice-published");
    await eventually(async () => (await explain("twice-published")).deliveries[0]?.state === "delivered");
    expect((await explain("twice-published")).notes).toEqual([]);
    const again = await publish(randomUUID(), "twice-published");
    const { notes, others } = await explain("twice-published");
    expect([others, notes]).toEqual([[], [`The same event was published more than once: also as message ${again} of the events stream.`]]);
  });

  test("has a timeline of each delivery up to what is due next", async () => {
    const { uuid, organization } = await installed({ webhook_url: bad.url, retry_schedule_s: [600] });
    await publish(organization, "long-way");
    const { delivery } = await eventually(async () => {
      const found = await get(`/v1/deliveries/${deliveryIdOf("long-way", uuid)}`);
      return found.delivery.state === "retrying" && found;
    });
    expect(delivery.timeline.map(({ kind }: { kind: string }) => kind)).toEqual(["event", "attempt", "waiting", "due"]);
    expect(delivery.timeline.at(-1).at).toBe(delivery.next_attempt_at);
  });
});

describe("the list of events", () => {
  const list = async (query: string) => get(`/v1/events?${query}`);
  const idsOf = (page: { items: Array<{ id: string }> }): string[] => page.items.map(({ id }) => id);

  test("has the events of an organization, a type and a time, newest first, with their data", async () => {
    const organization = randomUUID();
    const other = randomUUID();
    await publish(organization, "list-1", { data: { number: 1 } });
    await publish(other, "list-other");
    await publish(organization, "list-2", {}, "comment.created");
    await publish(organization, "list-3");
    // The same id is in the list for each of its events.
    await publish(organization, "list-1", {}, "comment.created");
    const all = await list(`organization_id=${organization}`);
    expect(idsOf(all)).toEqual(["list-1", "list-3", "list-2", "list-1"]);
    expect(all.items.at(-1)).toMatchObject({
      id: "list-1",
      type: "issue.created",
      organization_id: organization,
      data: { number: 1 },
      problem: null,
    });
    expect([all.next, Date.parse(all.reaches_back_to) <= Date.parse(all.items.at(-1).stored_at)]).toEqual([null, true]);
    expect(idsOf(await list(`organization_id=${organization}&type=comment.created`))).toEqual(["list-1", "list-2"]);
    const { stored_at: third } = all.items[1];
    expect(idsOf(await list(`organization_id=${organization}&start=${third}`))).toContain("list-3");
    expect(idsOf(await list(`organization_id=${organization}&end=${third}`))).not.toContain("list-3");
    expect(idsOf(await list(`organization_id=${organization}&end=${third}`))).toContain("list-1");
  });

  test("is paged by a cursor, and newer events change no page", async () => {
    const organization = randomUUID();
    for (let at = 0; at < 5; at++) await publish(organization, `page-${at}`);
    const found: string[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const page = await list(`organization_id=${organization}&limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`);
      found.push(...idsOf(page));
      expect(page.items.length).toBeLessThanOrEqual(2);
      cursor = page.next;
      await publish(organization, `newer-${cursor}`);
    }
    expect(found).toEqual(["page-4", "page-3", "page-2", "page-1", "page-0"]);
  });

  test("shows an event that can't be read, and what is wrong with it", async () => {
    await bus.publish("issue.created", "no JSON");
    const [newest] = (await list("limit=1")).items;
    expect(newest).toMatchObject({
      id: `${newest.stream}:${newest.sequence}`,
      data: null,
      organization_id: null,
      problem: expect.any(String),
    });
  });

  test.each([
    ["start=2026-01-02&end=2026-01-01", "start"],
    ["limit=1001", "limit"],
    ["cursor=x", "cursor"],
    ["organization=42", "organization"],
    ["type=created", "type"],
  ])("refuses %s", async (query, path) => {
    const { status, body } = await posthorn.api("GET", `/v1/events?${query}`);
    expect([status, body.errors?.[0].path]).toEqual([400, path]);
  });
});

describe("the list of event types", () => {
  test("has what was published and is still stored, the most frequent first, and what could not be an event is left out", async () => {
    for (let n = 0; n < 40; n++) await publish("types", `frequent-${n}`, {}, "typed.often");
    await publish("types", "rare", {}, "typed.rarely");
    await bus.connection.jetstream().publish(`${posthorn.prefix}.events.Typed.never`, "{}");
    const { items, total, reaches_back_to } = await get("/v1/event-types");
    const typed = items.filter(({ type }: { type: string }) => type.toLowerCase().startsWith("typed."));
    expect(typed).toEqual([
      { type: "typed.often", events: 40 },
      { type: "typed.rarely", events: 1 },
    ]);
    expect(items.map(({ events }: { events: number }) => events)).toEqual(
      items.map(({ events }: { events: number }) => events).sort((a: number, b: number) => b - a),
    );
    expect(total).toBe(items.length);
    expect(Date.parse(reaches_back_to)).toBeLessThan(Date.now());
  });
});

describe("the list of deliveries", () => {
  const list = async (query: string) => get(`/v1/deliveries?${query}`);
  type Item = { event_id: string; state: string; at: string; [member: string]: any };
  const eventsOf = (page: { items: Item[] }): string[] => page.items.map(({ event_id: id }) => id);
  const statesOf = (page: { items: Item[] }): Record<string, string> =>
    Object.fromEntries(page.items.map(({ event_id: id, state }) => [id, state]));

  /** One delivery of each state that can be made at once. */
  const oneOfEach = async () => {
    const organization = randomUUID();
    const install = (members: object) =>
      posthorn.install({ organization_id: organization, webhook_url: good.url, events: ["issue"], ...members });
    const [delivered, retrying, givenUp, parked] = [
      await install({}),
      await install({ webhook_url: bad.url, retry_schedule_s: [600] }),
      await install({ webhook_url: bad.url, retry_schedule_s: [] }),
      await install({}),
    ];
    await posthorn.api("POST", `/v1/installations/${parked.uuid}/disable`);
    await eventually(async () => (await get(`/v1/installations/${parked.uuid}`)).status === "disabled");
    const id = randomUUID();
    await publish(organization, id);
    const states = async () => (await list(`event_id=${id}`)).items.map(({ state }: Item) => state).sort();
    await expect.poll(states).toEqual(["dead_letter", "delivered", "parked", "retrying"]);
    return { id, delivered, retrying, givenUp, parked };
  };

  test("has those that wait and those that are done, each once, with the reason and the next due time", async () => {
    const { id, delivered, retrying, givenUp, parked } = await oneOfEach();
    const { items } = await list(`event_id=${id}`);
    const byUuid = Object.fromEntries(items.map((item: Item) => [item["installation_uuid"], item]));
    expect(byUuid[delivered.uuid]).toMatchObject({ state: "delivered", last_attempt: { outcome: "delivered", response_code: 200 } });
    expect(byUuid[retrying.uuid]).toMatchObject({
      ...{ app: retrying.slug, state: "retrying", detail: expect.stringContaining("attempt 2 is due at"), event_type: "issue.created" },
      ...{ last_attempt: { attempt: 1, outcome: "failed", response_code: 503 } },
    });
    expect(Date.parse(byUuid[retrying.uuid].next_attempt_at)).toBeGreaterThan(Date.now() + 400_000);
    expect(byUuid[parked.uuid]).toMatchObject({
      state: "parked",
      parked: { because: "disabled" },
      next_attempt_at: null,
      last_attempt: null,
    });
    expect(byUuid[givenUp.uuid]).toMatchObject({ state: "dead_letter", dead_letter: { reason: "exhausted" } });
    expect(items.map(({ at }: Item) => at)).toEqual(
      items
        .map(({ at }: Item) => at)
        .toSorted()
        .reverse(),
    );

    // By app the streams are read, and not what Redis noted.
    for (const [{ slug, uuid }, state] of [
      ...([
        [delivered, "delivered"],
        [retrying, "retrying"],
        [givenUp, "dead_letter"],
        [parked, "parked"],
      ] as const),
    ]) {
      expect(statesOf(await list(`app=${slug}`))).toEqual({ [id]: state });
      expect(statesOf(await list(`installation_uuid=${uuid}&state=${state}`))).toEqual({ [id]: state });
      expect(eventsOf(await list(`app=${slug}&state=throttled`))).toEqual([]);
    }
    expect(eventsOf(await list(`app=${retrying.slug}&outcome=failed&response_code=503`))).toEqual([id]);
    expect(eventsOf(await list(`app=${retrying.slug}&outcome=rejected`))).toEqual([]);
    expect(eventsOf(await list(`app=${delivered.slug}&response_code=200`))).toEqual([id]);
    const { at } = byUuid[retrying.uuid];
    expect(eventsOf(await list(`app=${retrying.slug}&end=${at}`))).toEqual([]);
    expect(eventsOf(await list(`app=${retrying.slug}&start=${at}`))).toEqual([id]);
    // All apps: this one's deliveries are the newest.
    const newest = await list("limit=4");
    expect(new Set(eventsOf(newest))).toEqual(new Set([id]));
    expect(newest.next).not.toBeNull();
    expect(eventsOf(await list("state=parked,retrying&limit=2"))).toEqual([id, id]);
  });

  test("pages through what waits and what is done without losing or repeating any", async () => {
    const { slug, uuid, organization } = await installed({ webhook_url: good.url });
    for (let at = 0; at < 4; at++) await publish(organization, `done-${at}`);
    await eventually(async () => (await list(`app=${slug}&state=delivered`)).items.length === 4);
    await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
    await eventually(async () => (await get(`/v1/installations/${uuid}`)).status === "disabled");
    for (let at = 0; at < 5; at++) await publish(organization, `waits-${at}`);
    await eventually(async () => (await list(`app=${slug}&state=parked`)).items.length === 5);
    const found: Item[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const page = await list(`app=${slug}&limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`);
      found.push(...page.items);
      cursor = page.next;
    }
    const waits = Array.from({ length: 5 }, (_, at) => `waits-${at}`);
    const done = Array.from({ length: 4 }, (_, at) => `done-${at}`);
    // Those of one millisecond are ordered by their ids.
    expect(
      found
        .slice(0, 5)
        .map(({ event_id: id }) => id)
        .toSorted(),
    ).toEqual(waits);
    expect(
      found
        .slice(5)
        .map(({ event_id: id }) => id)
        .toSorted(),
    ).toEqual(done);
    expect(found.map(({ at }) => at)).toEqual(
      found
        .map(({ at }) => at)
        .toSorted()
        .reverse(),
    );
  });

  test("says that a delivery that was resent is delivered, at its newest attempt and once", async () => {
    const { slug, uuid, organization } = await installed({ webhook_url: bad.url, retry_schedule_s: [] });
    await publish(organization, "again");
    await eventually(async () => (await list(`app=${slug}&state=dead_letter`)).items.length === 1);
    await posthorn.api("PATCH", `/v1/apps/${slug}`, { webhook_url: good.url });
    expect((await posthorn.api("POST", `/v1/deliveries/${deliveryIdOf("again", uuid)}/resend`)).status).toBe(202);
    await eventually(async () => (await list(`app=${slug}&state=delivered`)).items.length === 1);
    expect(statesOf(await list(`app=${slug}`))).toEqual({ again: "delivered" });
    expect((await list(`app=${slug}`)).items).toHaveLength(1);
  });

  test("knows deliveries of a removed app, and no app that never was", async () => {
    const { slug, organization } = await installed({ webhook_url: bad.url, retry_schedule_s: [] });
    await publish(organization, "removed");
    await eventually(async () => (await list(`app=${slug}`)).items.length === 1);
    await posthorn.api("DELETE", `/v1/apps/${slug}`);
    await eventually(async () => (await posthorn.api("GET", `/v1/apps/${slug}`)).status === 404);
    expect(statesOf(await list(`app=${slug}`))).toEqual({ removed: "dead_letter" });
    expect((await posthorn.api("GET", "/v1/deliveries?app=unheard-of")).status).toBe(404);
  });

  test.each([
    ["start=2026-01-02&end=2026-01-01", "start"],
    ["limit=0", "limit"],
    ["limit=1001", "limit"],
    ["cursor=-", "cursor"],
    ["state=waiting", "state"],
    ["outcome=ok", "outcome"],
    ["response_code=1e2", "response_code"],
    ["installation_uuid=1", "installation_uuid"],
    ["status=parked", "status"],
  ])("refuses %s", async (query, path) => {
    const { status, body } = await posthorn.api("GET", `/v1/deliveries?${query}`);
    expect([status, body.errors?.[0].path]).toEqual([400, path]);
  });
});

test("a delivery that its receiver throttles is listed as such, with the end of the pause", async () => {
  const busy = await startReceiver((_request, response) => void response.writeHead(429, { "retry-after": "600" }).end());
  const { slug, organization } = await installed({ webhook_url: busy.url });
  for (let at = 0; at < 2; at++) await publish(organization, `throttled-${at}`);
  const { items } = await eventually(async () => {
    const page = await get(`/v1/deliveries?app=${slug}&state=throttled`);
    return page.items.length === 2 && page;
  });
  for (const item of items) {
    expect(item).toMatchObject({
      state: "throttled",
      throttled: { response_code: 429 },
      detail: expect.stringContaining("throttled until"),
    });
    expect(Date.parse(item.next_attempt_at)).toBeGreaterThan(Date.now() + 400_000);
  }
  expect((await get(`/v1/deliveries?app=${slug}&state=parked,retrying`)).items).toEqual([]);
  await busy.stop();
});

describe("one search", () => {
  const find = async (q: string) => get(`/v1/find?q=${encodeURIComponent(q)}`);
  const found = async (q: string): Promise<string[]> =>
    (await find(q)).items.map(({ kind, id }: { kind: string; id: string }) => `${kind} ${id}`);

  test("finds an app, an organization and an installation, also by the beginning of their names", async () => {
    const { slug, uuid, organization } = await installed({ webhook_url: good.url });
    expect(await found(slug)).toEqual([`app ${slug}`]);
    expect(await found(slug.slice(0, 8))).toContain(`app ${slug}`);
    expect(await found(uuid)).toEqual([`installation ${uuid}`]);
    expect(await found(uuid.toUpperCase())).toEqual([`installation ${uuid}`]);
    expect(await found(uuid.slice(0, 8))).toEqual([`installation ${uuid}`]);
    expect(await found(organization)).toEqual([`organization ${organization}`, `installation ${uuid}`]);
  });

  test("finds an event and its delivery by id, by its beginning and by trace, each with its links", async () => {
    const { slug, uuid, organization } = await installed({ webhook_url: good.url });
    const id = `evt/${randomUUID()}`;
    const delivery = deliveryIdOf(id, uuid);
    await publish(organization, id);
    const trace = await eventually(async () => (await get(`/v1/deliveries/${delivery}`)).delivery.trace_id as string);
    const query = "?type=issue.created";
    expect((await find(id)).items).toMatchObject([
      {
        kind: "event",
        id,
        organization_id: organization,
        api: `/v1/events/${encodeURIComponent(id)}${query}`,
        page: `#/events/${encodeURIComponent(id)}${query}`,
      },
    ]);
    expect(await found(delivery)).toEqual([`delivery ${delivery}`]);
    expect(await found(`webhook-id: ${delivery}`)).toEqual([`delivery ${delivery}`]);
    await eventually(async () => expect(await found(delivery.slice(0, 14))).toEqual([`delivery ${delivery}`]));
    expect(await found(delivery.slice(4, 14))).toEqual([`delivery ${delivery}`]);
    expect(await found(id.slice(0, 14))).toEqual([`event ${id}`, `delivery ${delivery}`]);
    expect(await found(trace)).toEqual([`delivery ${delivery}`]);
    expect(await found(`00-${trace}-b7ad6b7169203331-01`)).toEqual([`delivery ${delivery}`]);
    expect((await find(delivery)).items[0]).toMatchObject({
      app: slug,
      api: `/v1/deliveries/${delivery}`,
      page: `#/deliveries/${delivery}`,
    });
  });

  test("finds what waits, and an event that nobody wanted, by a trace that its publisher gave", async () => {
    const { uuid, organization } = await installed({ webhook_url: bad.url, retry_schedule_s: [600], events: ["issue"] });
    const trace = randomUUID().replaceAll("-", "");
    const traceparent = `00-${trace}-b7ad6b7169203331-01`;
    const headersOf = (value: string) => {
      const all = headers();
      all.set("traceparent", value);
      return all;
    };
    const event = (id: string) => ({ id, organization_id: organization, data: {} });
    await bus.publish("comment.created", event("unwanted-trace"), headersOf(traceparent));
    expect(await found(trace)).toEqual(["event unwanted-trace"]);
    await bus.publish("issue.created", event("wanted-trace"), headersOf(traceparent));
    const delivery = deliveryIdOf("wanted-trace", uuid);
    await eventually(async () =>
      expect((await found(trace)).toSorted()).toEqual([`delivery ${delivery}`, "event unwanted-trace", "event wanted-trace"].toSorted()),
    );
  });

  test("shows every event of one id", async () => {
    const { organization } = await installed({ webhook_url: good.url });
    const id = randomUUID();
    await publish(organization, id);
    await publish(organization, id, {}, "comment.created");
    const details = (await find(id)).items.map(({ detail }: { detail: string }) => detail);
    expect(details.toSorted()).toEqual(["comment.created", "issue.created"]);
  });

  test("says that nothing was found, and which app was meant", async () => {
    const { slug } = await installed({ slug: `near-${randomUUID().slice(0, 6)}`, webhook_url: good.url });
    const { items, notes } = await find(`${slug}x`);
    expect([items, notes[0]]).toEqual([[], `Did you mean the app ${slug}?`]);
    for (const q of ["", "%20", "%20%20"]) expect((await posthorn.api("GET", `/v1/find?q=${q}`)).status).toBe(400);
    expect((await posthorn.api("GET", "/v1/find")).status).toBe(400);
  });

  test("is made at the command line, too", async () => {
    const { slug, uuid, organization } = await installed({ webhook_url: good.url });
    const cli = (line: string) => runCli(line.split(" "), { environment: { POSTHORN_URL: posthorn.url } });
    const one = await cli(`find ${uuid.slice(0, 9)}`);
    expect([one.code, one.out]).toEqual([0, expect.stringMatching(new RegExp(`installation\\s+${uuid}\\s+${slug} in organization`))]);
    expect(await cli("find nothing-of-this-name")).toMatchObject({ code: 1 });
    const odd = `it's-${organization}?&`;
    await publish(organization, odd);
    expect((await cli(`find ${odd}`)).err).toBe(`posthorn explain 'it'\\''s-${organization}?&' shows the first\n`);
    expect((await cli("deliveries --state retrying,parked,throttled --limit 3")).out).toMatch(/^TIME \(.+\)\s+STATE\s+APP/);
    expect((await cli("events --limit 2 --json")).json).toHaveLength(2);
  });
});

/** Runs last: the others need Redis. */
test("without Redis what waits is still listed and found, and the answer says what is missing", async () => {
  const { slug, organization } = await installed({ webhook_url: bad.url, retry_schedule_s: [600] });
  await publish(organization, "without-redis");
  const list = () => get(`/v1/deliveries?app=${slug}`);
  await eventually(async () => (await list()).items[0]?.state === "retrying");
  await redis.kill();
  const { items, notes } = await eventually(async () => {
    const page = await list();
    return page.notes.length > 0 && page;
  });
  expect(items).toMatchObject([{ event_id: "without-redis", state: "retrying" }]);
  expect(notes[0]).toContain("Redis is unreachable");
  expect((await get(`/v1/events?organization_id=${organization}`)).items).toHaveLength(1);
  expect((await get("/v1/find?q=without-redi")).items).toHaveLength(2);
  expect((await posthorn.api("GET", `/v1/apps/${slug}/webhook-requests?event_id=without-redis`)).status).toBe(503);
  await redis.restart();
});
