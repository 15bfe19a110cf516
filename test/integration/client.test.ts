/** posthorn/client against a real server. */
import { connect, type NatsConnection } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createPublisher, type StatusEvent, type StatusEventType, subscribeStatus } from "../../src/client/client.ts";
import { ensureTopology } from "../../src/jetstream/streams.ts";
import { createSubjects } from "../../src/jetstream/subjects.ts";
import { eventMessageId } from "../../src/model/event-key.ts";
import { circuitChanged, integrationChanged } from "../../src/model/status-event.ts";
import { UUID } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { freePort, type Server, startNatsServer } from "../support/servers.ts";

let server: Server;
let connection: NatsConnection;
let unused: number;
const prefix = "client-test";

beforeAll(async () => {
  server = await startNatsServer();
  unused = await freePort();
  connection = await connect({ servers: server.url });
  await ensureTopology(await connection.jetstreamManager(), createSubjects(prefix), 1);
});
afterAll(async () => {
  await connection.close();
  await server.stop();
});

const stored = async (sequence: number) =>
  (await connection.jetstreamManager()).streams.getMessage("CLIENT_TEST_EVENTS", { seq: sequence });

describe("a publisher", () => {
  test("publishes what Posthorn reads, with id and trace in the headers", async () => {
    const publisher = await createPublisher({ nats: server.url, subjectPrefix: prefix });
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const published = await publisher.publish({
      ...{ type: "issue.created", id: "evt-1", organizationId: 42, projectId: 7, app: "acme", installationUuid: UUID },
      ...{
        data: { name: "Grüße" },
        actor: { type: "user" },
        occurredAt: new Date("2026-01-05T10:11:12.345Z"),
        traceparent,
        tracestate: "a=1",
      },
    });
    expect(published).toEqual({
      id: "evt-1",
      stream: "CLIENT_TEST_EVENTS",
      sequence: 1,
      duplicate: false,
      traceId: "0af7651916cd43dd8448eb211c80319c",
    });
    const message = await stored(1);
    expect([
      message.subject,
      message.header.get("Nats-Msg-Id"),
      message.header.get("traceparent"),
      message.header.get("tracestate"),
    ]).toEqual([
      `${prefix}.events.issue.created`,
      eventMessageId({ type: "issue.created", id: "evt-1", source: null }),
      traceparent,
      "a=1",
    ]);
    expect(message.json()).toEqual({
      ...{ id: "evt-1", organization_id: 42, installation_uuid: UUID, app: "acme", project_id: 7, actor: { type: "user" } },
      ...{ occurred_at: "2026-01-05T10:11:12.345Z", data: { name: "Grüße" } },
    });
    expect((await publisher.publish({ type: "issue.created", id: "evt-1", organizationId: 42, data: {} })).duplicate).toBe(true);
    await publisher.close();
  });

  test("keeps the number text of dataJson, and makes an id when none is given", async () => {
    const publisher = await createPublisher({ nats: connection, subjectPrefix: prefix });
    const { id, sequence, traceId } = await publisher.publish({
      type: "issue.created",
      organizationId: "42",
      dataJson: '{"n":12345678901234567890}',
    });
    expect((await stored(sequence)).string()).toContain('"data":{"n":12345678901234567890}');
    expect([id, traceId]).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/), null]);
    await publisher.close();
    expect(connection.isClosed()).toBe(false);
  });

  test.each<[string, object, RegExp]>([
    ["type with three parts", { type: "a.b.c" }, /^type: found "a\.b\.c", wanted <resource>\.<action>$/],
    ["type with a capital", { type: "Issue.created" }, /^resource in type: found "Issue"/],
    ["missing organization", { organizationId: undefined }, /^organization_id: missing/],
    ["missing data", { data: undefined }, /^data: missing, wanted an object$/],
    ["data that is an array", { data: [] }, /^data: found an array/],
    ["dataJson that is no JSON", { data: undefined, dataJson: "{" }, /^data: not valid JSON/],
    ["id of 10 KB", { id: "x".repeat(10_240) }, /^id: found 10240 characters/],
    ["installation that is no UUID", { installationUuid: "7" }, /^installation_uuid: found "7", wanted a UUID/],
    ["id with half a surrogate pair", { id: "a\ud800" }, /^id: found "a\\ud800" with an unpaired surrogate/],
    ["id with a line break", { id: "a\r\nb" }, /^id: found .*, wanted no control characters/],
    ["time without a zone", { occurredAt: "2026-01-05T10:11:12" }, /^occurred_at: found .*, without a time zone/],
    ["invalid Date", { occurredAt: new Date("x") }, /^occurredAt: found an invalid Date/],
  ])("refuses a %s before it publishes", async (_what, changes, message) => {
    const publisher = await createPublisher({ nats: connection, subjectPrefix: prefix });
    await expect(publisher.publish({ type: "issue.created", organizationId: "42", data: {}, ...changes })).rejects.toMatchObject({
      code: "PUBLISH_INVALID",
      message: expect.stringMatching(message),
    });
  });

  test("refuses what JSON can't say, with a code", async () => {
    const publisher = await createPublisher({ nats: connection, subjectPrefix: prefix });
    for (const event of [null, { type: "issue.created", organizationId: "42", data: { n: 1n } }]) {
      await expect(publisher.publish(event as never)).rejects.toMatchObject({ code: "PUBLISH_INVALID" });
    }
  });

  test("says what to look at when no stream takes the event, or no server answers", async () => {
    const publisher = await createPublisher({ nats: connection, subjectPrefix: "nobody" });
    await expect(publisher.publish({ type: "issue.created", organizationId: "42", data: {} })).rejects.toMatchObject({
      code: "PUBLISH_FAILED",
      retryable: true,
      message: expect.stringMatching(
        /no stream has the subject nobody\.events\.issue\.created: was Posthorn, which creates NOBODY_EVENTS, started with the prefix "nobody"\?/,
      ),
    });
    await expect(createPublisher({ nats: `nats://127.0.0.1:${await freePort()}` })).rejects.toMatchObject({ code: "NATS_UNREACHABLE" });
  });
});

