/**
 * /openapi.json and the service held to each other: requests that the document allows and requests that it does not are made
 * from the document itself, and each answer has to be one that it promises.
 */
import { randomUUID } from "node:crypto";
import { request as httpRequest } from "node:http";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { fromSchema, type Schema, type SchemaOptions } from "../support/from-schema.ts";
import { cases } from "../support/fuzz.ts";
import { createDocumentChecker, type DocumentChecker, type OpenApiDocument } from "../support/openapi.ts";
import { type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required: boolean;
  readonly schema: Schema;
}

interface Operation {
  readonly method: string;
  readonly template: string;
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<Record<string, unknown>>;
}

interface Request {
  readonly path: Readonly<Record<string, unknown>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly body: unknown;
}

/** A relation between members, to what there is in the world, or to a setting, that no schema can say. */
const RELATED: ReadonlySet<string> = new Set([
  "start",
  "from",
  "slug",
  "uuid",
  "app",
  "webhook_url",
  "rate_limit.per_s",
  "order_by",
  "ttl_s",
  "expires_in",
]);
/** Words of libraries, and of what they are made of. */
const DIALECT =
  /Invalid input|Invalid option|Unrecognized key|expected .+ received|Too (?:small|big)|^path: |zod|ioredis|enableOfflineQueue|writeable|WRONGTYPE|NatsError|FST_|\bKV\b|\bundefined\b|\bNaN\b|\[object |node_modules|is not a function|Cannot read|\.ts:\d/;

let nats: Server;
let redis: Server;
let receiver: Receiver;
let posthorn: Posthorn;
let document: DocumentChecker;
let operations: readonly Operation[];
let options: SchemaOptions;
const admin = { authorization: "Bearer admin-token-12345" };
const ajv = new Ajv2020({ strict: false, logger: false });

beforeAll(async () => {
  [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver(answer(400, "no"))]);
  posthorn = await startPosthornHere({
    nats,
    redis,
    settings: { POSTHORN_API_TOKENS: "admin:admin-token-12345", POSTHORN_HTTP_RATE_LIMIT: "100000000" },
  });
  const served = (await posthorn.api("GET", "/openapi.json")).body as OpenApiDocument;
  document = createDocumentChecker(served);
  operations = Object.entries(served.paths).flatMap(([template, calls]) =>
    // A stream of events has no end.
    template.endsWith("/live")
      ? []
      : Object.entries(calls).map(
          ([method, operation]) => ({ method: method.toUpperCase(), template, ...operation }) as unknown as Operation,
        ),
  );
  const uuid = randomUUID();
  await posthorn.api("PUT", "/v1/apps/acme", { webhook_url: receiver.url, events: ["*"] }, admin);
  await posthorn.api("PUT", `/v1/installations/${uuid}`, { app: "acme", organization_id: "42" }, admin);
  await posthorn.api("POST", "/v1/events", { type: "issue.created", id: "evt-1", organization_id: "42", data: {} }, admin);
  await eventually(async () => (await posthorn.api("GET", "/v1/dead-letters", undefined, admin)).body.items.length === 1);
  const { schemas } = (served as unknown as { components: { schemas: Record<string, Schema> } }).components;
  const mostly = (known: unknown, schema: Schema): fc.Arbitrary<unknown> =>
    fc.oneof({ weight: 3, arbitrary: fc.constant(known) }, { weight: 1, arbitrary: fromSchema(schema, { members: {}, definitions: {} }) });
  options = {
    definitions: schemas,
    members: {
      slug: mostly("acme", { type: "string", pattern: "^[a-z0-9]{1,20}$" }),
      app: mostly("acme", { type: "string", pattern: "^[a-z0-9]{1,20}$" }),
      uuid: mostly(uuid, { type: "string", pattern: "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$" }),
      sequence: mostly(1, { type: "integer", minimum: 1 }),
      // Nothing of the outer world is called.
      webhook_url: fc.constant(receiver.url),
    },
  };
});
afterAll(async () => {
  expect(await posthorn.end()).toBe(0);
  await Promise.all([nats.stop(), redis.stop(), receiver.stop()]);
});

