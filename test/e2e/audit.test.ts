/** Who changed what: every change of a record, by whichever way. */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

const ADMIN = "admin-token-12345";
const ROBIN = { authorization: `Bearer ${ADMIN}` };

let nats: Server;
let redis: Server;
let posthorn: Posthorn;
const inFile = randomUUID();
const folder = mkdtempSync(join(tmpdir(), "posthorn-audit-"));

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
  const appsFile = join(folder, "apps.yaml");
  writeFileSync(
    appsFile,
    `apps: [{slug: filed, webhook_url: "https://hooks.example/a"}]\ninstallations: [{uuid: ${inFile}, app: filed, organization_id: "42"}]\n`,
  );
  posthorn = await startPosthornHere({
    nats,
    redis,
    settings: { POSTHORN_API_TOKENS: `admin:robin:${ADMIN}`, POSTHORN_APPS_FILE: appsFile, POSTHORN_TARGET_ALLOW: "" },
  });
});
afterAll(async () => {
  expect(await posthorn.end()).toBe(0);
  await Promise.all([nats.stop(), redis.stop()]);
  rmSync(folder, { recursive: true });
});

const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = ROBIN) =>
  posthorn.api(method, path, body, headers);
const audit = async (query: string) => (await call("GET", `/v1/audit?${query}`)).body as { items: any[]; next: string | null };

test("the apps file's changes are entries of its own", async () => {
  const { items } = await audit("who=POSTHORN_APPS_FILE");
  expect(items).toMatchObject([
    { action: "createOrReplaceInstallation", app: "filed", installation_uuid: inFile, before: null, after: { organization_id: "42" } },
    { action: "createOrReplaceApp", app: "filed", installation_uuid: null, before: null, after: { slug: "filed" } },
  ]);
});

test("a change has who made it, and the members that differ, without secrets", async () => {
  const url = "https://user-name@hooks.example/a?token=secret-in-query";
  await call("PUT", "/v1/apps/acme", { webhook_url: url.replace("user-name@", ""), headers: { "X-Key": "secret-in-header" } });
  await call("PATCH", "/v1/apps/acme", { events: ["issue"] });
  // Nothing changes.
  await call("PATCH", "/v1/apps/acme", { events: ["issue"] });
  await call("PATCH", "/v1/apps/acme", { events: ["Not a pattern"] });
  await call("POST", "/v1/apps/acme/secret/rotate");
  const { body: token } = await call("POST", "/v1/apps/acme/tokens", { scope: "manage", name: "Sam" });
  await call("PATCH", "/v1/apps/acme", { events: ["comment"] }, { authorization: `Bearer ${token.token}` });
  const { body: installed } = await call("POST", "/v1/installations", { app: "acme", organization_id: "7" });
  await call("POST", `/v1/installations/${installed.uuid}/disable`);
  await call("POST", `/v1/installations/${installed.uuid}/disable`);
  await call("DELETE", "/v1/apps/acme");
  const { items } = await audit("app=acme");
  expect(items.map(({ who, action, before, after }) => [who, action, before === null, after === null])).toEqual([
    ["robin", "deleteApp", false, true],
    ["robin", "disableInstallation", false, false],
    ["robin", "createInstallation", true, false],
    ["Sam (app acme)", "updateApp", false, false],
    ["robin", "createAppToken", true, true],
    ["robin", "rotateAppSecret", true, true],
    ["robin", "updateApp", false, false],
    ["robin", "createOrReplaceApp", true, false],
  ]);
  expect(items[1]).toMatchObject({ installation_uuid: installed.uuid, before: { status: "active" }, after: { status: "disabled" } });
  expect(items[2].target).toBe(`/v1/installations/${installed.uuid}`);
  expect(items[6]).toMatchObject({ before: { events: [] }, after: { events: ["issue"] } });
  expect(JSON.stringify(items)).not.toMatch(/secret-in|client_secret|whsec_/);

  expect((await audit("app=acme&action=updateApp&who=robin")).items).toHaveLength(1);
  expect((await audit(`installation_uuid=${installed.uuid}`)).items).toHaveLength(2);
  expect((await audit("app=acme&end=2020-01-01")).items).toEqual([]);
  const first = await audit("app=acme&limit=3");
  expect((await audit(`app=acme&limit=3&cursor=${first.next}`)).items).toEqual(items.slice(3, 6));
});

test("a call that names an app and changes no record has none before and after", async () => {
  await call("PUT", "/v1/apps/named", { webhook_url: "https://hooks.example/a" });
  await call("POST", "/v1/dead-letters/replay", { app: "named" });
  const { body: replay } = await call("POST", "/v1/replays", { app: "named", what: "failed" });
  await call("DELETE", "/v1/dead-letters?app=named&event_type=a.b");
  const { body: installed } = await call("POST", "/v1/installations", { app: "named", organization_id: "named" });
  await call("POST", "/v1/replays", { installation_uuid: installed.uuid, what: "failed" });
  const { items } = await audit("app=named");
  expect(items.splice(0, 2)).toMatchObject([
    { action: "createReplay", installation_uuid: installed.uuid, before: null, after: null },
    { action: "createInstallation", installation_uuid: installed.uuid },
  ]);
  expect(items.map(({ action, before, after }) => [action, before, after === null])).toEqual([
    ["deleteDeadLetters", null, true],
    ["createReplay", null, true],
    ["replayDeadLetters", null, true],
    ["createOrReplaceApp", null, false],
  ]);
  expect(items.slice(0, 2).map(({ target }) => target)).toEqual(["/v1/dead-letters?app=named&event_type=a.b", `/v1/replays/${replay.id}`]);
});

test("the stream is made again when it was deleted, and a change is never refused for it", async () => {
  const bus = await connectBus(nats, posthorn.prefix);
  const manager = await bus.connection.jetstreamManager();
  const name = `${posthorn.prefix.toUpperCase().replaceAll("-", "_")}_AUDIT`;
  expect((await manager.streams.info(name)).config).toMatchObject({ retention: "limits", max_age: 400 * 86_400 * 1e9 });
  await manager.streams.delete(name);
  expect((await call("PUT", "/v1/apps/later", { webhook_url: "https://hooks.example/b" })).status).toBe(201);
  await eventually(async () => (await audit("app=later")).items.length === 1);
  await bus.close();
});
