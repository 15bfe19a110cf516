import { describe, expect, test } from "vitest";
import { createCheckAccess } from "../../../src/api/access.ts";
import { documentedRoutes } from "../../../src/api/routes.ts";

const check = createCheckAccess([
  { scope: "admin", token: "a-token" },
  { scope: "read", token: "r-token" },
]);

const tokens = { none: undefined, wrong: "Bearer x", noBearer: "Basic a-token", read: "Bearer r-token", admin: "bearer a-token" };

function may(access: "open" | "read" | "admin", authorization: string | undefined): string {
  try {
    check(access, authorization);
    return "yes";
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test.each([
  ["open" as const, { none: "yes", wrong: "yes", noBearer: "yes", read: "yes", admin: "yes" }],
  ["read" as const, { none: "UNAUTHORIZED", wrong: "UNAUTHORIZED", noBearer: "UNAUTHORIZED", read: "yes", admin: "yes" }],
  ["admin" as const, { none: "UNAUTHORIZED", wrong: "UNAUTHORIZED", noBearer: "UNAUTHORIZED", read: "FORBIDDEN", admin: "yes" }],
])("a call for %s", (access, wanted) => {
  expect(Object.fromEntries(Object.entries(tokens).map(([name, authorization]) => [name, may(access, authorization)]))).toEqual(wanted);
});

test("without any tokens everything is open", () => {
  expect(() => createCheckAccess([])("admin", undefined)).not.toThrow();
});

describe("the routes", () => {
  const routes = documentedRoutes();

  test("that change something want an admin token, and those that show something at least a read token", () => {
    const open = routes.filter(({ access }) => access === "open").map(({ url }) => url);
    expect(open).toEqual(["/healthz", "/readyz", "/openapi.json"]);
    for (const { method, url, access } of routes) if (method !== "GET") expect([url, access]).toEqual([url, "admin"]);
  });
});
