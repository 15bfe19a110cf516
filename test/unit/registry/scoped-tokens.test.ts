import { expect, test } from "vitest";
import { createRegistryIndex } from "../../../src/registry/registry-index.ts";
import { createScopedTokens } from "../../../src/registry/scoped-tokens.ts";
import { anApp, SECRET } from "../../support/builders.ts";
import { createManualClock } from "../../support/manual-clock.ts";

function set({ key = Buffer.alloc(32, 1) as Buffer | null } = {}) {
  const clock = createManualClock();
  const index = createRegistryIndex();
  index.putApp(anApp({ slug: "acme" }));
  index.putApp(anApp({ slug: "other" }));
  const signingKey = { current: () => key, get: async () => key ?? Buffer.alloc(32, 1), unreadable: () => [] };
  const tokens = createScopedTokens({ index, signingKey, clock }, { maxTtlMs: 7_200_000 });
  const issue = (app: string, ttlS: number | null) =>
    tokens.issue({ app, organizationId: null, scope: "act", name: null, ttlS, ttlMember: "ttl_s" });
  return { clock, index, tokens, issue, appOf: (token: string) => tokens.read(token)?.app ?? null };
}

test.each([
  { app: "acme", organizationId: null, scope: "read", name: null },
  { app: null, organizationId: "42", scope: "manage", name: "Robin Example" },
  { app: null, organizationId: "ö/../ .\n", scope: "act", name: "ops@example" },
] as const)("a token is read as it was issued: %j", async (about) => {
  const { tokens } = set();
  const { token, expiresAt } = await tokens.issue({ ...about, ttlS: 60, ttlMember: "ttl_s" });
  expect(tokens.read(token)).toEqual({ ...about, expiresAt });
  expect(token).toMatch(/^[\w.-]+$/);
});

test("an organization whose id is an app's slug has other tokens than the app", async () => {
  const { tokens } = set();
  const about = { scope: "manage", name: null, ttlS: 60, ttlMember: "ttl_s" } as const;
  const { token } = await tokens.issue({ app: null, organizationId: "acme", ...about });
  const forged = token.replace(`phorg_${Buffer.from("acme").toString("base64url")}`, "phapp_acme");
  expect([tokens.read(token)?.organizationId, tokens.read(forged)]).toEqual(["acme", null]);
});

test("a token is its app's until it expires", async () => {
  const { issue, appOf, clock } = set();
  const { token, expiresAt } = await issue("acme", 60);
  expect(expiresAt).toBe(clock.now() + 60_000);
  expect(appOf(token)).toBe("acme");
  await clock.advance(59_000);
  expect(appOf(token)).toBe("acme");
  await clock.advance(1_000);
  expect(appOf(token)).toBeNull();
});

test("another replica knows it too", async () => {
  expect(set().appOf((await set().issue("acme", 60)).token)).toBe("acme");
  expect(set({ key: Buffer.alloc(32, 2) }).appOf((await set().issue("acme", 60)).token)).toBeNull();
  expect(set({ key: null }).appOf((await set().issue("acme", 60)).token)).toBeNull();
});

test("it ends with the client secret, and with the app", async () => {
  const { issue, appOf, index } = set();
  const { token } = await issue("acme", 60);
  index.putApp(
    anApp({ slug: "acme", clientSecret: "f".repeat(64), previousSecret: { value: SECRET, validUntil: Number.MAX_SAFE_INTEGER } }),
  );
  expect(appOf(token)).toBeNull();
  index.putApp(anApp({ slug: "acme" }));
  expect(appOf(token)).toBe("acme");
  index.removeApp("acme");
  expect(appOf(token)).toBeNull();
});

test("one that was changed is none", async () => {
  const { issue, appOf } = set();
  const { token } = await issue("acme", 60);
  const [, slug = "", expires = "", signature = ""] = /^phapp_(.*)\.a\.\.(\d+)\.(.*)$/.exec(token) ?? [];
  for (const changed of [
    "",
    "phapp_",
    `phapp_other.a..${expires}.${signature}`,
    `phapp_${slug}.a..${Number(expires) + 1}.${signature}`,
    `phapp_${slug}.a..${expires}.${signature.slice(1)}`,
    `phapp_${slug}.a..${expires}.${signature}A`,
    `phapp_${slug}.a..${expires}.${"A".repeat(43)}`,
    `phapp_${slug}.m..${expires}.${signature}`,
    `phapp_${slug}.x..${expires}.${signature}`,
    `phapp_${slug}.a.YQ.${expires}.${signature}`,
    `phorg_${slug}.a..${expires}.${signature}`,
    `phapp_nobody.a..${expires}.${signature}`,
    `phapp___proto__.a..${expires}.${signature}`,
  ]) {
    expect([changed, appOf(changed)]).toEqual([changed, null]);
  }
});

test("it lives an hour by default, and never longer than the setting", async () => {
  const { issue, clock } = set();
  expect((await issue("acme", null)).expiresAt).toBe(clock.now() + 3_600_000);
  expect((await issue("acme", 7_200)).expiresAt).toBe(clock.now() + 7_200_000);
  await expect(issue("acme", 7_201)).rejects.toMatchObject({
    code: "RECORD_INVALID",
    message: "body: ttl_s: found 7201, wanted at most 7200 (POSTHORN_APP_TOKEN_MAX_TTL)",
  });
  await expect(issue("nobody", 60)).rejects.toMatchObject({ code: "NOT_FOUND" });
});
