/** Values that a JSON Schema of /openapi.json allows, as far as that document uses JSON Schema. */
import fc from "fast-check";

export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly not?: { readonly const: unknown };
  readonly pattern?: string;
  readonly minLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly propertyNames?: Schema;
  readonly additionalProperties?: Schema | boolean;
}

export interface SchemaOptions {
  /** By name, for what has to be in the world for a call to do something. */
  readonly members: Readonly<Record<string, fc.Arbitrary<unknown>>>;
  readonly definitions: Readonly<Record<string, Schema>>;
}

const LARGEST = 1_000_000;
/** Taking a pattern apart takes longer than making the values. */
const matching = new Map<string, fc.Arbitrary<string>>();

function textMatching(pattern: string): fc.Arbitrary<string> {
  const known = matching.get(pattern) ?? fc.stringMatching(new RegExp(pattern));
  matching.set(pattern, known);
  return known;
}

export function fromSchema(schema: Schema, options: SchemaOptions): fc.Arbitrary<unknown> {
  const from = (inner: Schema): fc.Arbitrary<unknown> => fromSchema(inner, options);
  if (schema.$ref !== undefined) return from(options.definitions[schema.$ref.split("/").at(-1) ?? ""] ?? {});
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map(from));
  if (schema.not !== undefined) {
    const { not, ...rest } = schema;
    return from(rest).filter((value) => value !== not.const);
  }
  if (typeof schema.type === "object") return fc.oneof(...schema.type.map((type) => from({ ...schema, type })));
  switch (schema.type) {
    case "string":
      return (
        schema.pattern === undefined ? fc.string({ minLength: schema.minLength ?? 0, maxLength: 40 }) : textMatching(schema.pattern)
      ).filter((text) => text.length >= (schema.minLength ?? 0));
    case "integer":
      return fc.integer({ min: schema.minimum ?? -LARGEST, max: Math.min(schema.maximum ?? LARGEST, LARGEST) });
    case "number":
      return fc.double({ min: schema.minimum ?? -LARGEST, max: schema.maximum ?? LARGEST, noNaN: true });
    case "boolean":
      return fc.boolean();
    case "null":
      return fc.constant(null);
    case "array":
      return fc.array(from(schema.items ?? {}), { minLength: schema.minItems ?? 0, maxLength: 3 });
    case "object":
      return fromObject(schema, options);
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}

function fromObject(
  { properties = {}, required = [], propertyNames, additionalProperties }: Schema,
  options: SchemaOptions,
): fc.Arbitrary<unknown> {
  const members = Object.entries(properties).map(([name, schema]) => [name, options.members[name] ?? fromSchema(schema, options)] as const);
  const known = fc.record(Object.fromEntries(members), { requiredKeys: [...required] });
  if (typeof additionalProperties !== "object") return known;
  const names = fromSchema(propertyNames ?? { type: "string", minLength: 1 }, options) as fc.Arbitrary<string>;
  const others = fc.dictionary(names, fromSchema(additionalProperties, options), { maxKeys: 2 });
  return fc.tuple(known, others).map(([named, more]) => ({ ...more, ...named }));
}
