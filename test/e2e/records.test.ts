/** Records as people and attackers change them, seen from outside. */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCli } from "../support/cli.ts";
import { eventually } from "../support/eventually.ts";
import { type Bus, connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { replayDeadLetters } from "../support/replay-dead-letters.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;
let receiver: Receiver;
let posthorn: Posthorn;
let bus: Bus;
const folder = mkdtempSync(join(tmpdir(), "posthorn-records-"));
const appsFile = join(folder, "apps.yaml");
const FILE_UUID = randomUUID();
const admin = { authorization: "Bearer admin-token-12345" };
const read = { authorization: "Bearer read-token-123456" };
const settings = {
  POSTHORN_API_TOKENS: "admin:admin-token-12345,read:read-token-123456",
  POSTHORN_ENCRYPTION_KEY: "ab".repeat(32),
  POSTHORN_RETRY_SCHEDULE: "",
  POSTHORN_APPS_FILE: appsFile,
};
const writeFile = (events: string): void =>
  writeFileSync(
    appsFile,
    `apps:\n  - {slug: filed, webhook_url: "${receiver.url}", events: [${events}]}\ninstallations:\n  - {uuid: ${FILE_UUID}, app: filed, organization_id: 7}\n`,
  );

beforeAll(async () => {
  [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver()]);
  writeFile("issue");
  posthorn = await startPosthornHere({ nats, redis, prefix: "records", settings });
  bus = await connectBus(nats, posthorn.prefix);
});
afterAll(async () => {
  await bus.close();
  await posthorn.end();
  await Promise.all([nats.stop(), redis.stop(), receiver.stop()]);
  rmSync(folder, { recursive: true });
});

const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = admin) =>
  posthorn.api(method, path, body, headers);
/** Waits until the expectations hold. */
const holds = (expectations: () => unknown): Promise<true> =>
  eventually(async () => {
    await expectations();
    return true as const;
  });
const run = (...words: string[]) => runCli(words, { environment: { POSTHORN_URL: posthorn.url, POSTHORN_TOKEN: "admin-token-12345" } });

describe("an app", () => {
  test("is changed by a merge patch of either media type, under a condition", async () => {
    const made = await call("PUT", "/v1/apps/patched", {
      webhook_url: receiver.url,
      events: ["issue"],
      timeout_ms: 900,
      headers: { "X-A": "a-value" },
    });
    const etag = { ...admin, "if-match": made.headers.get("etag") ?? "" };
    const merge = { ...etag, "content-type": "application/merge-patch+json" };
    const patched = await call("PATCH", "/v1/apps/patched", { events: ["comment"], headers: { "X-B": "b-value" } }, merge);
    expect([patched.status, patched.body]).toMatchObject([
      200,
      { events: ["comment"], timeout_ms: 900, headers: { "X-A": "[redacted]", "X-B": "[redacted]" } },
    ]);
    expect((await call("PATCH", "/v1/apps/patched", { events: [] }, merge)).status).toBe(412);
    expect((await call("PATCH", "/v1/apps/patched", { timeout_ms: null })).body).toMatchObject({ timeout_ms: null, events: ["comment"] });
    expect((await call("PATCH", "/v1/apps/patched", [])).status).toBe(400);
    expect((await call("PATCH", "/v1/apps/patched", {}, read)).status).toBe(403);
    expect((await call("PATCH", "/v1/apps/nobody", {})).status).toBe(404);
    expect(
      (await call("PUT", "/v1/apps/patched", { webhook_url: receiver.url }, { ...admin, "content-type": "application/merge-patch+json" }))
        .status,
    ).toBe(415);
    for (const type of ["application/cloudevents+json", "application/json-patch+json", "text/plain"]) {
      const { status, body } = await call("PATCH", "/v1/apps/patched", {}, { ...admin, "content-type": type });
      expect([status, body.detail]).toEqual([
        415,
        expect.stringContaining(`Content-Type: found "${type}", wanted application/merge-patch+json or application/json`),
      ]);
    }
  });

  test("shows nobody its header values, and only an admin what is in its URL; what is shown may be sent back", async () => {
    const url = `${receiver.url}/in?token=in-the-url&empty=`;
    await call("PUT", "/v1/apps/secretive", { webhook_url: url, headers: { "X-Key": "in-a-header" }, events: ["issue"] });
    const uuid = (await call("POST", "/v1/installations", { app: "secretive", organization_id: "secretive", webhook_url: url })).body
      .uuid as string;
    const token = (await call("POST", "/v1/apps/secretive/tokens")).body.token as string;
    const ofApp = { authorization: `Bearer ${token}` };
    const shown = [
      await call("GET", "/v1/apps/secretive", undefined, read),
      await call("GET", "/v1/apps", undefined, read),
      await call("GET", "/v1/installations", undefined, read),
      await call("GET", `/v1/installations/${uuid}`, undefined, read),
      await call("GET", "/v1/overview", undefined, read),
      await call("GET", "/v1/apps/secretive", undefined, ofApp),
      await call("GET", "/v1/apps/secretive/installations", undefined, ofApp),
    ];
    for (const { status, body } of shown) {
      expect(status).toBe(200);
      expect(JSON.stringify(body)).not.toMatch(/in-the-url|in-a-header/);
    }
    expect(shown[0]?.body.webhook_url).toBe(`${receiver.url}/in?token=[redacted]&empty=`);
    const forAdmin = (await call("GET", "/v1/apps/secretive")).body;
    expect([forAdmin.webhook_url, forAdmin.headers]).toEqual([url, { "X-Key": "[redacted]" }]);
    expect((await call("PUT", "/v1/apps/secretive", shown[0]?.body)).status).toBe(200);
    await bus.publish("issue.created", { id: "secretive-1", organization_id: "secretive", data: {} });
    const [request] = await eventually(() => {
      const found = receiver.requests.filter(({ path }) => path.includes("in-the-url"));
      if (found.length === 0) throw new Error("not delivered yet");
      return found;
    });
    expect(request?.headers["x-key"]).toBe("in-a-header");
  });
});

