import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type RawEvent, readEvent } from "../../../src/model/event-reader.ts";
import { storedAndRead, UUID } from "../../support/builders.ts";

function raw(body: unknown, headers: Record<string, string> = {}, subject = "issue.created"): RawEvent {
  const [resource = "", action = ""] = subject.split(".");
  return {
    resource,
    action,
    body: Buffer.from(typeof body === "string" ? body : JSON.stringify(body)),
    header: (name) => headers[name],
    fallbackId: "APP_PLATFORM_EVENTS:7",
    storedAt: Date.UTC(2026, 0, 5, 10, 11, 12, 345),
  };
}

function read(...given: Parameters<typeof raw>) {
  const result = readEvent(raw(...given));
  if (!result.ok) throw new Error(result.problem);
  return result.event;
}

function problem(...given: Parameters<typeof raw>): string {
  const result = readEvent(raw(...given));
  if (result.ok) throw new Error("was read");
  return result.problem;
}

const least = { organization_id: "42", data: {} };

describe("a plain event", () => {
  test("needs an organization and data, everything else has its default", () => {
    expect(read(least)).toEqual({
      id: "APP_PLATFORM_EVENTS:7",
      source: null,
      resource: "issue",
      action: "created",
      type: "issue.created",
      organizationId: "42",
      installationUuid: null,
      app: null,
      projectId: null,
      dataJson: "{}",
      actorJson: null,
      occurredAt: "2026-01-05T10:11:12.345Z",
      publishedAt: Date.parse("2026-01-05T10:11:12.345Z"),
      traceparent: null,
      tracestate: null,
    });
  });

  test("takes its id from the body, else from Nats-Msg-Id", () => {
    expect(read({ ...least, id: "evt-1" }, { "nats-msg-id": "m-1" }).id).toBe("evt-1");
    expect(read(least, { "nats-msg-id": "m-1" }).id).toBe("m-1");
  });

  test("keeps ids above 2^53 as they are written", () => {
    expect(read('{"organization_id":12345678901234567890,"project_id":98765432109876543210,"data":{}}')).toMatchObject({
      organizationId: "12345678901234567890",
      projectId: "98765432109876543210",
    });
  });

  test("keeps the text of data and actor", () => {
    const event = read('{"organization_id":"42","data":{ "z":1.0, "a":12345678901234567890 },"actor":{"type":"user","id":71}}');
    expect(event.dataJson).toBe('{"z":1.0,"a":12345678901234567890}');
    expect(event.actorJson).toBe('{"type":"user","id":71}');
  });

  test("narrows to an installation and an app", () => {
    expect(read({ ...least, installation_uuid: UUID.toUpperCase(), app: "acme" })).toMatchObject({ installationUuid: UUID, app: "acme" });
  });

  test("normalizes occurred_at to UTC with milliseconds", () => {
    expect(read({ ...least, occurred_at: "2026-01-05T11:11:12+01:00" }).occurredAt).toBe("2026-01-05T10:11:12.000Z");
  });

  test("continues a valid trace and no other", () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    expect(read(least, { traceparent, tracestate: "a=1" })).toMatchObject({ traceparent, tracestate: "a=1" });
    for (const wrong of [
      "",
      "nonsense",
      `00-${"0".repeat(32)}-b7ad6b7169203331-01`,
      `ff${traceparent.slice(2)}`,
      traceparent.toUpperCase(),
    ]) {
      expect(read(least, { traceparent: wrong, tracestate: "a=1" })).toMatchObject({ traceparent: null, tracestate: null });
    }
  });

  test("leaves out a tracestate that no header can carry, and keeps the trace", () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (const wrong of ["a=é", "a=\u0001", "a=日本", `a=${"x".repeat(511)}`, ""])
      expect(read(least, { traceparent, tracestate: wrong })).toMatchObject({ traceparent, tracestate: null });
  });

  test("ignores members that it does not know", () => {
    expect(read({ ...least, type: "x", shiny: { new: true } }).organizationId).toBe("42");
  });
});

