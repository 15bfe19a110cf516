/** Who may call what: every route with every kind of caller. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TOKEN_SCOPES, type TokenScope } from "../../src/model/token-scope.ts";
import { deliveryIdOf } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { replayDeadLetters } from "../support/replay-dead-letters.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

/** What a call is made for: an app, and things that belong to it. */
interface Target {
  readonly slug: string;
  readonly uuid: string;
  readonly sequence: number;
  readonly replay: string;
  /** A replay of /v1/replays that has not ended. */
  readonly sending: string;
  readonly delivery: string;
}

interface Row {
  /** Which of the two lists of tokens covers it, or neither is asked for. */
  readonly access: "open" | "read" | "admin";
  /** The scope that the app's own token needs; true: read for GET, act otherwise; false: none covers it. */
  readonly app: boolean | TokenScope;
  /** The same for a token of the organization. */
  readonly organization?: TokenScope;
  /** It is about the caller, not about an app. */
  readonly isAnyones?: true;
  readonly path: (target: Target) => string;
  readonly body?: (target: Target) => unknown;
  /** Makes what the call removes. */
  readonly before?: () => Promise<unknown>;
  /** Takes back what the call changed. */
  readonly after?: (target: Target) => Promise<unknown>;
}

const ofApp = ({ slug }: Target): string => `/v1/apps/${slug}`;
const webhook = (): unknown => ({ webhook_url: receiver.url, events: ["*"], retry_schedule_s: [] });

const throwAwayApp = () => call("PUT", "/v1/apps/throw-away", ADMIN, webhook());
const throwAwayInstallation = () =>
  call("PUT", `/v1/installations/${THROW_AWAY}`, ADMIN, { app: "own", organization_id: "none", allow_duplicate: true });