const valuesOf = ({ parameters }: Operation, place: Parameter["in"]): fc.Arbitrary<Record<string, unknown>> => {
  const wanted = parameters.filter((parameter) => parameter.in === place);
  // In a path, clients read these as steps, also when they are percent-encoded.
  const canBeSent = (value: unknown): boolean => place !== "path" || (value !== "." && value !== "..");
  const values = wanted.map(
    ({ name, schema }) => [name, (options.members[name] ?? fromSchema(schema, options)).filter(canBeSent)] as const,
  );
  return fc.record(Object.fromEntries(values), { requiredKeys: wanted.filter(({ required }) => required).map(({ name }) => name) });
};

const bodyOf = ({ requestBody }: Operation): fc.Arbitrary<unknown> => {
  const schema = requestBody?.content["application/json"]?.schema;
  return schema === undefined ? fc.constant(undefined) : fromSchema(schema, options);
};

const validRequest = (operation: Operation): fc.Arbitrary<Request> =>
  fc.record({ path: valuesOf(operation, "path"), query: valuesOf(operation, "query"), body: bodyOf(operation) });

function addressOf({ template }: Operation, { path, query }: Request): string {
  const filled = template.replace(/\{([a-z_]+)\}/g, (_, name: string) => encodeURIComponent(String(path[name])));
  const search = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  return search.size === 0 ? filled : `${filled}?${search}`;
}

async function make(operation: Operation, request: Request, headers: Record<string, string> = {}) {
  const { method, responses } = operation;
  const address = addressOf(operation, request);
  const answered = await posthorn.api(method, address, request.body, { ...admin, ...headers });
  const what = `${method} ${address} ${JSON.stringify(request.body)} → ${answered.status} ${JSON.stringify(answered.body)}`;
  document.check(method, address, answered);
  expect(Object.keys(responses), what).toContain(String(answered.status));
  expect(answered.status, what).toBeLessThan(500);
  // What was found is quoted in it.
  if (answered.status >= 400) expect(String(answered.body.detail).replace(/"(?:[^"\\]|\\.)*"/g, '""'), what).not.toMatch(DIALECT);
  return { ...answered, what };
}

test("what the document allows is taken, and answered as it says", { timeout: 600_000 }, async () => {
  for (const operation of operations) {
    await fc.assert(
      fc.asyncProperty(validRequest(operation), async (request) => {
        const { status, body, what } = await make(operation, request);
        if (status !== 400) return;
        const paths = ((body.errors ?? []) as Array<{ path: string }>).map(({ path }) => path);
        expect(paths.length > 0 && paths.every((path) => RELATED.has(path)), what).toBe(true);
      }),
      cases(0.06),
    );
  }
});

const validators = new WeakMap<Schema, ValidateFunction>();

/** Compiling takes longer than the request that it is for. */
function isAllowed(schema: Schema, value: unknown): boolean {
  const validate = validators.get(schema) ?? ajv.compile({ ...schema, components: { schemas: options.definitions }, $defs: undefined });
  validators.set(schema, validate);
  return validate(value) === true;
}

/** Anything that the schema does not allow. */
const violating = (schema: Schema): fc.Arbitrary<unknown> =>
  fc
    .oneof(
      fc.string({ maxLength: 10 }),
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.boolean(),
      fc.constant(null),
      fc.constant([]),
      fc.constant({ a: 1 }),
    )
    .filter((value) => !isAllowed(schema, value));

/** An empty parameter is none that has a value. */
function isAllowedText(schema: Schema, text: string): boolean {
  if (schema.type === "integer") return /^\d{1,15}$/.test(text);
  return text !== "" && isAllowed(schema, text);
}