describe("what can't be read is said with member, found and wanted", () => {
  test.each<[string, Parameters<typeof raw>, RegExp]>([
    ["no JSON", ["garbage"], /^body: not valid JSON \(.*\), wanted a JSON object$/],
    ["an empty body", [""], /^body: not valid JSON/],
    ["an array", ["[]"], /^body: found an array, wanted a JSON object$/],
    ["null", ["null"], /^body: found null/],
    ["a missing organization", [{ data: {} }], /^organization_id: missing, wanted a string or an integer$/],
    ["an organization that is null", [{ organization_id: null, data: {} }], /^organization_id: missing/],
    ["an empty organization", [{ organization_id: "", data: {} }], /^organization_id: found 0 characters, wanted at least 1$/],
    [
      "an organization that is an object",
      [{ organization_id: {}, data: {} }],
      /^organization_id: found an object, wanted a string or an integer$/,
    ],
    [
      "an organization that is a fraction",
      [{ organization_id: 1.5, data: {} }],
      /^organization_id: found a number, wanted a string or an integer$/,
    ],
    ["missing data", [{ organization_id: "42" }], /^data: missing, wanted an object$/],
    ["data that is null", [{ organization_id: "42", data: null }], /^data: found null, wanted an object$/],
    ["data that is an array", [{ organization_id: "42", data: [] }], /^data: found an array, wanted an object$/],
    ["data that is a string", [{ organization_id: "42", data: "x" }], /^data: found a string, wanted an object$/],
    ["an installation that is no UUID", [{ ...least, installation_uuid: "7" }], /^installation_uuid: found "7", wanted a UUID$/],
    ["an app that is no slug", [{ ...least, app: "No Slug" }], /^app: found "No Slug", wanted an app slug$/],
    ["an actor that is no object", [{ ...least, actor: "me" }], /^actor: found a string, wanted an object$/],
    ["a time that is none", [{ ...least, occurred_at: "yesterday" }], /^occurred_at: found "yesterday", wanted an RFC 3339 time$/],
    ["a time that is a number", [{ ...least, occurred_at: 7 }], /^occurred_at: found a number, wanted an RFC 3339 time$/],
    [
      "a time without a zone",
      [{ ...least, occurred_at: "2026-01-05T10:11:12" }],
      /^occurred_at: found "2026-01-05T10:11:12", without a time zone, wanted an RFC 3339 time with Z or an offset/,
    ],
    ["a day that does not exist", [{ ...least, occurred_at: "2026-02-30T10:11:12Z" }], /^occurred_at: found .*, not a day of the calendar/],
    [
      "an hour that does not exist",
      [{ ...least, occurred_at: "2026-01-05T24:00:00Z" }],
      /^occurred_at: found .*, wanted an RFC 3339 time of day/,
    ],
    [
      "an id with half a surrogate pair",
      ['{"organization_id":1,"data":{},"id":"a\\ud800"}'],
      /^id: found "a\\ud800" with an unpaired surrogate, wanted well-formed Unicode$/,
    ],
    ["an id with a line break", [{ ...least, id: "a\r\nb" }], /^id: found "a\\r\\nb", wanted no control characters$/],
    [
      "a message id with a control character",
      [least, { "nats-msg-id": "a\u0000" }],
      /^Nats-Msg-Id: found .*, wanted no control characters$/,
    ],
    [
      "an organization with half a surrogate pair",
      ['{"organization_id":"\\udc00","data":{}}'],
      /^organization_id: found .* wanted well-formed Unicode$/,
    ],
    [
      "a resource with a capital",
      [least, {}, "Issue.created"],
      /^resource in the subject: found "Issue", wanted 1 to 64 characters of a-z, 0-9 and _$/,
    ],
    ["an action with a dash", [least, {}, "issue.re-opened"], /^action in the subject: found "re-opened"/],
    ["a resource of 65 characters", [least, {}, `${"a".repeat(65)}.created`], /^resource in the subject/],
  ])("%s", (_what, given, message) => {
    expect(problem(...given)).toMatch(message);
  });

  test("bytes that are no UTF-8", () => {
    const result = readEvent({ ...raw(least), body: Buffer.from([0x7b, 0xff, 0x7d]) });
    expect(result).toEqual({ ok: false, problem: "body: not valid UTF-8, wanted a JSON object" });
  });

  test("nothing makes it throw", () => {
    fc.assert(
      fc.property(
        fc.uint8Array(),
        fc.string(),
        fc.dictionary(fc.constantFrom("ce-specversion", "content-type", "nats-msg-id", "traceparent", "ce-id"), fc.string()),
        (body, subject, headers) => {
          readEvent({ ...raw("", headers, subject), body });
        },
      ),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.constantFrom("id", "organization_id", "data", "actor", "app", "project_id", "occurred_at", "specversion"),
          fc.jsonValue(),
        ),
        (object) => {
          readEvent(raw(object));
          readEvent(raw(object, { "content-type": "application/cloudevents+json" }));
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("limits", () => {
  const limits = { maxBytes: 200, maxHeaders: 2, maxDepth: 4, maxKeys: 6, maxIdLength: 16 };
  const limited = (body: string, { headers = {}, headerCount = 0 } = {}) => {
    const result = readEvent({ ...raw(body, headers), headerCount: () => headerCount }, limits);
    return result.ok ? "read" : result.problem;
  };
  const withData = (data: string): string => `{"organization_id":1,"data":${data}}`;

  test.each<[string, string, string]>([
    ["as deep as allowed", withData('{"a":[{}]}'), "read"],
    ["deeper", withData('{"a":[[{}]]}'), "body: found objects and arrays 5 deep, wanted at most 4"],
    ["deeper, outside of data", '{"organization_id":1,"data":{},"x":[[[[]]]]}', "body: found objects and arrays 5 deep, wanted at most 4"],
    ["brackets in a string", withData('{"a":"[[[[[{{{{\\"[[:::::::"}'), "read"],
    ["as many keys as allowed", withData('{"a":1,"b":{"c":2,"d":3}}'), "read"],
    ["more keys", withData('{"a":1,"b":{"c":2,"d":3,"e":4}}'), "body: found 7 keys, wanted at most 6"],
    ["the same key again and again", withData(`{${'"a":1,'.repeat(9)}"a":1}`), "body: found 12 keys, wanted at most 6"],
    ["a long body", withData(`{"a":"${"x".repeat(200)}"}`), "body: found 237 bytes, wanted at most 200"],
  ])("%s", (_what, body, found) => {
    expect(limited(body)).toBe(found);
  });

  test("of headers", () => {
    expect(limited(withData("{}"), { headerCount: 2 })).toBe("read");
    expect(limited(withData("{}"), { headerCount: 3 })).toBe("headers: found 3, wanted at most 2");
  });

  test.each(["id", "organization_id", "project_id"])("of %s", (member) => {
    const withId = (id: string): string => JSON.stringify({ organization_id: "1", data: {}, [member]: id });
    expect(limited(withId("x".repeat(16)))).toBe("read");
    expect(limited(withId("x".repeat(17)))).toBe(`${member}: found 17 characters, wanted 1 to 16`);
  });

  test("of the message id, which is the event's where it brings none", () => {
    expect(limited(withData("{}"), { headers: { "nats-msg-id": "x".repeat(17) } })).toBe(
      "Nats-Msg-Id: found 17 characters, wanted 1 to 16",
    );
  });

  test("hold for CloudEvents in both modes", () => {
    const body = '{"specversion":"1.0","id":"1","organizationid":"1","data":{"a":[[[]]]}}';
    expect(limited(body, { headers: { "content-type": "application/cloudevents+json" } })).toMatch(/5 deep/);
    expect(limited('{"a":[[[[]]]]}', { headers: { "ce-specversion": "1.0", "ce-id": "1", "ce-organizationid": "1" } })).toMatch(/5 deep/);
  });

  test("are met at once by half a million brackets", () => {
    const body = Buffer.from(withData(`{"a":${"[".repeat(500_000)}${"]".repeat(500_000)}}`));
    const result = readEvent({ ...raw(""), body }, { ...limits, maxBytes: Number.POSITIVE_INFINITY });
    expect(result).toEqual({ ok: false, problem: "body: found objects and arrays 500002 deep, wanted at most 4" });
  });

  test("of a tracestate: what no HTTP header can hold, and more than everybody has to pass on, is dropped", () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    expect(read(least, { traceparent, tracestate: "a=1" }).tracestate).toBe("a=1");
    for (const tracestate of ["", "a=☃", "a=\n", `a=${"x".repeat(511)}`])
      expect(read(least, { traceparent, tracestate })).toMatchObject({ traceparent, tracestate: null });
    const later = `cc${traceparent.slice(2)}`;
    expect(read(least, { traceparent: `${later}-more` }).traceparent).toBe(`${later}-more`);
    for (const wrong of [`${traceparent}-more`, `${later}-${"x".repeat(65)}`, `ff${traceparent.slice(2)}`]) {
      expect(read(least, { traceparent: wrong }).traceparent).toBeNull();
    }
  });
});

describe("names that change objects elsewhere", () => {
  const names = '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"prototype":{"polluted":1.0}}';

  test("are data like any other, and change nothing", () => {
    const event = read(`{"organization_id":"42","__proto__":{"organization_id":"666"},"data":${names},"actor":${names}}`);
    expect(event).toMatchObject({ organizationId: "42", dataJson: names, actorJson: names });
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    expect(storedAndRead(event)).toEqual(event);
  });
});

describe("a CloudEvent", () => {
  const attributes = {
    specversion: "1.0",
    id: "ce-1",
    source: "/shop",
    type: "issue.created",
    time: "2026-01-05T10:11:12Z",
    organizationid: "42",
    installationuuid: UUID,
    appslug: "acme",
    projectid: "7",
  };
  const wanted = {
    id: "ce-1",
    organizationId: "42",
    installationUuid: UUID,
    app: "acme",
    projectId: "7",
    occurredAt: "2026-01-05T10:11:12.000Z",
    dataJson: '{"n":1.0}',
  };

  test("in structured mode has its attributes and data in the body", () => {
    const body = `${JSON.stringify(attributes).slice(0, -1)},"data":{"n":1.0}}`;
    expect(read(body, { "content-type": "application/cloudevents+json; charset=utf-8" })).toMatchObject(wanted);
  });

  test("in binary mode has its attributes in ce- headers, percent-decoded, and its data as the body", () => {
    const headers = Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`ce-${name}`, value]));
    expect(read('{ "n": 1.0 }', { ...headers, "ce-id": "caf%C3%A9", "content-type": "application/json" })).toMatchObject({
      ...wanted,
      id: "café",
    });
  });

  test("in binary mode has its data as it was written", () => {
    const headers = Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`ce-${name}`, value]));
    const body = '{ "b": 1.0, "a": "\\u00e9", "b": 12345678901234567890 }';
    expect(read(body, headers).dataJson).toBe('{"b":1.0,"a":"\\u00e9","b":12345678901234567890}');
  });

  test("has its source as part of what names it", () => {
    const { source, ...without } = { ...attributes, data: {} };
    const structured = { "content-type": "application/cloudevents+json" };
    expect(read({ ...without, source }, structured).source).toBe("/shop");
    expect(read({}, { "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/caf%C3%A9", "ce-organizationid": "1" }).source).toBe("/café");
    expect(problem(without, structured)).toBe("source: missing, wanted the CloudEvents attribute source");
    expect(problem({ ...without, source: "" }, structured)).toBe("source: found 0 characters, wanted 1 to 1024");
    expect(problem({ ...without, source: 7 }, structured)).toBe("source: found a number, wanted a string");
    expect(problem({ ...without, source: "a\nb" }, structured)).toMatch(/^source: found .*, wanted no control characters$/);
    expect(problem({ ...without, source: "x".repeat(1025) }, structured)).toMatch(/^source: found 1025 characters/);
    expect(read({ ...least, source: "/shop" }).source).toBeNull();
  });

  test.each([
    "application/cloudevents+json",
    "application/cloudevents",
    "Application/CloudEvents+JSON; charset=utf-8",
    " application/cloudevents ;charset=utf-8",
    "application/json",
    "text/plain",
  ])("in the body is read under the content type %j", (contentType) => {
    expect(read({ ...attributes, data: {} }, { "content-type": contentType })).toMatchObject({ id: "ce-1", source: "/shop" });
  });

  test("in the body is read without any header, as the SDK for Go publishes it", () => {
    expect(read({ ...attributes, data: { n: 1 } })).toMatchObject({ ...wanted, source: "/shop", dataJson: '{"n":1}' });
    expect(problem({ ...attributes, specversion: "0.3", data: {} })).toBe('specversion: found "0.3", wanted "1.0"');
  });

  test.each([
    "application/cloudevents-batch+json",
    "application/cloudevents-batch",
    "application/cloudevents+avro",
    "application/cloudevents+xml; a=b",
  ])("under %s is refused with what is wanted", (contentType) => {
    expect(problem([attributes], { "content-type": contentType })).toBe(
      `content-type: found ${JSON.stringify(contentType)}, wanted application/cloudevents+json, one event per message`,
    );
  });

  test("has data_base64 that holds a JSON object, its text kept", () => {
    const base64 = (text: string) => ({ ...attributes, data_base64: Buffer.from(text).toString("base64") });
    expect(read(base64('{ "n": 1.0, "a": "é" }')).dataJson).toBe('{"n":1.0,"a":"é"}');
    expect(read({ ...base64("{}"), data: null }).dataJson).toBe("{}");
    expect(problem({ ...base64("{}"), data: {} })).toBe("data_base64: found together with data, wanted one of them");
    expect(problem(base64("[]"))).toBe("data_base64: found an array, wanted a JSON object");
    expect(problem(base64("no"))).toMatch(/^data_base64: not valid JSON/);
    expect(problem({ ...attributes, data_base64: "e30" })).toBe('data_base64: found "e30", wanted base64 of a JSON object');
    expect(problem({ ...attributes, data_base64: {} })).toBe("data_base64: found an object, wanted a string");
    const limits = { maxBytes: 1e6, maxHeaders: 9, maxDepth: 4, maxKeys: 99, maxIdLength: 99 };
    expect(readEvent(raw(base64('{"a":[[[[]]]]}')), limits)).toMatchObject({
      ok: false,
      problem: expect.stringMatching(/^data_base64: found objects and arrays 5 deep/),
    });
  });

  test("continues the trace of its headers, else that of its distributed tracing extension", () => {
    const [ofHop, ofOrigin] = [
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ];
    const extended = { ...attributes, traceparent: ofOrigin, tracestate: "o=1", data: {} };
    expect(read(extended)).toMatchObject({ traceparent: ofOrigin, tracestate: "o=1" });
    expect(read(extended, { traceparent: ofHop })).toMatchObject({ traceparent: ofHop, tracestate: null });
    expect(read(extended, { traceparent: "nonsense", tracestate: "h=1" })).toMatchObject({ traceparent: ofOrigin, tracestate: "o=1" });
    const binary = {
      "ce-specversion": "1.0",
      "ce-id": "1",
      "ce-source": "/",
      "ce-organizationid": "1",
      "ce-traceparent": ofOrigin,
      "ce-tracestate": "o=1",
    };
    expect(read({}, binary)).toMatchObject({ traceparent: ofOrigin, tracestate: "o=1" });
    expect(read({ ...least, traceparent: ofOrigin })).toMatchObject({ traceparent: null });
  });

  test("in binary mode has attributes that are percent-encoded UTF-8", () => {
    const id = (text: string) => [{}, { "ce-specversion": "1.0", "ce-id": text, "ce-source": "/", "ce-organizationid": "1" }] as const;
    expect(read(...id("100%25")).id).toBe("100%");
    expect(read(...id("100%")).id).toBe("100%");
    expect(read(...id("%zz%20")).id).toBe("%zz ");
    expect(problem(...id("%ED%A0%80"))).toBe('ce-id: found "%ED%A0%80", wanted percent-encoded UTF-8');
    expect(problem(...id("a%0D%0Ab"))).toMatch(/^ce-id: found .*, wanted no control characters$/);
  });

  test("is structured where the content type says so, whatever ce- headers say", () => {
    expect(read({ ...attributes, data: { n: 1 } }, { "content-type": "application/cloudevents+json", "ce-specversion": "0.3" }).id).toBe(
      attributes.id,
    );
  });

  test.each<[string, object, Record<string, string>, RegExp]>([
    [
      "another version",
      { ...attributes, specversion: "0.3", data: {} },
      { "content-type": "application/cloudevents+json" },
      /^specversion: found "0.3", wanted "1.0"$/,
    ],
    ["no id", { ...attributes, id: undefined, data: {} }, { "content-type": "application/cloudevents+json" }, /^id: missing/],
    [
      "binary data",
      { ...attributes, data_base64: "AA==" },
      { "content-type": "application/cloudevents+json" },
      /^data_base64: not valid JSON/,
    ],
    ["another version in binary mode", {}, { "ce-specversion": "0.3" }, /^ce-specversion: found "0.3", wanted "1.0"$/],
    ["no organization in binary mode", {}, { "ce-specversion": "1.0", "ce-id": "1" }, /^ce-organizationid: missing/],
    ["no organization in structured mode", { specversion: "1.0", id: "1", data: {} }, {}, /^organizationid: missing/],
    ["a time without a zone", { ...attributes, time: "2026-01-05T10:11:12", data: {} }, {}, /^time: found "2026-01-05T10:11:12", without/],
    ["an unknown form of app", { ...attributes, appslug: "A", data: {} }, {}, /^appslug: found "A", wanted an app slug/],
  ])("with %s can't be read", (_what, body, headers, message) => {
    expect(problem(body, headers)).toMatch(message);
  });
});
