import { describe, expect, test } from "vitest";
import { type AccessToken, createCheckAccess } from "../../../../src/api/http/access.ts";
import { createRateLimit } from "../../../../src/api/http/rate-limit.ts";
import { documentedRoutes } from "../../../../src/api/routes/all-routes.ts";
import type { TokenScope } from "../../../../src/model/token-scope.ts";
import type { ScopedToken } from "../../../../src/registry/scoped-tokens.ts";

const TOKENS: readonly AccessToken[] = [
  { scope: "admin", name: "ops", token: "a-token" },
  { scope: "read", name: null, token: "r-token" },
];

const scoped = (scope: TokenScope, app: string | null, organizationId: string | null = null): ScopedToken => ({
  ...{ app, organizationId, scope },
  ...{ name: null, expiresAt: 1_000 },
});
const SCOPED: ReadonlyMap<string, ScopedToken> = new Map([
  ["acme-token", scoped("act", "acme")],
  ["acme-reads", scoped("read", "acme")],
  ["acme-manages", scoped("manage", "acme")],
  ["org-acts", scoped("act", null, "42")],
]);

function checker({ tokens = TOKENS, callsPerMinute = 1_000, failuresPerMinute = 1_000, now = (): number => 0 } = {}) {
  const check = createCheckAccess({
    tokens,
    readScoped: (token) => SCOPED.get(token) ?? null,
    calls: createRateLimit(callsPerMinute, now),
    failures: createRateLimit(failuresPerMinute, now),
  });
  return (
    access: "open" | "read" | "admin",
    authorization?: string,
    { forApp = false as boolean | TokenScope, forOrganization = null as TokenScope | null, address = "192.0.2.1", headers = {} } = {},
  ) => {
    try {
      const all = { host: "127.0.0.1:8080", ...(authorization === undefined ? {} : { authorization }), ...headers };
      const forScope = forApp === false ? null : forApp === true ? "act" : forApp;
      const { onlyApp, onlyOrganization } = check({ access, forApp: forScope, forOrganization, headers: all, address });
      return onlyApp ?? onlyOrganization ?? "yes";
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
}

const authorizations = {
  none: undefined,
  wrong: "Bearer x",
  noBearer: "Basic a-token",
  read: "Bearer r-token",
  admin: "bearer a-token",
  app: "Bearer acme-token",
};

test.each([
  ["open", false, { none: "yes", wrong: "yes", noBearer: "yes", read: "yes", admin: "yes", app: "yes" }],
  ["read", false, { none: "UNAUTHORIZED", wrong: "UNAUTHORIZED", noBearer: "UNAUTHORIZED", read: "yes", admin: "yes", app: "FORBIDDEN" }],
  ["read", true, { none: "UNAUTHORIZED", wrong: "UNAUTHORIZED", noBearer: "UNAUTHORIZED", read: "yes", admin: "yes", app: "acme" }],
  [
    "admin",
    false,
    { none: "UNAUTHORIZED", wrong: "UNAUTHORIZED", noBearer: "UNAUTHORIZED", read: "FORBIDDEN", admin: "yes", app: "FORBIDDEN" },
  ],
  ["admin", true, { none: "UNAUTHORIZED", wrong: "UNAUTHORIZED", noBearer: "UNAUTHORIZED", read: "FORBIDDEN", admin: "yes", app: "acme" }],
] as const)("a call for %s, for apps too: %s", (access, forApp, wanted) => {
  const may = checker();
  expect(Object.fromEntries(Object.entries(authorizations).map(([name, value]) => [name, may(access, value, { forApp })]))).toEqual(wanted);
});

test.each<[TokenScope, string[]]>([
  ["read", ["acme", "acme", "acme"]],
  ["act", ["FORBIDDEN", "acme", "acme"]],
  ["manage", ["FORBIDDEN", "FORBIDDEN", "acme"]],
])("a call that needs scope %s is open to that scope and those above", (forApp, wanted) => {
  const may = checker();
  expect(["acme-reads", "acme-token", "acme-manages"].map((token) => may("admin", `Bearer ${token}`, { forApp }))).toEqual(wanted);
  // An app's scope is none of an organization.
  expect(may("admin", "Bearer org-acts", { forApp })).toBe("FORBIDDEN");
  expect(may("admin", "Bearer org-acts", { forApp, forOrganization: "act" })).toBe("42");
  expect(may("admin", "Bearer org-acts", { forApp, forOrganization: "manage" })).toBe("FORBIDDEN");
});

describe("without any tokens", () => {
  test("an app's token covers its app alone, and one that has expired nothing", () => {
    const may = checker({ tokens: [] });
    expect(may("admin", "Bearer acme-token", { forApp: true })).toBe("acme");
    expect(may("admin", "Bearer acme-token")).toBe("FORBIDDEN");
    expect(may("admin", "Bearer phapp_acme.m..1.expired", { forApp: true })).toBe("UNAUTHORIZED");
    expect(may("admin", "Bearer something")).toBe("yes");
  });

  const may = checker({ tokens: [] });

  test.each(["127.0.0.1:8080", "127.8.8.8", "localhost:8080", "LOCALHOST", "[::1]:8080"])("everything is open to Host: %s", (host) => {
    expect(may("admin", undefined, { headers: { host } })).toBe("yes");
  });

  test.each([
    { host: "evil.example:8080" },
    { host: "localhost.evil.example" },
    { host: "" },
    { host: "127.0.0.1.evil.example" },
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
    { origin: "https://evil.example" },
    { origin: "null" },
    { origin: "http://127.0.0.1:3000" },
    { origin: "http://localhost:8080" },
    { origin: "https://evil.example", "sec-fetch-site": "none" },
    { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" },
  ])("nothing is open to a foreign page: %j", (headers) => {
    expect(may("admin", undefined, { headers })).toBe("FORBIDDEN");
  });

  test("a page of its own may call", () => {
    expect(may("admin", undefined, { headers: { "sec-fetch-site": "same-origin" } })).toBe("yes");
    expect(may("admin", undefined, { headers: { origin: "http://127.0.0.1:8080", "sec-fetch-site": "same-origin" } })).toBe("yes");
    expect(may("admin", undefined, { headers: { host: "[::1]:8080", origin: "http://[::1]:8080" } })).toBe("yes");
  });

  test("another page may link to the dashboard, not read what is open, and not by another name", () => {
    expect(may("open", undefined, { headers: { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" } })).toBe("yes");
    expect(may("open", undefined, { headers: { "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors" } })).toBe("FORBIDDEN");
    expect(may("open", undefined, { headers: { host: "evil.example" } })).toBe("FORBIDDEN");
  });
});

describe("limits", () => {
  test("are a token's own, and fill again", () => {
    let now = 0;
    const may = checker({ callsPerMinute: 2, now: () => now });
    expect([may("read", "Bearer r-token"), may("read", "Bearer r-token"), may("read", "Bearer r-token")]).toEqual([
      ...["yes", "yes", "RATE_LIMITED"],
    ]);
    expect(may("read", "Bearer a-token")).toBe("yes");
    expect(may("read", "Bearer acme-token", { forApp: true })).toBe("acme");
    now += 30_000;
    expect([may("read", "Bearer r-token"), may("read", "Bearer r-token")]).toEqual(["yes", "RATE_LIMITED"]);
  });

  test("are an address's where no token is asked for", () => {
    const may = checker({ tokens: [], callsPerMinute: 1 });
    expect([may("read"), may("read"), may("read", undefined, { address: "192.0.2.2" })]).toEqual(["yes", "RATE_LIMITED", "yes"]);
  });

  test("of failures hold up nobody with a token", () => {
    const may = checker({ failuresPerMinute: 1 });
    expect([may("read", "Bearer x"), may("read", "Bearer y"), may("read")]).toEqual(["UNAUTHORIZED", "RATE_LIMITED", "RATE_LIMITED"]);
    expect([may("read", "Bearer r-token"), may("read", "Bearer x", { address: "192.0.2.2" })]).toEqual(["yes", "UNAUTHORIZED"]);
  });

  test("never hold up what is open", () => {
    const may = checker({ tokens: [], callsPerMinute: 1 });
    for (let times = 0; times < 10; times++) expect(may("open")).toBe("yes");
  });

  test("say when the next call may come", () => {
    let now = 0;
    const limit = createRateLimit(6, () => now);
    expect(Array.from({ length: 7 }, () => limit.take("a"))).toEqual([0, 0, 0, 0, 0, 0, 10]);
    now += 4_000;
    expect(limit.take("a")).toBe(6);
    now += 6_000;
    expect([limit.take("a"), limit.take("a")]).toEqual([0, 10]);
    // A clock that goes back takes nothing away.
    now -= 60_000;
    expect(limit.take("a")).toBe(10);
  });
});

describe("the routes", () => {
  const routes = documentedRoutes();

  test("that change something want an admin token, and those that show something at least a read token", () => {
    const open = routes.filter(({ access }) => access === "open").map(({ url }) => url);
    expect(open).toEqual(["/healthz", "/readyz", "/docs/errors.md", "/openapi.json"]);
    for (const { method, url, access } of routes) if (method !== "GET") expect([url, access]).toEqual([url, "admin"]);
  });
});