/** One thing of a good request is made wrong. */
function invalidRequest(operation: Operation): fc.Arbitrary<Request> {
  const good = validRequest(operation);
  const query = operation.parameters.filter((parameter) => parameter.in === "query");
  const schema = operation.requestBody?.content["application/json"]?.schema;
  const resolved = schema?.$ref === undefined ? schema : options.definitions[schema.$ref.split("/").at(-1) ?? ""];
  const { properties = {}, required = [], additionalProperties } = resolved ?? {};
  const ways: Array<fc.Arbitrary<Request>> = [
    fc
      .tuple(good, fc.constantFrom("no_such", "App", "limit[]", "__proto__x"))
      .map(([request, name]) => ({ ...request, query: { ...request.query, [name]: "1" } })),
    ...query.map(({ name, schema: own }) => {
      const wrong = fc
        .oneof(fc.constantFrom("", " ", "1e3", "-1", "null", "\u0000", "a b", "%"), fc.string({ maxLength: 10 }))
        .filter((text) => !isAllowedText(own, text));
      return fc.tuple(good, wrong).map(([request, value]) => ({ ...request, query: { ...request.query, [name]: value } }));
    }),
    ...Object.entries(properties)
      .filter(([, own]) => JSON.stringify(own) !== "{}" && !JSON.stringify(own).includes("$ref"))
      .map(([name, own]) =>
        fc.tuple(good, violating(own)).map(([request, value]) => ({ ...request, body: { ...(request.body as object), [name]: value } })),
      ),
    ...required.map((name) => good.map((request) => ({ ...request, body: { ...(request.body as object), [name]: undefined } }))),
    ...(additionalProperties === false ? [good.map((request) => ({ ...request, body: { ...(request.body as object), no_such: 1 } }))] : []),
    ...(schema === undefined
      ? []
      : [fc.tuple(good, fc.constantFrom("{", "[]", "7", "null", '"text"')).map(([request, body]) => ({ ...request, body }))]),
  ];
  return fc.oneof(...ways);
}

test("what the document doesn't allow is refused, naming what is wrong", { timeout: 600_000 }, async () => {
  for (const operation of operations) {
    await fc.assert(
      fc.asyncProperty(invalidRequest(operation), async (request) => {
        const { status, what } = await make(operation, request);
        expect(status, what).toBe(400);
      }),
      cases(0.1),
    );
  }
});

test("a body of another type, a compressed one and one that is too large are refused as the document says", async () => {
  for (const operation of operations.filter(({ requestBody }) => requestBody !== undefined)) {
    const [request = { path: {}, query: {}, body: {} }] = fc.sample(validRequest(operation), 1);
    const withText = { ...request, body: "text" };
    expect((await make(operation, withText, { "content-type": "text/plain" })).status).toBe(415);
    expect((await make(operation, withText, { "content-encoding": "gzip" })).status).toBe(415);
    expect((await make(operation, { ...request, body: "x".repeat(1_100_000) })).status).toBe(413);
  }
});

test("a method that a path doesn't have is 405 with those that it has, whatever comes with it", async () => {
  const methods = ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "QUERY", "TRACE", "PROPFIND"];
  for (const template of new Set(operations.map((operation) => operation.template))) {
    const own = operations.filter((operation) => operation.template === template);
    const [operation] = own;
    const [request = { path: {}, query: {}, body: undefined }] = operation === undefined ? [] : fc.sample(validRequest(operation), 1);
    const address = operation === undefined ? template : addressOf(operation, { ...request, query: {} });
    for (const method of methods.filter((candidate) => own.every((has) => has.method !== candidate))) {
      const answered = await rawRequest(method, address);
      expect([method, address, answered.status]).toEqual([method, address, 405]);
      expect(answered.allow.toSorted()).toEqual(own.flatMap((has) => (has.method === "GET" ? ["GET", "HEAD"] : [has.method])).sort());
      expect(answered.contentType).toBe("application/problem+json");
    }
  }
});

/** fetch makes no TRACE. */
function rawRequest(method: string, path: string): Promise<{ status: number; allow: string[]; contentType: string | undefined }> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(posthorn.url + path, { method, headers: admin }, (response) => {
      response.resume();
      const { allow = "", "content-type": contentType } = response.headers;
      resolve({ status: response.statusCode ?? 0, allow: allow.split(", "), contentType });
    });
    sent.on("error", reject);
    sent.end();
  });
}
