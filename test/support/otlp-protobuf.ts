/** Reads what OTLP exporters send as protobuf into the objects that they send as JSON; what the tests don't look at is skipped. */

type Scalar = "text" | "hex" | "integer" | "fixed64" | "double" | "boolean";
interface Field {
  readonly name: string;
  readonly of: Scalar | Message;
  /** Repeated; numbers are packed. */
  readonly isList?: boolean;
}
type Message = Readonly<Record<number, Field>>;

const list = (name: string, of: Scalar | Message): Field => ({ name, of, isList: true });
const one = (name: string, of: Scalar | Message): Field => ({ name, of });

const VALUE: Message = {
  1: one("stringValue", "text"),
  2: one("boolValue", "boolean"),
  3: one("intValue", "integer"),
  4: one("doubleValue", "double"),
};
const ATTRIBUTE: Message = { 1: one("key", "text"), 2: one("value", VALUE) };
const RESOURCE = one("resource", { 1: list("attributes", ATTRIBUTE) });
const LINK: Message = { 1: one("traceId", "hex"), 2: one("spanId", "hex") };
const SPAN: Message = {
  ...{ 1: one("traceId", "hex"), 2: one("spanId", "hex"), 4: one("parentSpanId", "hex"), 5: one("name", "text") },
  ...{ 6: one("kind", "integer"), 7: one("startTimeUnixNano", "fixed64"), 8: one("endTimeUnixNano", "fixed64") },
  ...{
    9: list("attributes", ATTRIBUTE),
    13: list("links", LINK),
    15: one("status", { 2: one("message", "text"), 3: one("code", "integer") }),
  },
};
const NUMBER: Message = { 4: one("asDouble", "double"), 6: one("asInt", "fixed64"), 7: list("attributes", ATTRIBUTE) };
const DISTRIBUTION: Message = {
  ...{ 4: one("count", "fixed64"), 5: one("sum", "double"), 6: list("bucketCounts", "fixed64"), 7: list("explicitBounds", "double") },
  ...{ 9: list("attributes", ATTRIBUTE) },
};
const METRIC: Message = {
  ...{ 1: one("name", "text"), 2: one("description", "text"), 3: one("unit", "text"), 5: one("gauge", { 1: list("dataPoints", NUMBER) }) },
  7: one("sum", { 1: list("dataPoints", NUMBER), 2: one("aggregationTemporality", "integer"), 3: one("isMonotonic", "boolean") }),
  9: one("histogram", { 1: list("dataPoints", DISTRIBUTION), 2: one("aggregationTemporality", "integer") }),
};
const REQUESTS: Readonly<Record<string, Message>> = {
  "/v1/traces": { 1: list("resourceSpans", { 1: RESOURCE, 2: list("scopeSpans", { 2: list("spans", SPAN) }) }) },
  "/v1/metrics": { 1: list("resourceMetrics", { 1: RESOURCE, 2: list("scopeMetrics", { 2: list("metrics", METRIC) }) }) },
};

export function decodeOtlp(path: string, body: Buffer): object {
  const request = REQUESTS[path];
  if (request === undefined) throw new Error(`found an export to ${path}, wanted ${Object.keys(REQUESTS).join(" or ")}`);
  return decode(body, request);
}

function decode(bytes: Buffer, message: Message): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const { name, isList = false } of Object.values(message)) if (isList) result[name] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes.readUInt8(at++);
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new Error(`found ${bytes.length - at} bytes, wanted ${length}`);
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag & 7;
    const field = message[tag >>> 3];
    const value = wire === 0 ? varint() : take(wire === 1 ? 8 : wire === 5 ? 4 : varint());
    if (field === undefined) continue;
    const { name, of, isList } = field;
    if (!isList) result[name] = scalarOrMessage(value, of);
    else if (typeof of === "object") (result[name] as unknown[]).push(scalarOrMessage(value, of));
    else
      for (let from = 0; from < (value as Buffer).length; from += 8)
        (result[name] as unknown[]).push(scalarOrMessage((value as Buffer).subarray(from, from + 8), of));
  }
  return result;
}

function scalarOrMessage(value: number | Buffer, of: Scalar | Message): unknown {
  if (typeof value === "number") return of === "boolean" ? value === 1 : value;
  if (typeof of === "object") return decode(value, of);
  if (of === "fixed64") return String(value.readBigInt64LE());
  return of === "double" ? value.readDoubleLE() : value.toString(of === "hex" ? "hex" : "utf8");
}
