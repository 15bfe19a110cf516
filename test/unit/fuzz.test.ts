/** Whatever comes in, it is read or refused with a reason: no crash, no hang, nothing changed elsewhere. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ConfigError, loadConfig } from "../../src/config/load-config.ts";
import { SETTINGS } from "../../src/config/settings.ts";
import { createEnvelopeBuilder } from "../../src/delivery/envelope.ts";
import { createAddressGuard } from "../../src/delivery/http/address-guard.ts";
import { readEvent } from "../../src/model/event-reader.ts";
import { jsonExceeds } from "../../src/model/json-limits.ts";
import { measureJson } from "../../src/model/json-text.ts";
import { appBody, installationBody, parseRecord, RecordInvalid } from "../../src/registry/records.ts";
import { bytesOf, storedAndRead, UUID } from "../support/builders.ts";
import { cases, heapBytes, hostileJson, mutated, nothingIsPolluted } from "../support/fuzz.ts";

const LIMITS = { maxBytes: 100_000, maxHeaders: 10, maxDepth: 64, maxKeys: 1_000, maxIdLength: 256 };
const MEMORY_BYTES = 64 * 1024 * 1024;

let heapBefore: number;
beforeAll(() => {
  heapBefore = heapBytes();
});
afterAll(() => {
  expect(nothingIsPolluted()).toBe(true);
  expect(heapBytes() - heapBefore).toBeLessThan(MEMORY_BYTES);
});

describe("events", () => {
  const envelope = createEnvelopeBuilder('{"type":"application"}');
  const members = fc.constantFrom(
    ...["id", "organization_id", "data", "actor", "app", "project_id", "installation_uuid", "occurred_at", "type", "__proto__"],
  );
  const plain = fc
    .array(fc.tuple(members, fc.oneof(hostileJson, fc.constantFrom('"42"', "{}", "null", `"${UUID}"`, '"2026-01-05T10:11:12Z"'))))
    .map((pairs) => `{"organization_id":1,"data":{},${pairs.map(([name, json]) => `"${name}":${json}`).join(",")}}`.replace(",}", "}"));
  const cloudEvent = fc
    .array(
      fc.tuple(fc.constantFrom("id", "time", "organizationid", "appslug", "projectid", "data", "data_base64", "specversion"), hostileJson),
    )
    .map(
      (pairs) =>
        `{"specversion":"1.0","id":"1","source":"/","organizationid":"1","data":{}${pairs.map(([name, json]) => `,"${name}":${json}`).join("")}}`,
    );
  const header = fc.constantFrom(
    ...["content-type", "ce-specversion", "ce-id", "ce-organizationid", "ce-time", "nats-msg-id", "traceparent", "tracestate"],
  );
  const headers = fc.dictionary(
    header,
    fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("1.0", "application/cloudevents+json", "42", "%zz", "%F0%9F", "")),
    { noNullPrototype: true },
  );

  const check = (body: Uint8Array, given: Record<string, string>, subject = "issue.created"): void => {
    const [resource = "", action = ""] = subject.split(".");
    const header = (name: string): string | undefined => (Object.hasOwn(given, name) ? given[name] : undefined);
    const read = readEvent({ resource, action, body, header, fallbackId: "S:1", storedAt: 0 }, LIMITS);
    if (!read.ok) {
      expect(read.problem).toMatch(/^[^:]+: /);
      return;
    }
    const { event } = read;
    expect(storedAndRead(event)).toEqual(event);
    // What is delivered says the same as what was published, and survives every stream.
    const sent = JSON.parse(bytesOf(envelope(event, UUID)).toString()) as { data: unknown };
    const published = JSON.parse(new TextDecoder().decode(body)) as { data: unknown };
    expect(JSON.stringify(sent.data)).toBe(JSON.stringify(header("ce-specversion") === undefined ? published.data : published));
    if (event.tracestate !== null) new Headers({ tracestate: event.tracestate });
  };

  test("of bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.string(), headers, (body, subject, given) => check(body, given, subject)),
      cases(),
    );
  });

  test("of JSON", () => {
    fc.assert(
      fc.property(mutated(plain), headers, (body, given) => check(Buffer.from(body), given)),
      cases(2),
    );
  });

  test("as CloudEvents in the body", () => {
    fc.assert(
      fc.property(mutated(cloudEvent), (body) => check(Buffer.from(body), { "content-type": "application/cloudevents+json" })),
      cases(),
    );
  });

  test("as CloudEvents in headers", () => {
    fc.assert(
      fc.property(hostileJson, headers, (body, given) =>
        check(Buffer.from(body), { "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/", "ce-organizationid": "1", ...given }),
      ),
      cases(),
    );
  });
});

describe("JSON", () => {
  const naive = (value: unknown): { depth: number; keys: number } => {
    if (typeof value !== "object" || value === null) return { depth: 0, keys: 0 };
    const inner = Object.values(value).map(naive);
    const keys = Array.isArray(value) ? 0 : Object.keys(value).length;
    return { depth: 1 + Math.max(0, ...inner.map(({ depth }) => depth)), keys: inner.reduce((sum, part) => sum + part.keys, keys) };
  };

  test("is measured as it is, and held against the limits", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 10 }), fc.nat({ max: 12 }), fc.nat({ max: 40 }), (json, maxDepth, maxKeys) => {
        const measured = naive(JSON.parse(json));
        // A name that is there twice is parsed into one.
        const { depth, keys } = measureJson(json);
        expect(depth).toBeGreaterThanOrEqual(measured.depth);
        expect(keys).toBeGreaterThanOrEqual(measured.keys);
        expect(measureJson(JSON.stringify(JSON.parse(json)))).toEqual(measured);
        expect(jsonExceeds(json, { maxDepth, maxKeys }) === null).toBe(depth <= maxDepth && keys <= maxKeys);
      }),
      cases(),
    );
  });
});

describe("records", () => {
  const record = fc
    .dictionary(
      fc.constantFrom(
        ...["slug", "name", "webhook_url", "status", "events", "headers", "timeout_ms", "retry_schedule_s", "max_in_flight"],
        ...["ordered", "client_secret", "uuid", "app", "organization_id", "project_ids", "__proto__", "constructor"],
      ),
      fc.oneof(
        hostileJson.map((json) => JSON.parse(json) as unknown),
        fc.constantFrom<unknown>("acme", ["*"], "https://x.example", 1, UUID),
      ),
    )
    .map((value) => JSON.parse(JSON.stringify(value)) as unknown);

  test("are taken, or refused with a path for every problem", () => {
    fc.assert(
      fc.property(record, (value) => {
        for (const schema of [appBody, installationBody]) {
          try {
            const taken = parseRecord(schema, value, "record");
            expect(Object.getPrototypeOf(taken)).toBe(Object.prototype);
          } catch (error) {
            if (!(error instanceof RecordInvalid)) throw error;
            expect(error.problems.length).toBeGreaterThan(0);
          }
        }
      }),
      cases(),
    );
  });
});

describe("settings", () => {
  const names = Object.keys(SETTINGS).map((name) => `POSTHORN_${name}`);
  const value = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom("", "0", "-1", "1e9", "10s", "99999999999999d", "1MiB", "999999999MiB", "true", "http", "0.0.0.0", "::1/129", "k1:"),
    fc.constantFrom(
      "tls://x",
      "rediss://x",
      "http://a:b@c",
      "admin:",
      "admin:t",
      "1-70000",
      "443,1-2",
      "/",
      "/etc/hostname",
      "{}",
      "a:".repeat(99),
    ),
  );

  test("are taken, or refused with the name of each, and secrets are never repeated", () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.oneof(
            fc.constantFrom(...names),
            fc.string().map((name) => `POSTHORN_${name}`),
          ),
          value,
        ),
        (environment) => {
          try {
            expect(Object.isFrozen(loadConfig(environment))).toBe(true);
          } catch (error) {
            if (!(error instanceof ConfigError)) throw error;
            for (const problem of error.problems) expect(problem).toMatch(/^POSTHORN_/);
            for (const name of ["API_TOKENS", "ENCRYPTION_KEY", "NATS_URL", "TARGET_PROXY"]) {
              const secret = environment[`POSTHORN_${name}`] ?? "";
              const others = Object.entries(environment).filter(([other]) => other !== `POSTHORN_${name}`);
              if (secret.length < 12 || others.some((pair) => pair.join().includes(secret))) continue;
              expect(error.message).not.toContain(secret);
            }
          }
        },
      ),
      cases(),
    );
  });
});

describe("targets", () => {
  const guard = createAddressGuard([]);
  const part = (n: number, form: number): string => [String(n), `0x${n.toString(16)}`, `0${n.toString(8)}`][form % 3] ?? "";
  /** The list of networks once more, as numbers. */
  const PRIVATE: ReadonlyArray<readonly [first: number, last: number]> = [
    ...([
      [0x00000000, 8],
      [0x0a000000, 8],
      [0x64400000, 10],
      [0x7f000000, 8],
      [0xa9fe0000, 16],
      [0xac100000, 12],
    ] as const),
    ...([
      [0xc0000000, 24],
      [0xc0000200, 24],
      [0xc0586300, 24],
      [0xc0a80000, 16],
      [0xc6120000, 15],
      [0xc6336400, 24],
    ] as const),
    ...([
      [0xcb007100, 24],
      [0xe0000000, 3],
    ] as const),
  ].map(([first, bits]) => [first, first + 2 ** (32 - bits) - 1]);
  const isPublic = (n: number): boolean => !PRIVATE.some(([first, last]) => n >= first && n <= last);
  const near = fc
    .constantFrom(...PRIVATE.flat())
    .chain((edge) => fc.integer({ min: -2, max: 2 }).map((by) => Math.max(0, edge + by) >>> 0));

  test("are judged by the address that they are, however it is written", () => {
    fc.assert(
      fc.property(fc.oneof(fc.nat(0xffffffff), near), fc.array(fc.nat(2), { minLength: 4, maxLength: 4 }), fc.nat(3), (n, forms, dots) => {
        const bytes = [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
        const head = bytes.slice(0, dots).map((byte, at) => part(byte, forms[at] ?? 0));
        const rest = bytes.slice(dots).reduce((sum, byte) => sum * 256 + byte, 0);
        const host = [...head, part(rest, forms[3] ?? 0)].join(".");
        expect([host, guard.refusesUrl(`http://${host}/`) === null]).toEqual([host, isPublic(n)]);
        const dotted = bytes.join(".");
        for (const address of [`::ffff:${dotted}`, `::${dotted}`, `64:ff9b::${dotted}`, `64:ff9b:1::${dotted}`])
          expect([address, guard.refuses(address) === null]).toEqual([address, false]);
        const opened = createAddressGuard(["64:ff9b::/96"]);
        expect([dotted, opened.refuses(`64:ff9b::${dotted}`) === null]).toEqual([dotted, isPublic(n)]);
      }),
      cases(),
    );
  });

  test("outside of 2000::/3 are refused, and no text makes it throw", () => {
    fc.assert(
      fc.property(fc.ipV6(), fc.string({ unit: "binary" }), fc.webUrl(), (address, text, url) => {
        guard.refuses(text);
        guard.refusesUrl(text);
        guard.refusesUrl(`http://${text}/`);
        guard.refusesUrl(url);
        if (guard.refuses(address) === null) expect(new URL(`http://[${address}]/`).hostname).toMatch(/^\[[23][0-9a-f]{3}:/);
      }),
      cases(),
    );
  });
});
