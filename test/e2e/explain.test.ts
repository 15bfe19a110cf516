/** "We didn't get it": what GET /v1/events/{id} and GET /v1/deliveries/{id} say, and what they say they don't know. */
import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DeliveryAnswer, EventAnswer, ExplainedDelivery } from "../../src/explain/answer-schemas.ts";
import { deliveryIdOf } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { allHandled, type Bus, connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;
let posthorn: Posthorn;
let bus: Bus;
let look: Redis;
let good: Receiver;
let bad: Receiver;

beforeAll(async () => {
  [nats, redis, good, bad] = await Promise.all([
    startNatsServer(),
    startRedisServer({ arguments: ["--appendfsync", "always"] }),
    startReceiver(),
    startReceiver(answer(503, "out of order")),
  ]);
  posthorn = await startPosthornHere({ nats, redis, settings: { POSTHORN_CIRCUIT_MIN_ATTEMPTS: "3", POSTHORN_CIRCUIT_OPEN_TIME: "5m" } });
  bus = await connectBus(nats, posthorn.prefix);
  look = new Redis(redis.url);
  look.on("error", () => {});
});
afterAll(async () => {
  look.disconnect();
  await bus.close();
  await posthorn.end();
  await Promise.all([nats.stop(), redis.stop(), good.stop(), bad.stop()]);
});

const explainEvent = async (id: string, query = ""): Promise<EventAnswer> => {
  const { status, body } = await posthorn.api("GET", `/v1/events/${encodeURIComponent(id)}${query}`);
  if (status !== 200) throw new Error(`${status}: ${JSON.stringify(body)}`);
  return body as EventAnswer;
};

const explain = async (eventId: string, uuid: string, from = posthorn): Promise<DeliveryAnswer> => {
  const { status, body } = await from.api("GET", `/v1/deliveries/${deliveryIdOf(eventId, uuid)}`);
  if (status !== 200) throw new Error(`${status}: ${JSON.stringify(body)}`);
  return body as DeliveryAnswer;
};

/** The last warnings and errors of Posthorn's log. */
const warnings = ({ log }: Posthorn): string =>
  log
    .filter(({ level }) => level !== "info")
    .slice(-20)
    .map((line) => JSON.stringify(line))
    .join("\n");

const until = (eventId: string, uuid: string, state: ExplainedDelivery["state"], from = posthorn): Promise<DeliveryAnswer> =>
  eventually(async () => {
    const found = await explain(eventId, uuid, from);
    if (found.delivery.state !== state) throw new Error(`still ${JSON.stringify(found.delivery)}\n${warnings(from)}`);
    return found;
  });

/** An app installed in an organization of its own. */
const installed = async (app: { webhook_url: string; [member: string]: unknown }) => {
  const organization = randomUUID();
  return { organization, ...(await posthorn.install({ organization_id: organization, ...app })) };
};

test.concurrent("without NATS the answer is that it can't be known now", async ({ onTestFinished }) => {
  const own = await startNatsServer();
  const other = await startPosthornHere({ nats: own, redis });
  const itsBus = await connectBus(own, other.prefix);
  onTestFinished(async () => {
    await itsBus.close();
    await other.end();
    await own.stop();
  });
  const { uuid } = await other.install({ webhook_url: good.url });
  const id = randomUUID();
  await itsBus.publish("issue.created", { id, organization_id: "42", data: {} });
  await until(id, uuid, "delivered", other);
  await own.kill();
  // NATS has five seconds to answer.
  const { status, body } = await other.api("GET", `/v1/deliveries/${deliveryIdOf(id, uuid)}`);
  expect([status, body.code]).toEqual([503, "NATS_UNREACHABLE"]);
  await own.restart();
  await eventually(async () => (await other.api("GET", "/readyz")).status === 200);
  expect((await until(id, uuid, "delivered", other)).notes).toEqual([]);
});

describe.concurrent("an event", () => {
  test("is explained for every installation of its organization, and for no other", async () => {
    const organization = randomUUID();
    const install = (members: object) => posthorn.install({ webhook_url: good.url, organization_id: organization, ...members });
    const delivered = await install({});
    const retrying = await install({ webhook_url: bad.url, retry_schedule_s: [600] });
    const disabled = await install({});
    await posthorn.api("POST", `/v1/installations/${disabled.uuid}/disable`);
    const givenUp = await install({ webhook_url: bad.url, retry_schedule_s: [] });
    const unsubscribed = await install({ events: ["comment"] });
    const otherProject = await install({ project_ids: ["8"] });
    await install({ organization_id: randomUUID() });
    const id = `evt "1"/${randomUUID()} é`;
    const sequence = await bus.publish("issue.created", { id, organization_id: organization, project_id: "7", data: {} });
    await until(id, givenUp.uuid, "dead_letter");
    await until(id, retrying.uuid, "retrying");
    await until(id, delivered.uuid, "delivered");

    const {
      event,
      deliveries,
      not_wanted: notWanted,
      notes,
    } = await eventually(async () => {
      const found = await explainEvent(id);
      return found.event.stage === "handled" && found;
    });
    expect(event).toMatchObject({ id, type: "issue.created", organization_id: organization, project_id: "7", sequence });
    expect(notes).toEqual([]);
    const byUuid = Object.fromEntries(deliveries.map((delivery) => [delivery.installation_uuid, delivery]));
    expect(Object.keys(byUuid).sort()).toEqual([delivered.uuid, retrying.uuid, disabled.uuid, givenUp.uuid].sort());
    expect(byUuid[delivered.uuid]).toMatchObject({
      app: delivered.slug,
      delivery_id: deliveryIdOf(id, delivered.uuid),
      state: "delivered",
      attempts: [{ attempt: 1, outcome: "delivered", response_code: 200, webhook_url: good.url, trace_id: event.trace_id }],
    });
    expect(byUuid[retrying.uuid]).toMatchObject({
      state: "retrying",
      attempts: [{ attempt: 1, outcome: "failed", response_code: 503, response_body: "out of order" }],
      trace_id: event.trace_id,
    });
    const { next_attempt_at: due, retry } = byUuid[retrying.uuid] as ExplainedDelivery;
    expect(Date.parse(due ?? "") - Date.parse(event.stored_at ?? "")).toBeGreaterThan(400_000);
    expect(retry?.due_at).toBe(due);
    expect(byUuid[disabled.uuid]).toMatchObject({
      state: "parked",
      parked: { because: "disabled", queue: `${posthorn.prefix}.parked.${disabled.slug}.${disabled.uuid}` },
      installation_status: "disabled",
      next_attempt_at: null,
      attempts: [],
    });
    expect(byUuid[givenUp.uuid]).toMatchObject({
      state: "dead_letter",
      dead_letter: { reason: "exhausted", error: "answered with status 503" },
    });
    expect(notWanted).toEqual([
      {
        app: unsubscribed.slug,
        installation_uuid: unsubscribed.uuid,
        because: "not_subscribed",
        detail: "the app subscribes to comment; the event is issue.created",
      },
      {
        app: otherProject.slug,
        installation_uuid: otherProject.uuid,
        because: "other_project",
        detail: "it covers the projects 8; the event is of project 7",
      },
    ]);
  });

  test("that is older than an installation is not wanted by it", async () => {
    const { organization, slug } = await installed({ webhook_url: good.url });
    const id = randomUUID();
    await bus.publish("issue.created", { id, organization_id: organization, data: {} });
    await eventually(async () => (await explainEvent(id)).event.stage === "handled");
    const late = randomUUID();
    await posthorn.api("PUT", `/v1/installations/${late}`, {
      ...{ app: slug, organization_id: organization, allow_duplicate: true },
    });
    const { deliveries, not_wanted: notWanted } = await explainEvent(id);
    expect(deliveries).toHaveLength(1);
    expect(notWanted).toEqual([
      { app: slug, installation_uuid: late, because: "installed_later", detail: expect.stringMatching(/^it was installed at .+, after/) },
    ]);
  });

  test("went to who wanted it when it was handled, whatever they want now", async () => {
    const { organization, slug, uuid } = await installed({ webhook_url: good.url });
    const other = await posthorn.install({ webhook_url: good.url, organization_id: organization, events: ["comment"] });
    const id = randomUUID();
    await bus.publish("issue.created", { id, organization_id: organization, data: {} });
    await until(id, uuid, "delivered");
    await posthorn.api("PUT", `/v1/apps/${slug}`, { webhook_url: good.url, events: ["comment"] });
    await posthorn.api("PUT", `/v1/apps/${other.slug}`, { webhook_url: good.url, events: ["issue"] });
    const { deliveries, not_wanted: notWanted } = await explainEvent(id);
    expect(deliveries.map(({ state, installation_uuid: of }) => [state, of])).toEqual([["delivered", uuid]]);
    expect(notWanted).toEqual([
      expect.objectContaining({
        installation_uuid: other.uuid,
        because: "changed_later",
        detail: expect.stringMatching(/^the app was changed at /),
      }),
    ]);
  });

  test("that is addressed to one is explained for the others", async () => {
    const { organization, slug, uuid } = await installed({ webhook_url: good.url });
    const other = await posthorn.install({ webhook_url: good.url, organization_id: organization });
    const [id, toApp] = [randomUUID(), randomUUID()];
    await bus.publish("issue.created", { id, organization_id: organization, installation_uuid: uuid, data: {} });
    await bus.publish("issue.created", { id: toApp, organization_id: organization, app: slug, data: {} });
    await until(toApp, uuid, "delivered");
    expect((await explainEvent(id)).not_wanted).toMatchObject([{ installation_uuid: other.uuid, because: "other_installation" }]);
    expect((await explainEvent(toApp)).not_wanted).toMatchObject([{ installation_uuid: other.uuid, because: "other_app" }]);
  });

  test("that can't be read says why", async () => {
    const sequence = await bus.publish("issue.created", "{");
    const id = `${posthorn.prefix}_EVENTS:${sequence}`.toUpperCase().replaceAll("-", "_");
    const { status, body } = await eventually(async () => {
      const found = await posthorn.api("GET", `/v1/events/${id}`);
      return found.body.detail.includes("dead letter") && found;
    });
    expect([status, body.detail]).toEqual([404, expect.stringMatching(/can't be read, it is dead letter \d+: body: not valid JSON/)]);
  });

  test("for very many is explained for the first of them", async () => {
    const { organization, slug } = await installed({ webhook_url: good.url });
    const uuids = Array.from({ length: 120 }, () => randomUUID());
    await Promise.all(
      uuids.map((uuid) =>
        posthorn.api("PUT", `/v1/installations/${uuid}`, { app: slug, organization_id: organization, allow_duplicate: true }),
      ),
    );
    const id = randomUUID();
    await bus.publish("issue.created", { id, organization_id: organization, data: {} });
    const { deliveries, notes } = await eventually(async () => {
      const found = await explainEvent(id);
      return found.deliveries.every(({ state }) => state === "delivered") && found.notes.length === 1 && found;
    });
    expect(deliveries).toHaveLength(100);
    expect(notes).toEqual(["121 installations want it; the first 100 are shown."]);
  });

  test("of nobody is not found, and it is said what was looked at", async () => {
    const { status, body } = await posthorn.api("GET", "/v1/events/never-published");
    expect([status, body.code]).toEqual([404, "NOT_FOUND"]);
    expect(body.detail).toMatch(/^no event never-published: \d+ events from \S+Z on were searched$/);
  });
});

describe.concurrent("a delivery", () => {
  test("of an ordered app is the head that waits, or waits behind it", async () => {
    const { organization, uuid } = await installed({ webhook_url: bad.url, ordered: true, retry_schedule_s: [600] });
    const [first, second] = [randomUUID(), randomUUID()];
    for (const id of [first, second]) await bus.publish("issue.created", { id, organization_id: organization, data: {} });
    const head = await eventually(async () => {
      const found = await explain(first, uuid);
      return found.delivery.next_attempt_at !== null && found;
    });
    expect(head.delivery).toMatchObject({ state: "parked", parked: { because: "ordered" }, attempts: [{ attempt: 1, outcome: "failed" }] });
    expect((await until(second, uuid, "parked")).delivery).toMatchObject({ next_attempt_at: null, attempts: [] });
  });

  test("behind a long backlog is found where it was noted", async () => {
    const { organization, slug, uuid } = await installed({ webhook_url: good.url });
    await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
    const ids = Array.from({ length: 400 }, () => randomUUID());
    await Promise.all(ids.map((id) => bus.publish("issue.created", { id, organization_id: organization, data: {} })));
    const last = ids.at(-1) ?? "";
    const { delivery, notes } = await until(last, uuid, "parked");
    expect(delivery).toMatchObject({
      app: slug,
      parked: { because: "disabled" },
      detail: expect.stringContaining("when the installation is enabled"),
    });
    expect(notes).toEqual([]);
    // The whole queue is read one by one, which takes minutes where the server answers in tenths of a second.
    const parked = `${posthorn.prefix}_PARKED`.toUpperCase().replaceAll("-", "_");
    const manager = await bus.connection.jetstreamManager();
    const queue = `${posthorn.prefix}.parked.${slug}.${uuid}`;
    await eventually(async () => (await manager.streams.info(parked, { subjects_filter: queue })).state.subjects?.[queue] === ids.length);
    await manager.streams.purge(parked, { filter: queue, keep: 1 });
    const kept = (await manager.streams.getMessage(parked, { last_by_subj: queue })).json<{ event: { id: string } }>().event.id;
    await posthorn.api("POST", `/v1/installations/${uuid}/enable`);
    await until(kept, uuid, "delivered");
  });

  test("waits for the circuit until its next attempt", async () => {
    const { organization, slug, uuid } = await installed({ webhook_url: bad.url, retry_schedule_s: [600] });
    const publish = async (): Promise<string> => {
      const id = randomUUID();
      await bus.publish("issue.created", { id, organization_id: organization, data: {} });
      return id;
    };
    for (let i = 0; i < 3; i++) await publish();
    await eventually(async () => (await bus.connection.jetstream().views.kv(`${posthorn.prefix}-registry`)).get(`circuit.${slug}`));
    const { delivery } = await eventually(async () => {
      const found = await explain(await publish(), uuid);
      return found.delivery.state === "parked" && found;
    });
    expect(delivery).toMatchObject({
      circuit: "open",
      parked: { because: "circuit" },
      detail: expect.stringMatching(/the app's circuit is open until 2\S+Z; then one delivery probes it/),
    });
  });

  test("of a broken integration says when it is probed", async () => {
    const gone = await startReceiver(answer(410));
    const { organization, uuid } = await installed({ webhook_url: gone.url });
    const [first, second] = [randomUUID(), randomUUID()];
    await bus.publish("issue.created", { id: first, organization_id: organization, data: {} });
    expect((await until(first, uuid, "dead_letter")).delivery.dead_letter?.reason).toBe("gone");
    await eventually(async () => (await posthorn.api("GET", `/v1/installations/${uuid}`)).body.status === "broken");
    await bus.publish("issue.created", { id: second, organization_id: organization, data: {} });
    const { delivery } = await until(second, uuid, "parked");
    expect(delivery).toMatchObject({ installation_status: "broken", parked: { because: "broken" } });
    expect(Date.parse(delivery.next_attempt_at ?? "") - Date.now()).toBeGreaterThan(50 * 60_000);
    const third = randomUUID();
    await bus.publish("issue.created", { id: third, organization_id: organization, data: {} });
    expect((await until(third, uuid, "parked")).delivery).toMatchObject({
      next_attempt_at: null,
      detail: expect.stringContaining(`from ${delivery.next_attempt_at} on`),
    });
    await gone.stop();
  });

  test("that was given up and replayed is delivered, with the attempts of both runs", async () => {
    const flaky = await startReceiver(answer(400));
    const { organization, uuid } = await installed({ webhook_url: flaky.url });
    const id = randomUUID();
    await bus.publish("issue.created", { id, organization_id: organization, data: {} });
    const { delivery } = await until(id, uuid, "dead_letter");
    flaky.behave(answer(200));
    expect((await posthorn.api("POST", `/v1/dead-letters/${delivery.dead_letter?.sequence}/replay`)).status).toBe(202);
    const replayed = await until(id, uuid, "delivered");
    expect(replayed.delivery.attempts.map(({ attempt, outcome }) => [attempt, outcome])).toEqual([
      [1, "rejected"],
      [1, "delivered"],
    ]);
    await flaky.stop();
  });

  test("of a test call is known although its event never was in the stream", async () => {
    const { slug } = await installed({ webhook_url: good.url });
    const { body } = await posthorn.api("POST", `/v1/apps/${slug}/test`);
    const { delivery, event } = await eventually(async () => {
      const found = await posthorn.api("GET", `/v1/deliveries/${body.delivery_id}`);
      return found.status === 200 && (found.body as DeliveryAnswer);
    });
    expect([delivery.state, event]).toEqual(["delivered", expect.objectContaining({ type: "test.ping", sequence: null })]);

    const failing = await installed({ webhook_url: bad.url });
    const failed = (await posthorn.api("POST", `/v1/apps/${failing.slug}/test`)).body;
    const answered = await eventually(async () => {
      const found = await posthorn.api("GET", `/v1/deliveries/${failed.delivery_id}`);
      return found.status === 200 && (found.body as DeliveryAnswer);
    });
    expect(answered).toMatchObject({
      delivery: {
        state: "test_failed",
        detail: "the outcome of the test call was failed; test calls are not retried",
        attempts: [{ outcome: "failed" }],
      },
      notes: [],
    });
  });

  test("that was delivered stays so when its row, its app and its installation are gone", async () => {
    const { organization, slug, uuid } = await installed({ webhook_url: good.url });
    const id = randomUUID();
    await bus.publish("issue.created", { id, organization_id: organization, data: {} });
    const { delivery } = await until(id, uuid, "delivered");
    const resent = await posthorn.api("POST", `/v1/deliveries/${delivery.delivery_id}/resend`);
    expect(resent.status).toBe(202);
    const again = await eventually(async () => {
      const found = await explain(id, uuid);
      return found.delivery.attempts.length === 2 && found;
    });
    // The event came without a trace: the resend goes on with the one that it got.
    expect(new Set(again.delivery.attempts.map((attempt) => attempt.trace_id))).toEqual(new Set([delivery.trace_id]));
    expect(again.event?.trace_id).toBe(delivery.trace_id);
    await look.del(`posthorn:request:{${slug}}:issue.created`);
    expect((await posthorn.api("DELETE", `/v1/apps/${slug}`)).status).toBe(204);

    const gone = await explain(id, uuid);
    expect(gone.delivery).toMatchObject({
      ...{ state: "delivered", attempts: [], installation_status: "uninstalled", trace_id: delivery.trace_id },
      detail: expect.stringMatching(/^delivered at .* by attempt 1, answered with status 200$/),
    });
    expect((await explainEvent(id)).deliveries).toEqual([gone.delivery]);
  });

  test.each([true, false])("that is a dead letter, or parked, can be sent again by its id (known to Redis: %s)", async (isKnown) => {
    const { organization, slug, uuid } = await installed({ webhook_url: bad.url, retry_schedule_s: [] });
    for (const state of ["dead_letter", "parked"] as const) {
      const id = randomUUID();
      await bus.publish("issue.created", { id, organization_id: organization, data: {} });
      const { delivery } = await until(id, uuid, state);
      // Dead letters and queues show it a moment before Redis has it.
      const keys = await eventually(
        async () => (await look.exists(`posthorn:place:${delivery.delivery_id}`)) === 1 && look.keys(`posthorn:*{${slug}}*`),
      );
      if (!isKnown) await look.del(`posthorn:place:${delivery.delivery_id}`, ...keys);
      expect((await posthorn.api("POST", `/v1/deliveries/${delivery.delivery_id}/resend`)).status).toBe(202);
      await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
    }
  });

  test("of nobody is not found, and it is said what was looked at", async () => {
    const { status, body } = await posthorn.api("GET", `/v1/deliveries/dlv_${"0".repeat(32)}`);
    expect([status, body.detail]).toEqual([404, expect.stringMatching(/nothing is known .* in the last 8 days.*were searched/)]);
    expect((await posthorn.api("GET", "/v1/deliveries/evt-1")).status).toBe(400);
  });
});

// Sequential: nothing else is published meanwhile.
test("an event that nobody wanted is found among the newest, by its own id or its place", async () => {
  const organization = randomUUID();
  const { uuid } = await posthorn.install({ webhook_url: good.url, organization_id: organization, events: ["comment"] });
  const id = `nobody-${randomUUID()}`;
  const sequence = await bus.publish("issue.created", { id, organization_id: organization, data: {} });
  const unnamed = await bus.publish("issue.created", { organization_id: organization, data: {} });
  const stream = `${posthorn.prefix}_EVENTS`.toUpperCase().replaceAll("-", "_");
  const own = await explainEvent(id);
  expect([own.event.sequence, own.deliveries, own.not_wanted.map((other) => other.installation_uuid)]).toEqual([sequence, [], [uuid]]);
  expect((await explainEvent(`${stream}:${unnamed}`)).event).toMatchObject({ id: `${stream}:${unnamed}`, sequence: unnamed });
  expect((await explainEvent(id, `?since=${new Date(Date.now() - 60_000).toISOString()}`)).event.sequence).toBe(sequence);
  const tooLate = await posthorn.api("GET", `/v1/events/${id}?since=${new Date(Date.now() + 60_000).toISOString()}`);
  expect([tooLate.status, tooLate.body.detail]).toEqual([404, expect.stringContaining(`no event ${id}: there are no events to search`)]);
});

// Sequential: it deletes what Redis knows of the deliveries of all events.
test("an event that is gone from its stream is explained by what is left of it", async () => {
  const { organization, uuid } = await installed({ webhook_url: good.url });
  const { slug } = await posthorn.install({ webhook_url: bad.url, organization_id: organization, retry_schedule_s: [] });
  const id = randomUUID();
  const sequence = await bus.publish("issue.created", { id, organization_id: organization, data: {} });
  await until(id, uuid, "delivered");
  const letter = await eventually(async () => (await posthorn.api("GET", `/v1/dead-letters?app=${slug}`)).body.items[0]);
  const manager = await bus.connection.jetstreamManager();
  await manager.streams.deleteMessage(`${posthorn.prefix}_EVENTS`.toUpperCase().replaceAll("-", "_"), sequence);
  const left = await explainEvent(id);
  expect(left.event).toMatchObject({ id, type: "issue.created", organization_id: organization, sequence: null });
  expect(left.deliveries.map(({ state }) => state).sort()).toEqual(["dead_letter", "delivered"]);
  expect(left.notes).toEqual([expect.stringMatching(/not in its stream any more/)]);

  await look.del(...(await look.keys("posthorn:event-deliveries:*")), `posthorn:place:${letter.delivery_id}`);
  const ofLetter = await explainEvent(id);
  expect(ofLetter.event).toMatchObject({ id, organization_id: organization });
  expect(ofLetter.deliveries).toMatchObject([{ state: "dead_letter", dead_letter: { sequence: letter.sequence } }]);
});

test("without Redis the streams still answer, and the answer says what is missing", async () => {
  const { organization, uuid } = await installed({ webhook_url: bad.url, retry_schedule_s: [600] });
  const delivered = await posthorn.install({ webhook_url: good.url, organization_id: organization });
  const id = randomUUID();
  await bus.publish("issue.created", { id, organization_id: organization, data: {} });
  await until(id, uuid, "retrying");
  // Until then the other one is under way, which the streams know.
  await allHandled(bus);
  await redis.kill();
  await eventually(async () => (await posthorn.api("GET", "/readyz")).body.checks.redis.ok === false);
  const { delivery, event, notes } = await explain(id, uuid);
  expect(delivery).toMatchObject({
    state: "retrying",
    attempts: [{ attempt: 1, outcome: "failed", error: "answered with status 503", response_body: null }],
  });
  expect(event?.id).toBe(id);
  expect(notes.join()).toMatch(/Redis is unreachable.*were searched/);
  const whole = await explainEvent(id);
  expect(whole.deliveries.find(({ installation_uuid: of }) => of === delivered.uuid)?.state).toBe("unknown");
  // Redis may know it.
  const { status, body } = await posthorn.api("GET", `/v1/deliveries/${deliveryIdOf(id, delivered.uuid)}`);
  expect([status, body]).toEqual([503, expect.objectContaining({ code: "REDIS_UNREACHABLE" })]);
  await redis.restart();
  await eventually(async () => (await posthorn.api("GET", "/readyz")).body.checks.redis.ok === true);
  expect((await until(id, delivered.uuid, "delivered")).notes).toEqual([]);
});