/** A new route needs a row here. */
const ROWS: Readonly<Record<string, Row>> = {
  "PUT /v1/apps/:slug": { access: "admin", app: false, path: ofApp, body: webhook },
  "PATCH /v1/apps/:slug": { access: "admin", app: "manage", path: ofApp, body: () => ({ events: ["*"] }) },
  "GET /v1/apps/:slug": { access: "read", app: true, path: ofApp },
  "DELETE /v1/apps/:slug": { access: "admin", app: false, path: () => "/v1/apps/throw-away", before: throwAwayApp },
  "GET /v1/apps": { access: "read", app: false, path: () => "/v1/apps" },
  "POST /v1/apps/:slug/secret/rotate": {
    access: "admin",
    app: "manage",
    path: (target) => `${ofApp(target)}/secret/rotate`,
  },
  "POST /v1/apps/:slug/retry-now": { access: "admin", app: true, path: (target) => `${ofApp(target)}/retry-now` },
  "POST /v1/apps/:slug/circuit/close": { access: "admin", app: true, path: (target) => `${ofApp(target)}/circuit/close` },
  "POST /v1/apps/:slug/tokens": { access: "admin", app: false, path: (target) => `${ofApp(target)}/tokens` },
  "POST /v1/organizations/:organization_id/tokens": { access: "admin", app: false, path: ({ slug }) => `/v1/organizations/${slug}/tokens` },
  "POST /v1/portal-links": { access: "admin", app: false, path: () => "/v1/portal-links", body: ({ slug }) => ({ app: slug }) },
  "PUT /v1/installations/:uuid": {
    access: "admin",
    app: false,
    path: ({ uuid }) => `/v1/installations/${uuid}`,
    body: ({ slug }) => ({ app: slug, organization_id: slug }),
  },
  "GET /v1/installations/:uuid": { access: "read", app: true, organization: "read", path: ({ uuid }) => `/v1/installations/${uuid}` },
  "DELETE /v1/installations/:uuid": {
    access: "admin",
    app: false,
    path: () => `/v1/installations/${THROW_AWAY}`,
    before: throwAwayInstallation,
  },
  "PATCH /v1/installations/:uuid": {
    access: "admin",
    app: false,
    organization: "manage",
    path: ({ uuid }) => `/v1/installations/${uuid}`,
    body: () => ({ project_ids: [] }),
  },
  "POST /v1/installations": {
    access: "admin",
    app: false,
    path: () => "/v1/installations",
    body: ({ slug }) => ({ app: slug, organization_id: "posted", allow_duplicate: true }),
  },
  "GET /v1/invalid-records": { access: "read", app: false, path: () => "/v1/invalid-records" },
  "GET /v1/installations": {
    access: "read",
    app: true,
    organization: "read",
    path: ({ slug }) => `/v1/installations?app=${slug}&organization_id=${slug}`,
  },
  "POST /v1/installations/:uuid/enable": {
    access: "admin",
    app: false,
    organization: "manage",
    path: ({ uuid }) => `/v1/installations/${uuid}/enable`,
  },
  "POST /v1/installations/:uuid/disable": {
    access: "admin",
    app: false,
    organization: "manage",
    path: ({ uuid }) => `/v1/installations/${uuid}/disable`,
    after: ({ uuid }) => call("POST", `/v1/installations/${uuid}/enable`, ADMIN),
  },
  "POST /v1/installations/:uuid/discard": { access: "admin", app: false, path: () => `/v1/installations/${DISABLED}/discard` },
  "POST /v1/events": {
    access: "admin",
    app: false,
    path: () => "/v1/events",
    body: () => ({ type: "issue.created", organization_id: "nobody", data: {} }),
  },
  "GET /v1/apps/:slug/webhook-requests": {
    access: "read",
    app: true,
    organization: "read",
    path: (target) => `${ofApp(target)}/webhook-requests`,
  },
  "POST /v1/apps/:slug/test": { access: "admin", app: true, path: (target) => `${ofApp(target)}/test` },
  "GET /v1/dead-letters": { access: "read", app: true, organization: "read", path: ({ slug }) => `/v1/dead-letters?app=${slug}` },
  "DELETE /v1/dead-letters": {
    access: "admin",
    app: false,
    path: ({ slug }) => `/v1/dead-letters?app=${slug}&end=2026-01-01`,
  },
  "GET /v1/dead-letters/:sequence": {
    access: "read",
    app: true,
    organization: "read",
    path: ({ sequence }) => `/v1/dead-letters/${sequence}`,
  },
  "DELETE /v1/dead-letters/:sequence": {
    access: "admin",
    app: false,
    path: ({ sequence }) => `/v1/dead-letters/${sequence}`,
    // The other rows need one, too.
    before: () => call("POST", "/v1/events", ADMIN, { type: "issue.created", organization_id: "own", data: {} }),
  },
  "POST /v1/dead-letters/:sequence/replay": {
    access: "admin",
    app: true,
    organization: "act",
    path: ({ sequence }) => `/v1/dead-letters/${sequence}/replay`,
  },
  "POST /v1/dead-letters/replay": {
    access: "admin",
    app: true,
    organization: "act",
    path: () => "/v1/dead-letters/replay",
    body: ({ slug }) => ({ app: slug, dry_run: true }),
  },
  "POST /v1/replays": {
    access: "admin",
    app: true,
    organization: "act",
    path: () => "/v1/replays",
    body: ({ slug, uuid }) => ({ app: slug, installation_uuid: uuid, what: "failed", dry_run: true }),
  },
  "GET /v1/replays": { access: "read", app: true, organization: "read", path: ({ slug }) => `/v1/replays?app=${slug}` },
  "GET /v1/replays/:id": { access: "read", app: true, organization: "read", path: ({ sending }) => `/v1/replays/${sending}` },
  "POST /v1/replays/:id/pause": { access: "admin", app: true, organization: "act", path: ({ sending }) => `/v1/replays/${sending}/pause` },
  "POST /v1/replays/:id/resume": {
    access: "admin",
    app: true,
    organization: "act",
    path: ({ sending }) => `/v1/replays/${sending}/resume`,
  },
  "POST /v1/replays/:id/cancel": {
    access: "admin",
    app: true,
    organization: "act",
    path: ({ sending }) => `/v1/replays/${sending}/cancel`,
  },
  "GET /v1/dead-letters/replays/:id": {
    access: "read",
    app: true,
    organization: "read",
    path: ({ replay }) => `/v1/dead-letters/replays/${replay}`,
  },
  "POST /v1/deliveries/:id/resend": {
    access: "admin",
    app: true,
    organization: "act",
    path: ({ delivery }) => `/v1/deliveries/${delivery}/resend`,
  },
  "GET /v1/apps/:slug/stats": { access: "read", app: true, path: (target) => `${ofApp(target)}/stats` },
  "GET /v1/apps/:slug/overview": { access: "read", app: true, path: (target) => `${ofApp(target)}/overview` },
  "GET /v1/apps/:slug/overview/live": { access: "read", app: true, path: (target) => `${ofApp(target)}/overview/live` },
  "GET /v1/apps/:slug/installations": { access: "read", app: true, path: (target) => `${ofApp(target)}/installations` },
  "GET /v1/system": { access: "read", app: false, path: () => "/v1/system" },
  "GET /v1/overview": { access: "read", app: false, path: () => "/v1/overview" },
  "GET /v1/overview/live": { access: "read", app: false, path: () => "/v1/overview/live" },
  "GET /v1/status-events": { access: "read", app: true, organization: "read", path: ({ slug }) => `/v1/status-events?app=${slug}` },
  "GET /v1/audit": { access: "read", app: true, organization: "read", path: ({ slug }) => `/v1/audit?app=${slug}` },
  "GET /v1/session": { access: "read", app: true, organization: "read", isAnyones: true, path: () => "/v1/session" },
  "GET /v1/find": { access: "read", app: true, organization: "read", isAnyones: true, path: ({ slug }) => `/v1/find?q=${slug}` },
  "GET /v1/events": { access: "read", app: false, organization: "read", path: ({ slug }) => `/v1/events?organization_id=${slug}` },
  "GET /v1/event-types": { access: "read", app: false, isAnyones: true, path: () => "/v1/event-types" },
  "GET /v1/deliveries": { access: "read", app: true, organization: "read", path: ({ slug }) => `/v1/deliveries?app=${slug}` },
  "GET /v1/deliveries/:id": { access: "read", app: true, organization: "read", path: ({ delivery }) => `/v1/deliveries/${delivery}` },
  "GET /v1/events/:id": { access: "read", app: true, organization: "read", path: ({ slug }) => `/v1/events/event-${slug}` },
  "GET /v1/installations/:uuid/health": {
    access: "read",
    app: true,
    organization: "read",
    path: ({ uuid }) => `/v1/installations/${uuid}/health`,
  },
  "PUT /v1/apps/:slug/debug-log": { access: "admin", app: false, path: (target) => `${ofApp(target)}/debug-log`, body: () => ({}) },
  "DELETE /v1/apps/:slug/debug-log": { access: "admin", app: false, path: (target) => `${ofApp(target)}/debug-log` },
  "PUT /v1/installations/:uuid/debug-log": {
    access: "admin",
    app: false,
    path: ({ uuid }) => `/v1/installations/${uuid}/debug-log`,
    body: () => ({}),
  },
  "DELETE /v1/installations/:uuid/debug-log": { access: "admin", app: false, path: ({ uuid }) => `/v1/installations/${uuid}/debug-log` },
  "GET /v1/debug-log": { access: "read", app: false, path: () => "/v1/debug-log" },
  "GET /healthz": { access: "open", app: false, path: () => "/healthz" },
  "GET /readyz": { access: "open", app: false, path: () => "/readyz" },
  "GET /metrics": { access: "read", app: false, path: () => "/metrics" },
  "GET /docs/errors.md": { access: "open", app: false, path: () => "/docs/errors.md" },
  "GET /openapi.json": { access: "open", app: false, path: () => "/openapi.json" },
};

