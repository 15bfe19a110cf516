/** Checks answers against /openapi.json: what the document does not promise is as wrong as what it promises in vain. */
import type { Ajv2020 as Ajv, ValidateFunction } from "ajv/dist/2020.js";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Headers;
}

interface Content {
  readonly content?: Readonly<Record<string, { readonly schema: object; readonly example?: unknown }>>;
  readonly $ref?: string;
}

export interface OpenApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly responses: Readonly<Record<string, Content>> }>>>>;
  readonly components: { readonly responses: Readonly<Record<string, Content>> };
}

export interface DocumentChecker {
  /** @throws Error naming the call and what is wrong with its answer. */
  check(method: string, path: string, answer: Answer): void;
  /** Whether a value has the form of a schema of the document. @returns what is wrong with it, or null. */
  problemWith(schema: object, value: unknown): string | null;
}

export function createDocumentChecker(document: OpenApiDocument): DocumentChecker {
  const ajv: Ajv = new Ajv2020({ strict: false, allErrors: true });
  (formats as unknown as (ajv: Ajv) => void)(ajv);
  // As strict as a reader who believes that the document says all; what may hold more says so.
  ajv.addSchema({ $id: "document", ...(closed(document) as object) });

  // Compiling takes far longer than validating.
  const validators = new WeakMap<object, ValidateFunction>();
  const problemWith = (schema: object, value: unknown): string | null => {
    const validate = validators.get(schema) ?? ajv.compile(referringTo("document", closed(schema)) as object);
    validators.set(schema, validate);
    return validate(value) ? null : ajv.errorsText(validate.errors);
  };

  return {
    problemWith,
    check(method, path, { status, body, headers }) {
      const [pathname = ""] = path.split("?");
      const calls = document.paths[pathname] ?? Object.entries(document.paths).find(([template]) => isAt(template, pathname))?.[1];
      const operation = calls?.[method.toLowerCase()];
      const what = `${method} ${path} → ${status}`;
      const found = operation?.responses[status];
      const promised = found?.$ref === undefined && found !== undefined ? found : document.components.responses["Problem"];
      if (operation === undefined && status !== 404 && status !== 405) throw new Error(`${what}: no such call in the document`);
      if (operation?.responses[status] === undefined && status < 400) throw new Error(`${what}: no such answer in the document`);
      const type = headers.get("content-type")?.split(";")[0];
      const content = promised?.content;
      if (content === undefined) {
        if (body !== "") throw new Error(`${what}: a body where the document promises none`);
        return;
      }
      const form = content[type ?? ""];
      if (form === undefined) throw new Error(`${what}: content type ${type}, the document promises ${Object.keys(content).join(", ")}`);
      const problem = problemWith(form.schema, body);
      if (problem !== null) throw new Error(`${what}: ${problem}\n${JSON.stringify(body)}`);
    },
  };
}

function isAt(template: string, path: string): boolean {
  return new RegExp(`^${template.replace(/\{[a-z_]+\}/g, "[^/]+")}$`).test(path);
}

/** Objects that list their members have no others, unless they say so. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== "object" || value === null) return value;
  const copy = Object.fromEntries(Object.entries(value).map(([key, member]) => [key, closed(member)]));
  return copy["type"] === "object" && "properties" in copy && !("additionalProperties" in copy)
    ? { ...copy, additionalProperties: false }
    : copy;
}

function referringTo(document: string, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => referringTo(document, item));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, key === "$ref" ? `${document}${String(member)}` : referringTo(document, member)]),
  );
}
