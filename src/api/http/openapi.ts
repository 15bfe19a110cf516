/** /openapi.json: OpenAPI 3.1, generated from the routes and their schemas. */
import { z } from "zod";
import { PARAMETERS } from "../schemas/parameters.ts";
import { problemBody } from "../schemas/problem.ts";
import { type AnswerForm, answer, appScopeOf, type Route, route } from "./route.ts";

interface JsonSchema {
  readonly [keyword: string]: unknown;
}

/** Named schemas, collected while the document is built. */
type Definitions = Map<string, JsonSchema>;

/** Adds the route that answers with the document about all routes. @param isOpen no token is required */
export function withDocument(routes: readonly Route[], version: string, isOpen = false): Route[] {
  let document: object | undefined;
  const all = [
    ...routes,
    route({
      operationId: "getOpenApi",
      method: "GET",
      url: "/openapi.json",
      access: "open",
      summary: "This document.",
      answers: { 200: answer("OpenAPI 3.1", documentForm) },
      handle() {
        document ??= openApi(all, version, isOpen);
        return { status: 200, body: document };
      },
    }),
  ];
  return all;
}

const documentForm = z
  .looseObject({ openapi: z.string() })
  .meta({ id: "OpenApi", description: "An OpenAPI document.", example: { openapi: "3.1.0" } });

export function openApi(routes: readonly Route[], version: string, isOpen = false): object {
  const definitions: Definitions = new Map();
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = pathOf(route);
    paths[path] = {
      ...paths[path],
      [route.method.toLowerCase()]: { ...operation(route, definitions), ...(isOpen ? { security: [] } : {}) },
    };
  }
  const problem = { description: "a problem", content: content(problemBody, "application/problem+json", definitions) };
  return {
    openapi: "3.1.0",
    info: {
      title: "Posthorn",
      version,
      summary: "Webhook delivery for app platforms.",
      description: "Lists are paged: pass `next` as `cursor`. Errors are RFC 9457 problems with a stable `code`.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: ".", description: "The server of this document." }],
    tags: [...new Set(routes.map(tagOf))].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", description: "A token of POSTHORN_API_TOKENS, or one of an app or organization." },
      },
      schemas: Object.fromEntries([...definitions].sort(([a], [b]) => (a < b ? -1 : 1))),
      responses: { Problem: problem },
      headers: {
        ETag: { description: "Changes with the record. For If-Match and If-None-Match.", schema: { type: "string" }, example: '"17"' },
      },
    },
  };
}

/** `/v1/apps/{slug}` */
export function pathOf({ url }: Pick<Route, "url">): string {
  return url.replace(/:([a-z_]+)/g, "{$1}");
}

function tagOf({ url }: Route): string {
  return /^\/v1\/([a-z-]+)/.exec(url)?.[1] ?? "operations";
}

function operation(route: Route, definitions: Definitions): object {
  const {
    operationId,
    access,
    forOrganization = null,
    summary,
    params,
    query,
    headers,
    body,
    rawPatch = false,
    otherBodies = {},
    answers,
    example,
  } = route;
  return {
    operationId,
    summary,
    tags: [tagOf(route)],
    ...(access === "open"
      ? { security: [] }
      : { security: [{ bearer: [] }], "x-scope": access, "x-app-token": appScopeOf(route), "x-organization-token": forOrganization }),
    parameters: [
      ...parameters("path", params, definitions),
      ...parameters("query", query, definitions),
      ...parameters("header", headers, definitions),
      ...preconditions(route),
    ],
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: !body.safeParse(undefined).success,
            content: {
              "application/json": { schema: jsonSchema(body, "input", definitions), example },
              ...(rawPatch && { "application/merge-patch+json": { schema: jsonSchema(body, "input", definitions), example } }),
              ...Object.fromEntries(
                Object.entries(otherBodies).map(([type, schema]) => [
                  type,
                  { schema: jsonSchema(schema, "input", definitions), example: schema.meta()?.["example"] },
                ]),
              ),
            },
          },
        }),
    responses: {
      ...Object.fromEntries(refusals(route).map((status) => [status, { $ref: "#/components/responses/Problem" }])),
      ...Object.fromEntries(Object.entries(answers).map(([status, form]) => [status, response(route, Number(status), form, definitions)])),
      default: { $ref: "#/components/responses/Problem" },
    },
  };
}