const THROW_AWAY = randomUUID();
const DISABLED = randomUUID();
const ADMIN = "admin-token-12345";
const READ = "read-token-123456";

let nats: Server;
let redis: Server;
let posthorn: Posthorn;
let receiver: Receiver;
const uuids: Record<string, string> = { own: randomUUID(), other: randomUUID() };
let appToken: string;
let expiredToken: string;

const call = (method: string, path: string, token?: string, body?: unknown) =>
  posthorn.api(method, path, body, token === undefined ? {} : { authorization: `Bearer ${token}` });

const as = (token: string) => (method: string, path: string, body?: unknown) => call(method, path, token, body);

/** One dead letter of the app, which a replay before may just have taken and given up again. */
const letterOf = (slug: string): Promise<{ sequence: number; delivery_id: string }> =>
  eventually(async () => (await call("GET", `/v1/dead-letters?app=${slug}`, ADMIN)).body.items[0]);

/** Only the beginning of an answer that never ends. */
async function statusOf(method: string, path: string, token?: string, body?: unknown): Promise<number> {
  if (!path.endsWith("/live")) return (await call(method, path, token, body)).status;
  const response = await fetch(posthorn.url + path, { headers: token === undefined ? {} : { authorization: `Bearer ${token}` } });
  await response.body?.cancel();
  return response.status;
}

