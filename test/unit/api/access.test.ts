import { describe, expect, test } from "vitest";
import { createCheckAccess } from "../../../src/api/access.ts";
import { openApi } from "../../../src/api/openapi.ts";
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
    expect(open).toEqual(["/healthz", "/readyz"]);
    for (const { method, url, access } of routes) if (method !== "GET") expect([url, access]).toEqual([url, "admin"]);
  });

  test("are all in the OpenAPI document, with their parameters and bodies", () => {
    const document = openApi(routes, "1.2.3") as {
      openapi: string;
      paths: Record<string, Record<string, { parameters: Array<{ name: string; in: string }>; requestBody?: object }>>;
    };
    expect(document.openapi).toBe("3.1.0");
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(operations.sort()).toEqual(routes.map(({ method, url }) => `${method} ${url.replace(/:([a-z_]+)/g, "{$1}")}`).sort());
    expect(document.paths["/v1/apps/{slug}"]?.["put"]?.parameters.map(({ name, in: place }) => `${place} ${name}`)).toEqual(["path slug"]);
    expect(document.paths["/v1/apps/{slug}"]?.["put"]?.requestBody).toBeDefined();
    expect(document.paths["/v1/apps/{slug}/webhook-requests"]?.["get"]?.parameters.map(({ name }) => name)).toEqual([
      ...["slug", "event_type", "errors_only", "organization_id", "start", "end", "limit"],
    ]);
  });
});
