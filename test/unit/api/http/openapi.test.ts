/** /openapi.json as a document. That the service answers as it says is checked end to end. */
import { Validator } from "@seriousme/openapi-schema-validator";
import { expect, test } from "vitest";
import { openApi, pathOf } from "../../../../src/api/http/openapi.ts";
import { documentedRoutes } from "../../../../src/api/routes/all-routes.ts";
import { createDocumentChecker, type OpenApiDocument } from "../../../support/openapi.ts";

interface Content {
  readonly schema: object;
  readonly example?: unknown;
}

interface Operation {
  readonly operationId: string;
  readonly parameters: ReadonlyArray<{
    readonly name: string;
    readonly in: string;
    readonly description?: string;
    readonly schema: object;
    readonly example?: unknown;
  }>;
  readonly requestBody?: { readonly content: Readonly<Record<string, Content>> };
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, Content>> }>>;
}

const document = JSON.parse(JSON.stringify(openApi(documentedRoutes(), "1.2.3"))) as OpenApiDocument;
const { problemWith } = createDocumentChecker(document);
const operations = Object.entries(document.paths).flatMap(([path, calls]) =>
  Object.entries(calls).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation as unknown as Operation] as const),
);

test("the document is valid OpenAPI 3.1", async () => {
  const validator = new Validator();
  expect(await validator.validate(structuredClone(document) as unknown as Record<string, unknown>)).toEqual({ valid: true });
  expect(validator.version).toBe("3.1");
});

test("every route is in it, under an id of its own", () => {
  expect(operations.map(([call]) => call).sort()).toEqual(
    documentedRoutes()
      .map((route) => `${route.method} ${pathOf(route)}`)
      .sort(),
  );
  expect(new Set(operations.map(([, { operationId }]) => operationId)).size).toBe(operations.length);
});

test.each(operations)("%s has the form and an example of what it takes and answers", (call, { parameters, requestBody, responses }) => {
  const answered = Object.entries(responses).filter(([status]) => Number(status) < 400);
  expect(answered.length).toBeGreaterThan(0);
  for (const [status, { content }] of answered) {
    if (status !== "204" && status !== "304") expect(Object.keys(content ?? {}), `${call} → ${status}`).toHaveLength(1);
  }
  const contents = [requestBody, ...Object.values(responses)].flatMap((part) => Object.values(part?.content ?? {}));
  for (const { schema, example } of contents) {
    expect(example, call).toBeDefined();
    expect(problemWith(schema, example), call).toBeNull();
  }
  for (const { name, in: place, schema, example } of parameters) {
    if (place === "path") expect(example, `${call}: ${name}`).toBeDefined();
    if (example !== undefined) expect(problemWith(schema, example), `${call}: ${name}`).toBeNull();
  }
});

test.each(operations)("%s can be called by what a generator makes of it", (_call, { operationId, parameters, requestBody, responses }) => {
  expect(operationId).toMatch(/^[a-z]+[A-Z][A-Za-z]+$/);
  for (const { name, description, schema } of parameters) {
    expect(description, name).toMatch(/^.{5,}$/);
    if (["start", "end", "since"].includes(name)) expect(schema, name).toMatchObject({ format: "date-time" });
  }
  const contents = [requestBody, ...Object.values(responses)].flatMap((part) => Object.entries(part?.content ?? {}));
  for (const [type, { schema }] of contents) if (type.includes("json")) expect(Object.keys(schema), type).toEqual(["$ref"]);
});

test("every named schema has a description, and times say that they are times", () => {
  const { schemas } = document.components as unknown as { schemas: Record<string, { description?: string; properties?: object }> };
  for (const [name, { description, properties = {} }] of Object.entries(schemas)) {
    expect(description, name).toMatch(/^.{5,}$/);
    for (const [member, schema] of Object.entries(properties))
      if (/(?:^|_)(?:at|since|until)$/.test(member) && !/Body$|Patch$|^EventOfSameId/.test(name))
        expect(JSON.stringify(schema), `${name}.${member}`).toContain("date-time");
  }
});