/** A replay that does not end: what it sends is parked, for an installation that is disabled. */
async function endlessReplayOf(slug: string): Promise<string> {
  const { items } = (await call("GET", `/v1/replays?app=${slug}`, ADMIN)).body;
  const found = items.find(({ state, dry_run }: { state: string; dry_run: boolean }) => !dry_run && ["running", "paused"].includes(state));
  if (found !== undefined) return found.id as string;
  const uuid = randomUUID();
  await call("PUT", `/v1/installations/${uuid}`, ADMIN, { app: slug, organization_id: slug, allow_duplicate: true });
  await call("POST", `/v1/installations/${uuid}/disable`, ADMIN);
  return (await call("POST", "/v1/replays", ADMIN, { installation_uuid: uuid, what: "missed" })).body.id as string;
}

async function targetOf(slug: string): Promise<Target> {
  const { sequence } = await letterOf(slug);
  const uuid = uuids[slug] ?? "";
  const { body } = await call("POST", "/v1/dead-letters/replay", ADMIN, { app: slug, installation_uuid: uuid, dry_run: true });
  const sending = await endlessReplayOf(slug);
  return { slug, uuid, sequence, sending, replay: body.replay_id as string, delivery: deliveryIdOf(`event-${slug}`, uuid) };
}

beforeAll(async () => {
  [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver(answer(400))]);
  posthorn = await startPosthornHere({ nats, redis, settings: { POSTHORN_API_TOKENS: `admin:${ADMIN},read:${READ}` } });
  const bus = await connectBus(nats, posthorn.prefix);
  for (const slug of ["own", "other"]) await call("PUT", `/v1/apps/${slug}`, ADMIN, webhook());
  for (const slug of ["own", "other"]) {
    await call("PUT", `/v1/installations/${uuids[slug]}`, ADMIN, { app: slug, organization_id: slug });
    await bus.publish("issue.created", { id: `event-${slug}`, organization_id: slug, data: {} });
    await letterOf(slug);
  }
  await bus.publish("issue.created", { id: "event-past", organization_id: "past", data: {} });
  await call("PUT", `/v1/installations/${DISABLED}`, ADMIN, { app: "own", organization_id: "none", allow_duplicate: true });
  await call("POST", `/v1/installations/${DISABLED}/disable`, ADMIN);
  await bus.close();
  expiredToken = (await call("POST", "/v1/apps/own/tokens", ADMIN, { ttl_s: 1 })).body.token as string;
});
afterAll(async () => {
  expect(await posthorn.end()).toBe(0);
  await Promise.all([nats.stop(), redis.stop(), receiver.stop()]);
});