describe("an installation", () => {
  test("is made by POST under a new uuid, and not twice unless it is asked for", async () => {
    await call("PUT", "/v1/apps/posted", { webhook_url: receiver.url });
    const body = { app: "posted", organization_id: "42" };
    const made = await call("POST", "/v1/installations", body);
    expect([made.status, made.headers.get("location")]).toEqual([201, `/v1/installations/${made.body.uuid}`]);
    expect(made.body).toMatchObject({ created_at: expect.any(String), updated_at: expect.any(String) });
    expect((await call("PATCH", `/v1/installations/${made.body.uuid}`, { project_ids: [7] })).body.project_ids).toEqual(["7"]);
    expect((await call("POST", "/v1/installations", body)).body).toMatchObject({ status: 409, code: "CONFLICT" });
    expect((await call("PUT", `/v1/installations/${randomUUID()}`, body)).status).toBe(409);
    expect((await call("POST", "/v1/installations", { ...body, allow_duplicate: true })).status).toBe(201);
    const refused = await run("installations", "add", "posted", "--organization", "42");
    expect([refused.code, refused.err]).toEqual([expect.any(Number), expect.stringMatching(/installed in organization 42 already/)]);
    expect(refused.code).not.toBe(0);
    expect((await run("installations", "add", "posted", "--organization", "42", "--allow-duplicate")).code).toBe(0);
    expect((await call("GET", "/v1/installations?app=posted")).body.items).toHaveLength(3);
  });
});

describe("the apps file", () => {
  test("wins at a restart; what it changes is logged by name, and nothing is written when there is nothing to change", async () => {
    const lines = () => posthorn.log.filter(({ message }) => String(message).includes("the apps file"));
    expect(lines().map(({ message, app, installation_uuid: uuid }) => [message, app ?? uuid])).toEqual([
      ["record created from the apps file", "filed"],
      ["the apps file has no client_secret for this app; a random one was set; run posthorn apps rotate-secret to get a new one", "filed"],
      ["record created from the apps file", FILE_UUID],
    ]);
    const etag = async () => (await call("GET", "/v1/apps/filed")).headers.get("etag");
    const first = await etag();
    await restart();
    expect([lines(), await etag()]).toEqual([[], first]);
    writeFile("comment");
    await restart();
    expect(lines()).toMatchObject([{ app: "filed", members: ["events"], message: "record changed from the apps file" }]);
    expect((await call("GET", "/v1/apps/filed")).body.events).toEqual(["comment"]);
  });
});

async function restart(): Promise<void> {
  await posthorn.end();
  posthorn = await startPosthornHere({ nats, redis, prefix: "records", settings });
}