/** Statuses that any call of this form can be rejected with. */
function refusals({ method, access, params }: Route): number[] {
  return [
    ...(access === "open" ? [400, 403] : [400, 401, 403]),
    ...(params === undefined ? [] : [404]),
    ...(method === "GET" ? [] : [413, 415]),
    ...(access === "open" ? [431] : [429, 431]),
  ];
}

function response({ record }: Route, status: number, form: string | AnswerForm, definitions: Definitions): object {
  const headers = record && status !== 204 && status < 400 ? { headers: { ETag: { $ref: "#/components/headers/ETag" } } } : {};
  if (typeof form !== "string") {
    return { description: form.about, ...headers, content: content(form.body, form.contentType ?? "application/json", definitions) };
  }
  return {
    description: form,
    ...headers,
    ...(status < 400 ? {} : { content: content(problemBody, "application/problem+json", definitions) }),
  };
}

function content(schema: z.ZodType, type: string, definitions: Definitions): object {
  return { [type]: { schema: jsonSchema(schema, "output", definitions), example: schema.meta()?.["example"] } };
}

function parameters(location: "path" | "query" | "header", schema: z.ZodType | undefined, definitions: Definitions): object[] {
  if (schema === undefined) return [];
  const { properties, required = [] } = jsonSchema(schema, "input", definitions) as {
    properties: Record<string, JsonSchema>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, examples, ...keywords }]) => ({
    name,
    in: location,
    required: location === "path" || required.includes(name),
    description: description ?? PARAMETERS[name] ?? "",
    ...(Array.isArray(examples) ? { example: examples[0] as unknown } : {}),
    schema: keywords,
  }));
}

function preconditions({ record, method }: Route): object[] {
  if (!record) return [];
  const header = (name: string, description: string, example: string, only = {}): object => ({
    name,
    in: "header",
    required: false,
    description,
    example,
    schema: { type: "string", ...only },
  });
  const match = header("If-Match", "The ETag that the record must have; 412 otherwise.", '"17"');
  const noneMatch = header("If-None-Match", "`*`: the record must not exist yet; 412 otherwise.", "*", { pattern: "^\\*$" });
  if (method === "GET") return [header("If-None-Match", "The known ETag; 304 if the record still has it.", '"17"')];
  return method === "PUT" ? [match, noneMatch] : [match];
}

/** @param direction input: before defaults and transformations; output: in an answer */
function jsonSchema(schema: z.ZodType, direction: "input" | "output", definitions: Definitions): JsonSchema {
  const { $schema: _, $defs = {}, ...own } = z.toJSONSchema(schema, { io: direction, unrepresentable: "any" }) as Record<string, unknown>;
  for (const [name, definition] of Object.entries($defs as Record<string, unknown>)) {
    definitions.set(name, tidied(definition, direction) as JsonSchema);
  }
  return tidied(own, direction) as JsonSchema;
}

/** Converts a schema to the terms of the document, without keywords that say nothing to a reader. */
function tidied(value: unknown, direction: "input" | "output"): unknown {
  if (Array.isArray(value)) return value.map((item) => tidied(item, direction));
  if (typeof value !== "object" || value === null) return value;
  const result: Record<string, unknown> = {};
  for (const [keyword, found] of Object.entries(value)) {
    if (keyword === "example") result["examples"] = [found];
    else if (keyword === "$ref") result["$ref"] = String(found).replace("#/$defs/", "#/components/schemas/");
    // `required: false` says it; generators of clients know no default that is an object.
    else if (keyword === "default" && typeof found === "object" && found !== null && !Array.isArray(found)) continue;
    // A later version may add members to answers.
    else if (keyword === "additionalProperties" && direction === "output" && found === false) continue;
    else if (Math.abs(Number(found)) === Number.MAX_SAFE_INTEGER) continue;
    else result[keyword] = keyword === "default" || keyword === "enum" ? found : tidied(found, direction);
  }
  // Without a format, generators choose 32 bits.
  if (result["type"] === "integer") result["format"] ??= "int64";
  if (result["type"] === "number") result["format"] ??= "double";
  return result;
}
