/** docs/events.md, from the schemas of the events. */
import { EVENT_TYPES, eventJsonSchema, type JsonSchema } from "./event-schemas.ts";

/** How deep members of members have rows of their own. */
const DEPTH = 3;

interface Member {
  readonly path: string;
  readonly form: string;
  readonly about: string;
  readonly isRequired: boolean;
}

/** @param table makes a Markdown table of columns and rows. */
export function eventCatalogue(table: (columns: readonly string[], rows: ReadonlyArray<readonly string[]>) => string): string {
  const resources = Map.groupBy(EVENT_TYPES, (type) => type.split(".")[0] ?? "");
  const sections = [...resources].map(([resource, types]) => {
    const typeRows = types.map((type) => [
      `[\`${type}\`](../examples/payloads/${type}.json)`,
      eventJsonSchema(type).description ?? "",
      `[schema](../schemas/events/${type}.json)`,
    ]);
    return `## ${resource}\n\n${table(["Type", "When", "Webhook body"], typeRows)}\n\n${table(["Member of `data`", "Form", ""], memberRows(types))}\n`;
  });
  return `# The events of Sentry

The ${EVENT_TYPES.length} types of webhooks that Sentry sends to apps today, with a sample of each in
[examples/payloads](../examples/payloads) and a JSON Schema of the whole webhook body in [schemas/events](../schemas/events) (in the
package: \`posthorn/schemas/events/<type>.json\`). Posthorn itself delivers any type, with \`data\` as the publisher wrote it.
[bus.md](bus.md) says how to publish an event, [webhooks.md](webhooks.md) how to receive one.

Publish a sample to try a receiver:

\`\`\`text
npx posthorn publish --example seer.pr_created --organization 42
\`\`\`

${sections.join("\n")}`;
}

/** One row for each member that any of the types has; those that not all have name their types. */
function memberRows(types: readonly string[]): string[][] {
  const found = new Map<string, { readonly member: Member; readonly types: string[] }>();
  for (const type of types) {
    for (const member of membersOf(eventJsonSchema(type).properties?.["data"] ?? {}, "", DEPTH)) {
      const entry = found.get(member.path) ?? { member, types: [] };
      entry.types.push(type);
      found.set(member.path, entry);
    }
  }
  return [...found.values()].map(({ member, types: having }) => {
    const only = having.length === types.length ? "" : `Only ${having.map((type) => `\`${type.split(".")[1]}\``).join(", ")}. `;
    return [`\`${member.path}\``, member.form, `${only}${member.isRequired ? "" : "May be missing. "}${member.about}`.trim()];
  });
}

function membersOf(schema: JsonSchema, prefix: string, depth: number): Member[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, member]) => {
    const path = `${prefix}${name}`;
    const inner = (withoutNull(member)[0] ?? {}) as JsonSchema;
    const nested =
      inner.items?.properties === undefined ? { schema: inner, prefix: `${path}.` } : { schema: inner.items, prefix: `${path}[].` };
    const isRequired = schema.required?.includes(name) ?? false;
    return [
      { path, form: formOf(member), about: member.description ?? "", isRequired },
      ...(depth > 1 ? membersOf(nested.schema, nested.prefix, depth - 1) : []),
    ];
  });
}

const withoutNull = (schema: JsonSchema): readonly JsonSchema[] => (schema.anyOf ?? [schema]).filter(({ type }) => type !== "null");

function formOf(schema: JsonSchema): string {
  const names = (schema.anyOf ?? [schema]).flatMap(({ type = "any", enum: values, format, items }): readonly string[] => {
    if (values !== undefined) return values.map((value) => `\`${value}\``);
    if (type === "array") return [items?.type === undefined ? "array" : `array of ${String(items.type)}s`];
    return [type].flat().map((name) => (name === "string" && format === "date-time" ? "time" : name));
  });
  return [...new Set(names)].join(" or ");
}