describe("a status subscription", () => {
  let number = 0;
  const announce = async (type: "integration.disabled" | "circuit.opened", app: string, uuid = UUID): Promise<string> => {
    const facts = { id: `test:${++number}`, time: "2026-01-05T10:11:12.345Z", prefix };
    const event: StatusEvent =
      type === "circuit.opened"
        ? circuitChanged(facts, "opened", {
            app,
            previous_state: "closed",
            state: "open",
            reason: null,
            open_until: null,
            dashboard_url: null,
          })
        : integrationChanged(facts, "disabled", {
            ...{
              app,
              installation_uuid: uuid,
              organization_id: "42",
              webhook_url: "https://x.example",
              previous_status: "active",
              status: "disabled",
            },
            ...{ dashboard_url: null, reason: { by: "person" as const } },
          });
    await connection.jetstream().publish(createSubjects(prefix).statusOf(event), JSON.stringify(event), { msgID: event.id });
    return event.id;
  };

  const subscribe = async (durable: string, seen: string[], more: Partial<Parameters<typeof subscribeStatus>[0]> = {}) =>
    subscribeStatus({ nats: server.url, subjectPrefix: prefix, durable, startAt: "all", onEvent: ({ id }) => void seen.push(id), ...more });

  test("resumes where the last one of its name stopped", async () => {
    const seen: string[] = [];
    const first = await subscribe("catch-up", seen, { startAt: "new" });
    const one = await announce("integration.disabled", "acme");
    await eventually(() => seen.length === 1);
    await first.stop();
    const two = await announce("circuit.opened", "acme");
    const second = await subscribe("catch-up", seen, { startAt: "new" });
    await eventually(() => seen.length === 2);
    expect(seen).toEqual([one, two]);
    await second.stop();
  });

  test.each<[string, { changes?: StatusEventType[]; app?: string; installationUuid?: string }, string[]]>([
    ["everything", {}, ["a", "b", "c", "d"]],
    ["one change", { changes: ["integration.disabled"] }, ["a", "b", "d"]],
    ["one circuit change", { changes: ["circuit.opened"] }, ["c"]],
    ["several changes", { changes: ["circuit.opened", "circuit.closed"] }, ["c"]],
    ["one app", { app: "filter-one" }, ["a", "c", "d"]],
    ["one change of one app", { changes: ["integration.disabled"], app: "filter-two" }, ["b"]],
    ["one installation", { installationUuid: "ffffffff-5b6a-4c7d-8e9f-0a1b2c3d4e5f" }, ["d"]],
  ])("filters: %s", async (name, filter, wanted) => {
    const from = new Date();
    const names = new Map<string, string>();
    names.set(await announce("integration.disabled", "filter-one"), "a");
    names.set(await announce("integration.disabled", "filter-two"), "b");
    names.set(await announce("circuit.opened", "filter-one"), "c");
    names.set(await announce("integration.disabled", "filter-one", "ffffffff-5b6a-4c7d-8e9f-0a1b2c3d4e5f"), "d");
    const seen: string[] = [];
    const subscription = await subscribe(`filter-${name.replaceAll(" ", "-")}`, seen, { startAt: new Date(from.getTime() - 1), ...filter });
    const known = () => seen.map((id) => names.get(id)).filter((found) => found !== undefined);
    await eventually(() => known().length >= wanted.length);
    // What comes next would show anything that slipped through.
    const last = await announce(
      wanted.includes("c") ? "circuit.opened" : "integration.disabled",
      filter.app ?? "filter-one",
      filter.installationUuid ?? UUID,
    );
    await eventually(() => seen.includes(last));
    expect(known()).toEqual(wanted);
    await subscription.stop();
  });

  test("gets an event again when its handler failed, and the next only after that", async () => {
    const seen: string[] = [];
    const errors: unknown[] = [];
    let failures = 0;
    const id = await announce("integration.disabled", "again");
    const subscription = await subscribe("again", [], {
      app: "again",
      onError: (error) => void errors.push(error),
      onEvent: (event, { redelivered }) => {
        if (failures++ < 1) throw new Error("not now");
        seen.push(`${event.id} ${redelivered}`);
      },
    });
    await eventually(() => seen.length === 1);
    expect([seen, errors]).toEqual([[`${id} 1`], [new Error("not now")]]);
    await subscription.stop();
  });

  test.concurrent.each([
    ["new", 1],
    ["new", 4],
    ["all", 1],
  ] as const)(
    "that began with %s and handles %i at once goes on behind what it had handled when its consumer is deleted",
    async (startAt, maxInFlight) => {
      const app = `deleted-${startAt}-${maxInFlight}`;
      const manager = await connection.jetstreamManager();
      const early = await announce("integration.disabled", app);
      const seen: string[] = [];
      const handlings = new Map<string, number>();
      let failing = "";
      const subscription = await subscribe(app, [], {
        ...{ startAt, app, maxInFlight },
        onEvent: ({ id }) => {
          handlings.set(id, (handlings.get(id) ?? 0) + 1);
          if (id === failing) throw new Error("not now");
          seen.push(id);
        },
      });
      // Before anything was acknowledged, and after it.
      if (startAt === "new") await manager.consumers.delete("CLIENT_TEST_STATUS", app);
      const first = await announce("integration.disabled", app);
      await eventually(() => seen.includes(first));
      failing = await announce("integration.disabled", app);
      await eventually(() => handlings.has(failing));
      const behind = await announce("integration.disabled", app);
      if (maxInFlight > 1) await eventually(() => seen.includes(behind));
      await manager.consumers.delete("CLIENT_TEST_STATUS", app);
      const failed = failing;
      failing = "";
      const last = await announce("integration.disabled", app);
      await eventually(() => [failed, behind, last].every((id) => seen.includes(id)));
      expect([...seen].sort()).toEqual([...(startAt === "all" ? [early] : []), first, failed, behind, last].sort());
      if (maxInFlight === 1) expect(seen.slice(-4)).toEqual([first, failed, behind, last]);
      await subscription.stop();
    },
  );

  test("with more than one at once continues with the others while one is handed out again", async () => {
    const seen: string[] = [];
    let tries = 0;
    let mayPass = false;
    const poison = [await announce("integration.disabled", "poison"), await announce("integration.disabled", "poison")];
    const subscription = await subscribe("poison", [], {
      ...{ app: "poison", maxInFlight: 2 },
      onEvent: ({ id }) => {
        if (poison.includes(id) && !mayPass) {
          tries++;
          throw new Error("never");
        }
        seen.push(id);
      },
    });
    await eventually(() => tries >= 2);
    const others = [];
    for (let n = 0; n < 5; n++) others.push(await announce("integration.disabled", "poison"));
    await eventually(() => seen.length === 5);
    expect([...seen].sort()).toEqual([...others].sort());
    mayPass = true;
    await eventually(() => seen.length === 7);
    await subscription.stop();
  });

  test("never has more handlers running than it was asked for, and waits for them when it stops", async () => {
    for (let n = 0; n < 9; n++) await announce("integration.disabled", "crowd");
    const waiting: Array<() => void> = [];
    let running = 0;
    let most = 0;
    let ended = 0;
    const subscription = await subscribe("crowd", [], {
      ...{ app: "crowd", maxInFlight: 3 },
      onEvent: async () => {
        most = Math.max(most, ++running);
        await new Promise<void>((resolve) => waiting.push(resolve));
        running--;
        ended++;
      },
    });
    const endOne = () => eventually(() => waiting.shift()).then((end) => end());
    for (let n = 0; n < 6; n++) await endOne();
    await eventually(() => running === 3);
    const stopping = subscription.stop();
    for (let n = 0; n < 3; n++) await endOne();
    await stopping;
    expect([most, ended]).toEqual([3, 9]);
  });

  test("hands out events whose data is known by the changes that were asked for", async () => {
    const seen: string[] = [];
    const id = await announce("integration.disabled", "typed");
    const subscription = await subscribeStatus({
      ...{ nats: server.url, subjectPrefix: prefix, durable: "typed", app: "typed", startAt: "all" },
      changes: ["integration.disabled", "circuit.opened"],
      // The compiler knows which members there are.
      onEvent: (event) => void seen.push(event.type === "circuit.opened" ? event.data.state : `${event.id} ${event.data.reason.by}`),
    });
    await eventually(() => seen.length === 1);
    expect(seen).toEqual([`${id} person`]);
    await subscription.stop();
  });

  test("skips what is no status event, and says so", async () => {
    const seen: string[] = [];
    const errors: unknown[] = [];
    for (const body of ["garbage", "null", "{}", '"text"'])
      await connection.jetstream().publish(`${prefix}.status.integration.broken.skips.${UUID}`, body);
    const id = await announce("integration.disabled", "skips");
    const subscription = await subscribe("skips", seen, { app: "skips", onError: (error) => void errors.push(error) });
    await eventually(() => seen.length === 1);
    expect(seen).toEqual([id]);
    expect(errors).toHaveLength(4);
    expect(errors[0]).toMatchObject({ code: "RECORD_INVALID", message: expect.stringMatching(/message \d+ of CLIENT_TEST_STATUS is no/) });
    await subscription.stop();
  });

  test.each<[string, object, RegExp]>([
    [
      "a change that there is none of",
      { changes: ["integration.brokn"] },
      /^changes: found "integration\.brokn", wanted some of integration/,
    ],
    ["no change at all", { changes: [] }, /^changes: found \[\], wanted some of integration\.broken, integration\.recovered/],
    ["a change that is no list", { changes: "circuit.opened" }, /^changes: found "circuit\.opened", wanted some of/],
    [
      "circuits of an installation",
      { changes: ["circuit.opened"], installationUuid: UUID },
      /^changes: found \["circuit\.opened"\], wanted a change of an installation/,
    ],
    ["an app with a wildcard", { app: "*" }, /^app: found "\*", wanted an app's slug/],
    ["an app of two tokens", { app: "a.b" }, /^app: found "a\.b"/],
    ["an installation with a wildcard", { installationUuid: "*" }, /^installationUuid: found "\*", wanted a UUID/],
    ["a start on an invalid Date", { startAt: new Date("x") }, /^startAt: found Invalid Date, wanted "new", "all" or a valid Date/],
    ["a start in words", { startAt: "yesterday" }, /^startAt: found "yesterday"/],
    ["a start as a text", { startAt: "2026-01-05T10:11:12Z" }, /^startAt: found "2026/],
    ["a prefix with a dot", { subjectPrefix: "a.b" }, /^subjectPrefix: found "a\.b", wanted 1 to 32 letters/],
    ["an empty prefix", { subjectPrefix: "" }, /^subjectPrefix: found ""/],
    ["no handler", { onEvent: undefined }, /^onEvent: found undefined, wanted a function/],
    ["an onError that is none", { onError: "log" }, /^onError: found "log"/],
    ["none at once", { maxInFlight: 0 }, /^maxInFlight: found 0, wanted an integer from 1 to 256/],
    ["one and a half at once", { maxInFlight: 1.5 }, /^maxInFlight: found 1\.5/],
    ["a name with a space", { durable: "not a name" }, /^durable: found "not a name", wanted 1 to 64/],
  ])("refuses %s before it connects", async (_what, wrong, message) => {
    // Nobody listens there.
    const subscribing = subscribe("refused", [], { nats: `nats://127.0.0.1:${unused}`, ...wrong });
    await expect(subscribing).rejects.toMatchObject({ code: "PUBLISH_INVALID", message: expect.stringMatching(message) });
  });

  test("takes an installation's UUID in capitals", async () => {
    const seen: string[] = [];
    const uuid = "eeeeeeee-5b6a-4c7d-8e9f-0a1b2c3d4e5f";
    const id = await announce("integration.disabled", "capitals", uuid);
    const subscription = await subscribe("capitals", seen, { installationUuid: uuid.toUpperCase() });
    await eventually(() => seen.includes(id));
    await subscription.stop();
  });

  test("without a name gets what comes from then on, and leaves nothing behind", async () => {
    const seen: string[] = [];
    const subscription = await subscribeStatus({
      ...{ nats: { servers: server.url, credsFile: null }, subjectPrefix: prefix, app: "nameless" },
      onEvent: ({ id }) => void seen.push(id),
    });
    const id = await announce("integration.disabled", "nameless");
    await eventually(() => seen.includes(id));
    const manager = await connection.jetstreamManager();
    const names = async () => (await manager.consumers.list("CLIENT_TEST_STATUS").next()).map(({ name }) => name);
    expect((await names()).filter((name) => name.startsWith("once-"))).toHaveLength(1);
    await subscription.stop();
    expect((await names()).filter((name) => name.startsWith("once-"))).toEqual([]);
  });

  test("reaches a server with the user of its URL, which no error shows", async () => {
    const guarded = await startNatsServer({ config: 'authorization { user: "svc", password: "p@ss" }' });
    const url = (password: string) => guarded.url.replace("//", `//svc:${password}@`);
    await (await createPublisher({ nats: url("p%40ss") })).close();
    const refused = await createPublisher({ nats: url("s3cr3t") }).catch((error: unknown) => error as Error);
    expect(refused).toMatchObject({
      code: "CONFIG_INVALID",
      retryable: false,
      message: expect.stringMatching(/ refused the user, password, /),
    });
    expect(String(refused)).not.toContain("s3cr3t");
    await guarded.stop();
  });

  test("says what to look at when there is no stream", async () => {
    await expect(subscribeStatus({ nats: server.url, subjectPrefix: "nobody", durable: "x", onEvent: () => {} })).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: expect.stringMatching(/can't follow NOBODY_STATUS: was Posthorn started with the prefix "nobody"\?/),
    });
  });

  test("leaves no connection behind when it can't begin, and the caller's own one open", async () => {
    const clients = await startNatsServer({ config: `http: "127.0.0.1:${unused}"` });
    const open = async () =>
      ((await (await fetch(`http://127.0.0.1:${unused}/connz`)).json()) as { num_connections: number }).num_connections;
    const options = { subjectPrefix: "nobody", durable: "x", onEvent: () => {} };
    await expect(subscribeStatus({ nats: clients.url, ...options })).rejects.toThrow(/can't follow NOBODY_STATUS/);
    await eventually(async () => (await open()) === 0);
    const own = await connect({ servers: clients.url });
    await expect(subscribeStatus({ nats: own, ...options })).rejects.toThrow(/can't follow NOBODY_STATUS/);
    expect([await open(), own.isClosed()]).toEqual([1, false]);
    await own.close();
    await clients.stop();
  });
});