describe("a record that a stranger has overwritten by a reply subject", () => {
  test("takes nothing down, at run time or at a restart, and is named", async () => {
    await call("PUT", "/v1/apps/victim", { webhook_url: receiver.url, events: ["issue"] });
    const { uuid } = (await call("POST", "/v1/installations", { app: "victim", organization_id: "victim" })).body;
    const keys = [
      "app.victim",
      `installation.${uuid}`,
      "app.nobody",
      "circuit.victim",
      "hold.victim",
      "signing-key",
      "debug.app.victim",
      "odd",
    ];
    for (const key of keys) bus.connection.publish("$JS.API.INFO", "", { reply: `$KV.records-registry.${key}` });
    await bus.connection.flush();
    const invalid = async () => (await call("GET", "/v1/invalid-records", undefined, read)).body;
    await holds(async () => expect((await invalid()).total).toBe(6));
    for (const at of ["run time", "restart"]) {
      if (at === "restart") await restart();
      // Which one is in force is known when the key's history has been read.
      const expected = [
        { key: "app.nobody", earlier_in_force: false },
        { key: "app.victim", earlier_in_force: true },
        { key: "circuit.victim" },
        { key: "debug.app.victim" },
        { key: `installation.${uuid}`, earlier_in_force: true },
        { key: "signing-key" },
      ];
      const byKey = async () => (await invalid()).items.sort((a: { key: string }, b: { key: string }) => (a.key < b.key ? -1 : 1));
      await holds(async () => expect(await byKey()).toMatchObject(expected));
      const ready = await call("GET", "/readyz");
      expect([ready.status, ready.body.checks.records.ok]).toEqual([200, false]);
      expect(String((await call("GET", "/metrics")).body)).toContain("posthorn_registry_invalid_records 6");
      expect((await call("GET", "/v1/apps/victim")).body.invalid).toMatch(/invalid record/);
      const before = receiver.requests.length;
      await bus.publish("issue.created", { id: `victim-${at}`, organization_id: "victim", data: {} });
      await holds(() => expect(receiver.requests.length).toBe(before + 1));
    }
    expect((await call("PUT", "/v1/apps/nobody", { webhook_url: receiver.url })).status).toBe(201);
    expect((await call("POST", `/v1/installations/${uuid}/disable`)).body.status).toBe("disabled");
    expect((await call("PATCH", "/v1/apps/victim", { ordered: true })).body.invalid).toBeUndefined();
    await call("POST", `/v1/installations/${uuid}/enable`);
    const before = receiver.requests.length;
    // Its order lock is damaged, too.
    await bus.publish("issue.created", { id: "victim-ordered", organization_id: "victim", data: {} });
    await holds(() => expect(receiver.requests.length).toBe(before + 1));
    expect((await call("POST", "/v1/apps/victim/tokens")).status).toBe(201);
  });
});

describe("an app that takes the slug of one that was removed", () => {
  test("sees nothing of it with its own token, and the old token opens nothing", async () => {
    const secret = "cd".repeat(32);
    const make = async () => {
      expect(
        (await call("PUT", "/v1/apps/heir", { webhook_url: `${receiver.url}/heir`, events: ["*"], client_secret: secret })).status,
      ).toBe(201);
      return { authorization: `Bearer ${(await call("POST", "/v1/apps/heir/tokens")).body.token as string}` };
    };
    const seen = async (token: Record<string, string>) => {
      const log = await call("GET", "/v1/apps/heir/webhook-requests", undefined, token);
      const letters = await call("GET", "/v1/dead-letters", undefined, token);
      const stats = await call("GET", "/v1/apps/heir/stats", undefined, token);
      return {
        status: log.status,
        rows: log.body.items?.length,
        letters: letters.body.items,
        attempts: stats.body.totals?.attempts,
        types: stats.body.event_types,
      };
    };
    const uuid = randomUUID();
    const install = () => call("PUT", `/v1/installations/${uuid}`, { app: "heir", organization_id: "heir" });
    const first = await make();
    await install();
    receiver.behave(answer(400));
    await bus.publish("issue.created", { id: "heir-1", organization_id: "heir", data: { of: "the first" } });
    await holds(async () => expect(await seen(first)).toMatchObject({ rows: 1, letters: [{ reason: "rejected" }], attempts: 1 }));
    const { sequence } = (await seen(first)).letters[0] as { sequence: number };
    // One of its deliveries waits while it is removed.
    await call("POST", `/v1/installations/${uuid}/disable`);
    await bus.publish("issue.created", { id: "heir-2", organization_id: "heir", data: { of: "the first" } });
    await holds(async () => expect((await call("GET", `/v1/installations/${uuid}/health`)).body.parked.deliveries).toBe(1));
    await call("DELETE", "/v1/apps/heir");
    const second = await make();
    await install();
    const before = receiver.requests.length;
    expect(await seen(first)).toMatchObject({ status: 401 });
    // What waited goes to dead letters, and not to the second, which has even the uuid of the first's installation.
    await holds(async () => expect((await call("GET", "/v1/dead-letters?app=heir")).body.items).toHaveLength(2));
    expect(receiver.requests.length).toBe(before);
    const nothing = { status: 200, rows: 0, letters: [], attempts: 0, types: [] };
    expect(await seen(second)).toEqual(nothing);
    expect((await call("GET", `/v1/dead-letters/${sequence}`, undefined, second)).status).toBe(404);
    expect((await call("POST", `/v1/dead-letters/${sequence}/replay`, undefined, second)).status).toBe(404);
    expect(await replayDeadLetters((method, path, body) => call(method, path, body, second), {})).toMatchObject({ matched: 0 });
    receiver.behave(answer(200));
    await bus.publish("issue.created", { id: "heir-3", organization_id: "heir", data: {} });
    await holds(async () => expect(await seen(second)).toMatchObject({ rows: 1, attempts: 1, types: ["issue.created"] }));
  });
});
