/** posthorn/api against HTTP servers that are not, or not quite, Posthorn. */
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { ApiError, createApiClient } from "../../src/client/api.ts";
import { freePort } from "../support/servers.ts";

const closing: Array<() => void> = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function serving(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const answering = (status: number, type: string, body: string): RequestListener => {
  return (_request, response) => void response.writeHead(status, { "content-type": type }).end(body);
};

const failureOf = (call: Promise<unknown>): Promise<ApiError> =>
  call.then(
    () => Promise.reject(new Error("it did not fail")),
    (error: unknown) => {
      expect(error).toBeInstanceOf(ApiError);
      return error as ApiError;
    },
  );

test("calls keep the path that the URL has, and encode what goes into theirs", async () => {
  const seen: string[] = [];
  const url = await serving((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    response.writeHead(200, { "content-type": "application/json", etag: '"7"' }).end("{}");
  });
  const client = createApiClient({ url: `${url}/hooks/`, token: "t" });
  const { etag } = await client.call("GET /v1/events/{id}", { path: { id: "a/b c?" }, query: { since: "2026-01-05T10:11:12+02:00" } });
  expect(seen).toEqual(["GET /hooks/v1/events/a%2Fb%20c%3F?since=2026-01-05T10%3A11%3A12%2B02%3A00 Bearer t"]);
  expect(etag).toBe('"7"');
});

test("a list is read page by page, and no page that nobody asks for", async () => {
  const seen: string[] = [];
  const url = await serving((request, response) => {
    const cursor = new URL(request.url ?? "", "http://x").searchParams.get("cursor");
    seen.push(String(cursor));
    const page = cursor === null ? { items: [{ slug: "a" }, { slug: "b" }], next: "b" } : { items: [{ slug: "c" }], next: null };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(page));
  });
  const client = createApiClient({ url });
  const slugs: string[] = [];
  for await (const { slug } of client.items("GET /v1/apps")) slugs.push(slug);
  expect([slugs, seen]).toEqual([
    ["a", "b", "c"],
    ["null", "b"],
  ]);
  for await (const { slug } of client.items("GET /v1/apps")) if (slug === "a") break;
  expect(seen).toEqual(["null", "b", "null"]);
});

test.each<[string, RequestListener, string, boolean, RegExp]>([
  [
    "a problem",
    answering(409, "application/problem+json", '{"title":"Conflict","status":409,"detail":"it is so","code":"CONFLICT"}'),
    ...(["CONFLICT", false, /^it is so$/] as const),
  ],
  [
    "a problem with a code of a later version",
    answering(429, "application/problem+json", '{"title":"x","status":429,"detail":"slowly","code":"FROM_THE_FUTURE"}'),
    ...(["API_REFUSED", true, /^slowly$/] as const),
  ],
  [
    "a proxy's page",
    answering(502, "text/html", "<h1>Bad Gateway</h1>"),
    "API_REFUSED",
    true,
    /502 and no answer of Posthorn: check the URL/,
  ],
  ["JSON that is none", answering(200, "application/json", "{"), "API_REFUSED", false, /200 and no answer of Posthorn/],
  ["somebody else's page", answering(200, "text/html", "<h1>Welcome</h1>"), "API_REFUSED", false, /check the URL/],
  [
    "a redirect",
    (_request, response) => void response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
    ...(["API_UNREACHABLE", true, /redirect/] as const),
  ],
])("%s becomes an error with a code", async (_what, listener, code, retryable, message) => {
  const error = await failureOf(createApiClient({ url: await serving(listener) }).call("GET /v1/apps"));
  expect([error.code, error.retryable, error.message]).toEqual([code, retryable, expect.stringMatching(message)]);
});

test("nobody there, and nobody who answers, are distinguished from a refusal", async () => {
  const nobody = await failureOf(createApiClient({ url: `http://127.0.0.1:${await freePort()}` }).call("GET /healthz"));
  expect([nobody.code, nobody.problem, nobody.message]).toEqual(["API_UNREACHABLE", null, expect.stringMatching(/ECONNREFUSED/)]);
  const silent = await failureOf(createApiClient({ url: await serving(() => {}), timeoutMs: 50 }).call("GET /healthz"));
  expect([silent.code, silent.problem]).toEqual(["API_UNREACHABLE", null]);
});

test("a call that is given up says so as fetch does", async () => {
  const url = await serving(() => {});
  const given = new AbortController();
  const call = createApiClient({ url }).call("GET /healthz", { signal: given.signal });
  given.abort();
  await expect(call).rejects.toMatchObject({ name: "AbortError" });
});