test("every operation of the served document has a row", async () => {
  const { paths } = (await call("GET", "/openapi.json")).body as { paths: Record<string, Record<string, unknown>> };
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace(/\{([a-z_]+)\}/g, ":$1")}`),
  );
  expect(Object.keys(ROWS).sort()).toEqual(operations.sort());
});

/** What calls are made on, until one of them changes something. */
const targets = new Map<string, Target>();

/** A new one for each call: a rotation of the secret ends those of the app. */
async function tokenOf(kind: "app" | "organization", scope: TokenScope): Promise<string> {
  const path = kind === "app" ? "/v1/apps/own/tokens" : "/v1/organizations/own/tokens";
  return (await call("POST", path, ADMIN, { scope })).body.token as string;
}

const SCOPED = (["app", "organization"] as const).flatMap((kind) => TOKEN_SCOPES.map((scope) => ({ kind, scope })));

describe.each(Object.entries(ROWS))("%s", (name, { access, app, organization, isAnyones, path, body, before, after }) => {
  const method = name.split(" ")[0] ?? "";
  const make = async (slug: string, tokenFor: string | undefined | (() => Promise<string>)): Promise<number> => {
    await before?.();
    const target = targets.get(slug) ?? (await targetOf(slug));
    targets.set(slug, target);
    const token = typeof tokenFor === "function" ? await tokenFor() : tokenFor;
    const status = await statusOf(method, path(target), token, body?.(target));
    await after?.(target);
    if (before !== undefined || after !== undefined || (method !== "GET" && status < 300)) targets.clear();
    return status;
  };

  test(`is ${access === "open" ? "open" : "closed"} without a token and with wrong ones`, async () => {
    await eventually(async () => (await call("GET", "/v1/apps/own", expiredToken)).status === 401);
    const own = await tokenOf("app", "manage");
    for (const token of [undefined, "wrong", `${own}x`, own.replace("own", "other"), own.replace(".m.", ".r."), expiredToken])
      expect(await make("own", token)).toBe(access === "open" ? 200 : 401);
  });

  test(`is ${access === "admin" ? "closed" : "open"} to a read token`, async () => {
    expect(await make("own", READ)).toBe(access === "admin" ? 403 : 200);
  });

  test("is open to an admin token", async () => {
    expect(await make("own", ADMIN)).toBeLessThan(300);
  });

  const needed: Record<"app" | "organization", TokenScope | false> = {
    app: app === true ? (method === "GET" ? "read" : "act") : app,
    organization: organization ?? false,
  };

  test.each(SCOPED)(
    "is closed to a token of the $kind with scope $scope for anything else, and open as the row says",
    async ({ kind, scope }) => {
      const token = () => tokenOf(kind, scope);
      if (access === "open") return expect(await make("own", token)).toBe(200);
      const wanted = needed[kind];
      const own = await make("own", token);
      if (wanted !== false && TOKEN_SCOPES.indexOf(scope) >= TOKEN_SCOPES.indexOf(wanted)) expect(own).toBeLessThan(300);
      else expect(own).toBe(403);
      if (!isAnyones) expect([403, 404]).toContain(await make("other", token));
    },
  );
});

describe("an organization's token", () => {
  let token: string;
  const items = async (path: string): Promise<any[]> => (await call("GET", path, token)).body.items;

  beforeAll(async () => {
    token = await tokenOf("organization", "manage");
    await Promise.all([letterOf("own"), letterOf("other")]);
  });

  test("lists only what is the organization's, also when nothing is named", async () => {
    for (const path of ["/v1/events", "/v1/deliveries", "/v1/apps/own/webhook-requests", "/v1/installations"]) {
      const listed = await items(path);
      expect([path, new Set(listed.map(({ organization_id: id }) => id ?? "own"))]).toEqual([path, new Set(["own"])]);
    }
    const letters = await items("/v1/dead-letters");
    expect(new Set(letters.map(({ event }) => event.organization_id))).toEqual(new Set(["own"]));
    const changes = await items("/v1/status-events");
    expect(new Set(changes.map(({ data }) => data.organization_id))).toEqual(new Set(["own"]));
    const own = new Set((await items("/v1/installations")).map(({ uuid }) => uuid as string));
    expect((await items("/v1/audit")).every(({ installation_uuid: uuid }) => own.has(uuid as string))).toBe(true);
    expect((await items("/v1/audit")).length).toBeGreaterThan(0);
    expect((await items("/v1/replays")).every(({ installation_uuid: uuid }) => own.has(uuid as string))).toBe(true);
    // The app is installed in other organizations, too.
    const all = (await call("GET", "/v1/installations?app=own", ADMIN)).body.items;
    expect(all.length).toBeGreaterThan((await items("/v1/installations?app=own")).length);
    expect((await items(`/v1/deliveries?installation_uuid=${uuids["other"]}`)).length).toBe(0);
  });

  test("explains the organization's events and deliveries, and no others", async () => {
    const [own = "", other = ""] = [uuids["own"], uuids["other"]];
    expect((await call("GET", "/v1/events/event-own", token)).body.event.organization_id).toBe("own");
    const hidden = await call("GET", "/v1/events/event-other", token);
    const unknown = await call("GET", "/v1/events/unheard-of", token);
    expect([hidden.status, hidden.body.detail]).toEqual([404, unknown.body.detail.replace("unheard-of", "event-other")]);
    expect((await call("GET", `/v1/deliveries/${deliveryIdOf("event-own", own)}`, token)).status).toBe(200);
    for (const q of ["other", other, other.slice(0, 8), "event-other", "event-ot", deliveryIdOf("event-other", other)])
      expect((await call("GET", `/v1/find?q=${q}`, token)).body, q).toMatchObject({ items: [] });
    const found = new Set((await items("/v1/find?q=event-")).map(({ organization_id: id }) => id as string));
    expect(found).toEqual(new Set(["own"]));
    expect((await items("/v1/find?q=own")).map(({ kind }) => kind)).not.toContain("app");
  });

  test("replays for its installations only, and names one", async () => {
    const replay = (body: object) => call("POST", "/v1/replays", token, { what: "failed", dry_run: true, ...body });
    expect((await replay({ app: "own" })).body.errors).toEqual([
      { path: "installation_uuid", message: "missing, wanted an installation of the organization" },
    ]);
    expect((await replay({ installation_uuid: uuids["other"] })).status).toBe(404);
    expect((await replay({ installation_uuid: uuids["own"] })).status).toBe(201);
    expect((await call("POST", "/v1/dead-letters/replay", token, { app: "other" })).status).toBe(403);
    expect((await call("POST", "/v1/dead-letters/replay", token, { installation_uuid: uuids["other"] })).status).toBe(404);
    // A delivery that an earlier test replayed may be given up meanwhile.
    await eventually(
      async () => (await replayDeadLetters(as(token), { dry_run: true })).matched === (await items("/v1/dead-letters")).length,
    );
  });

  test("does not move an installation to another organization", async () => {
    expect((await call("GET", "/v1/installations?organization_id=other", token)).status).toBe(403);
    expect((await call("PATCH", `/v1/installations/${uuids["own"]}`, token, { organization_id: "other" })).status).toBe(403);
    expect((await call("PATCH", `/v1/installations/${uuids["own"]}`, token, { project_ids: ["7"] })).body.project_ids).toEqual(["7"]);
    await call("PATCH", `/v1/installations/${uuids["own"]}`, ADMIN, { project_ids: [] });
  });

  test("does not see the secret parts of a URL", async () => {
    const uuid = randomUUID();
    const url = `${receiver.url}/?key=hunter2`;
    await call("PUT", `/v1/installations/${uuid}`, ADMIN, { app: "other", organization_id: "own", webhook_url: url });
    expect(JSON.stringify((await call("GET", `/v1/installations/${uuid}`, token)).body)).not.toContain("hunter2");
    expect((await call("DELETE", `/v1/installations/${uuid}`, ADMIN)).status).toBe(204);
  });
});

describe("an app's token", () => {
  beforeAll(async () => {
    appToken = await tokenOf("app", "act");
  });

  test("sees only the app's dead letters, also when none are named", async () => {
    await Promise.all([letterOf("own"), letterOf("other")]);
    const seen = async () => (await call("GET", "/v1/dead-letters", appToken)).body.items as Array<{ app: string }>;
    expect(new Set((await seen()).map(({ app }) => app))).toEqual(new Set(["own"]));
    // A delivery that an earlier test replayed may be given up meanwhile.
    await eventually(async () => (await replayDeadLetters(as(appToken), { dry_run: true })).matched === (await seen()).length);
  });

  test("sees an event that its app wanted, without the other apps, and no other event or delivery", async () => {
    // Both apps want the first event; only the other app wants the second one.
    const shared = randomUUID();
    await call("PUT", `/v1/installations/${shared}`, ADMIN, { app: "own", organization_id: "shared" });
    await call("PUT", `/v1/installations/${randomUUID()}`, ADMIN, { app: "other", organization_id: "shared" });
    const event = { type: "issue.created", id: "both", organization_id: "shared", data: { n: 1 } };
    await call("POST", "/v1/events", ADMIN, event);
    await call("POST", "/v1/events", ADMIN, { ...event, id: "theirs", app: "other" });
    const whole = await eventually(async () => {
      const { body } = await call("GET", "/v1/events/both", ADMIN);
      return body.deliveries?.every(({ state }: { state: string }) => state === "dead_letter") && body;
    });
    expect(whole.deliveries).toHaveLength(2);
    const { body } = await call("GET", "/v1/events/both", appToken);
    expect(body.event.data).toEqual({ n: 1 });
    expect(body.deliveries.map((delivery: { app: string }) => delivery.app)).toEqual(["own"]);
    expect(JSON.stringify(body)).not.toContain('other"');
    const theirs = await call("GET", "/v1/events/theirs", appToken);
    expect([theirs.status, theirs.body.detail]).toEqual([404, "no event theirs that an installation of app own wanted"]);
    const unknown = await call("GET", "/v1/events/unheard-of", appToken);
    expect(unknown.body.detail).toBe(theirs.body.detail.replace("theirs", "unheard-of"));
    expect((await call("GET", "/v1/events/both?app=other", appToken)).status).toBe(403);
    const ofOther = whole.deliveries.find(({ app }: { app: string }) => app === "other").delivery_id as string;
    const hidden = await call("GET", `/v1/deliveries/${ofOther}`, appToken);
    const missing = await call("GET", `/v1/deliveries/dlv_${"0".repeat(32)}`, appToken);
    expect([hidden.status, hidden.body.detail.replace(ofOther, "")]).toEqual([404, missing.body.detail.replace(/dlv_0+/, "")]);
  });

  test("finds and lists nothing of another app", async () => {
    await Promise.all([letterOf("own"), letterOf("other")]);
    const uuid = uuids["other"] ?? "";
    const delivery = deliveryIdOf("event-other", uuid);
    const { trace_id: trace } = (await call("GET", `/v1/deliveries/${delivery}`, ADMIN)).body.delivery;
    for (const q of ["other", uuid, uuid.slice(0, 8), "event-other", "event-ot", delivery, delivery.slice(0, 14), trace as string]) {
      expect((await call("GET", `/v1/find?q=${q}`, ADMIN)).body.items, q).not.toEqual([]);
      expect((await call("GET", `/v1/find?q=${q}`, appToken)).body, q).toMatchObject({ items: [] });
    }
    const ofApp = async (q: string): Promise<string[]> =>
      (await call("GET", `/v1/find?q=${q}`, appToken)).body.items.map(
        (item: { kind: string; app: string | null }) => `${item.kind} ${item.app}`,
      );
    expect(new Set(await ofApp("event-"))).toEqual(new Set(["delivery own"]));
    expect(await ofApp("event-own")).toEqual(["event null"]);
    for (const query of [`installation_uuid=${uuid}`, "event_id=event-other", "event_id=theirs"])
      expect((await call("GET", `/v1/deliveries?${query}`, appToken)).body.items, query).toEqual([]);
    const { items } = (await call("GET", "/v1/deliveries", appToken)).body;
    expect(new Set(items.map(({ app }: { app: string }) => app))).toEqual(new Set(["own"]));
    expect((await call("GET", "/v1/deliveries?event_id=both", appToken)).body.items).toHaveLength(1);
  });

  test("shows nothing of an earlier app with the same slug", async () => {
    await call("PUT", "/v1/apps/twice", ADMIN, webhook());
    const uuid = randomUUID();
    await call("PUT", `/v1/installations/${uuid}`, ADMIN, { app: "twice", organization_id: "twice" });
    await call("POST", "/v1/events", ADMIN, { type: "issue.created", id: "before", organization_id: "twice", data: {} });
    await letterOf("twice");
    await call("DELETE", "/v1/apps/twice", ADMIN);
    await eventually(async () => (await call("PUT", "/v1/apps/twice", ADMIN, webhook())).status === 201);
    await call("PUT", `/v1/installations/${uuid}`, ADMIN, { app: "twice", organization_id: "twice" });
    await eventually(async () => (await call("GET", "/v1/deliveries?app=twice", ADMIN)).body.items.length === 1);
    const token = (await call("POST", "/v1/apps/twice/tokens", ADMIN)).body.token as string;
    expect((await call("GET", "/v1/deliveries", token)).body.items).toEqual([]);
    expect((await call("GET", "/v1/find?q=befor", token)).body.items).toEqual([]);
    expect((await call("GET", "/v1/find?q=before", token)).body.items).toEqual([]);
    expect((await call("GET", "/v1/events/before", token)).status).toBe(404);
    expect((await call("GET", `/v1/deliveries/${deliveryIdOf("before", uuid)}`, token)).status).toBe(404);
  });

  test("replays the app's alone", async () => {
    await Promise.all([letterOf("own"), letterOf("other")]);
    const before = await letterOf("other");
    expect(await replayDeadLetters(as(appToken), {})).toMatchObject({ replayed: expect.any(Number), skipped: 0 });
    expect((await call("GET", `/v1/dead-letters/${before.sequence}`, ADMIN)).body).toEqual(before);
  });

  test("ends when the client secret is replaced", async () => {
    const { token, expires_at } = (await call("POST", "/v1/apps/other/tokens", ADMIN, { ttl_s: 600 })).body;
    expect(Date.parse(expires_at as string) - Date.now()).toBeGreaterThan(590_000);
    expect((await call("GET", "/v1/apps/other", token)).status).toBe(200);
    await call("POST", "/v1/apps/other/secret/rotate", ADMIN);
    expect((await call("GET", "/v1/apps/other", token)).status).toBe(401);
  });

  test("can't be had for an app that is not there, or for longer than the setting says", async () => {
    expect((await call("POST", "/v1/apps/nobody/tokens", ADMIN)).status).toBe(404);
    expect((await call("POST", "/v1/apps/own/tokens", ADMIN, { ttl_s: 86_401 })).body.errors).toEqual([
      { path: "ttl_s", message: "found 86401, wanted at most 86400 (POSTHORN_APP_TOKEN_MAX_TTL)" },
    ]);
  });

  test("changes what belongs to the app's developer, and nothing else of the app", async () => {
    const manage = await tokenOf("app", "manage");
    const before = (await call("GET", "/v1/apps/own", ADMIN)).body;
    const changed = await call("PATCH", "/v1/apps/own", manage, { events: ["issue"], headers: { "X-Team": "blue" } });
    expect([changed.status, changed.body.events, changed.body.headers]).toEqual([200, ["issue"], { "X-Team": "[redacted]" }]);
    for (const patch of [
      { status: "published" },
      { max_in_flight: 1 },
      { name: "x", events: [] },
      { client_secret: "a".repeat(64) },
      { constructor: 1 },
    ])
      expect((await call("PATCH", "/v1/apps/own", manage, patch)).status, JSON.stringify(patch)).toBeGreaterThanOrEqual(400);
    const after = (await call("PATCH", "/v1/apps/own", ADMIN, { events: ["*"], headers: null })).body;
    expect({ ...after, updated_at: null }).toEqual({ ...before, updated_at: null });
  });

  test("has the app's own status events alone", async () => {
    await call("POST", `/v1/installations/${uuids["other"]}/disable`, ADMIN);
    await call("POST", `/v1/installations/${DISABLED}/enable`, ADMIN);
    await call("POST", `/v1/installations/${DISABLED}/disable`, ADMIN);
    await call("POST", `/v1/installations/${uuids["other"]}/enable`, ADMIN);
    const { items } = await eventually(async () => {
      const { body } = await call("GET", "/v1/status-events?topics=integration", appToken);
      return body.items.length > 0 && body;
    });
    expect(new Set(items.map(({ data }: { data: { app: string } }) => data.app))).toEqual(new Set(["own"]));
  });

  test("ends an open stream of events with its time", async () => {
    // Time enough to begin with it.
    const { token } = (await call("POST", "/v1/apps/own/tokens", ADMIN, { ttl_s: 4 })).body;
    const response = await fetch(`${posthorn.url}/v1/apps/own/overview/live`, { headers: { authorization: `Bearer ${token}` } });
    expect(response.status).toBe(200);
    // Resolves when the stream ends, by a reset as well.
    await response.text().catch(() => "");
    // A timer may be some milliseconds early.
    await eventually(async () => (await call("GET", "/v1/apps/own", token)).status === 401);
  });
});

describe("a portal link", () => {
  test("contains a token of its scope, which ends with it", async () => {
    const before = Date.now();
    const made = await call("POST", "/v1/portal-links", ADMIN, { app: "own", scope: "manage", expires_in: "2h", name: "Robin" });
    expect(made.status).toBe(201);
    const url = new URL(made.body.url as string);
    expect([url.origin, url.pathname]).toEqual([posthorn.url, "/"]);
    const token = new URLSearchParams(url.hash.split("?")[1]).get("token") ?? "";
    const session = (await call("GET", "/v1/session", token)).body;
    expect(session).toMatchObject({ scope: "app", app: "own", may: ["read", "act", "manage"], name: "Robin (app own)" });
    expect(session.expires_at).toBe(made.body.expires_at);
    expect(Math.abs(Date.parse(session.expires_at as string) - before - 7_200_000)).toBeLessThan(60_000);
    const ofOrganization = (await call("POST", "/v1/portal-links", ADMIN, { organization_id: "own", expires_in: 60 })).body;
    const other = new URLSearchParams(new URL(ofOrganization.url as string).hash.split("?")[1]).get("token") ?? "";
    expect((await call("GET", "/v1/session", other)).body).toMatchObject({ scope: "organization", organization_id: "own", may: ["read"] });
  });

  test.each([
    [{}, "app", 400],
    [{ app: "own", organization_id: "own" }, "app", 400],
    [{ app: "own", expires_in: "2 hours" }, "expires_in", 400],
    [{ app: "own", expires_in: 0 }, "expires_in", 400],
    [{ app: "own", expires_in: "30d" }, "expires_in", 400],
    [{ app: "own", scope: "admin" }, "scope", 400],
    [{ app: "nobody" }, undefined, 404],
  ])("with %j is refused", async (body, path, status) => {
    const answered = await call("POST", "/v1/portal-links", ADMIN, body);
    expect([answered.status, answered.body.errors?.[0]?.path]).toEqual([status, path]);
  });
});
