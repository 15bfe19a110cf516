import { describe, expect, test } from "vitest";
import { appBody, installationBody, parseRecord, RecordInvalid } from "../../../src/registry/records.ts";
import { createSecretBox } from "../../../src/registry/secret-box.ts";
import { SECRET } from "../../support/builders.ts";

function problems(schema: typeof appBody | typeof installationBody, value: unknown): string[] {
  try {
    parseRecord(schema, value, "record");
  } catch (error) {
    if (error instanceof RecordInvalid) return error.problems.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
  throw new Error("was accepted");
}

const app = { webhook_url: "https://hooks.acme.example/in" };

describe("an app", () => {
  test("needs a URL only", () => {
    expect(parseRecord(appBody, app, "app")).toEqual({
      ...app,
      status: "unpublished",
      events: [],
      headers: {},
      ordered: false,
      on_exhausted: "continue",
    });
  });

  test("may be retried without a delay, as POSTHORN_RETRY_SCHEDULE=0s does", () => {
    expect(parseRecord(appBody, { ...app, retry_schedule_s: [0, 0.5] }, "app")).toMatchObject({ retry_schedule_s: [0, 0.5] });
  });

  test.each<[string, object, RegExp]>([
    ["no URL", {}, /^webhook_url: /],
    ["an unknown member", { ...app, webhook: "x" }, /^: unknown member "webhook", wanted slug, name, webhook_url, /],
    ["an unknown status", { ...app, status: "live" }, /^status: .*internal/],
    ["a pattern with a capital", { ...app, events: ["Issue"] }, /^events\.0: found "Issue", wanted \*, <resource>/],
    ["a pattern with three parts", { ...app, events: ["*", "a.b.c"] }, /^events\.1: found "a\.b\.c", wanted/],
    ["a header name with a space", { ...app, headers: { "X Team": "a" } }, /^headers/],
    [
      "a header value with a line break",
      { ...app, headers: { "X-Team": "a\r\nHost: b" } },
      /^headers\.X-Team: found a string of 10 characters, wanted a header value of Latin-1 characters without control/,
    ],
    [
      "a header of a name that objects have",
      { ...app, headers: JSON.parse('{"__proto__":"a"}') },
      /^headers\.__proto__: found the name "__/,
    ],
    ["a header twice", { ...app, headers: { "X-Team": "a", "x-team": "b" } }, /^headers\.x-team: found "X-Team" as well, wanted each/],
    ["a name with a line break", { ...app, name: "a\nb" }, /^name: found "a\\nb", wanted well-formed Unicode without control characters/],
    ["a name with half a character", { ...app, name: "\ud83d" }, /^name: found "\\ud83d", wanted well-formed Unicode/],
    [
      "a URL with a space before it",
      { webhook_url: " https://hooks.acme.example/" },
      /^webhook_url: .*, wanted a URL without spaces around/,
    ],
    ["a URL with a line break", { webhook_url: "https://hooks.acme\n.example/" }, /^webhook_url: found a string of 28 characters, wanted/],
    ["a timeout of 0", { ...app, timeout_ms: 0 }, /^timeout_ms: /],
    ["a schedule with a negative delay", { ...app, retry_schedule_s: [-1] }, /^retry_schedule_s\.0: /],
    ["a rate limit that is a number", { ...app, rate_limit: 20 }, /^rate_limit: found 20, wanted an object/],
    ["a rate limit without a rate", { ...app, rate_limit: { burst: 40 } }, /^rate_limit\.per_s: missing/],
    ["a rate of 0", { ...app, rate_limit: { per_s: 0 } }, /^rate_limit\.per_s: found 0, wanted 0\.01 or more/],
    ["a rate that is text", { ...app, rate_limit: { per_s: "20" } }, /^rate_limit\.per_s: found "20", wanted a number/],
    ["a burst of 0", { ...app, rate_limit: { per_s: 20, burst: 0 } }, /^rate_limit\.burst: found 0, wanted 1 or more/],
    ["half a burst", { ...app, rate_limit: { per_s: 20, burst: 1.5 } }, /^rate_limit\.burst: found 1\.5, wanted a whole number/],
    ["a rate limit with more", { ...app, rate_limit: { per_s: 20, per_m: 5 } }, /^rate_limit: unknown member "per_m"/],
    ["no places", { ...app, max_in_flight: 0 }, /^max_in_flight: /],
    ["a short secret", { ...app, client_secret: "abc" }, /^client_secret: found a string of 3 characters, wanted 64 lower-case hex/],
  ])("can't have %s", (_what, value, message) => {
    expect(problems(appBody, value)[0]).toMatch(message);
  });

  test("is refused with all of its problems at once", () => {
    expect(problems(appBody, { events: ["A"], timeout_ms: -1 })).toHaveLength(3);
  });
});

describe("an installation", () => {
  test("keeps ids as strings and a UUID in lower case", () => {
    expect(
      parseRecord(
        installationBody,
        { uuid: "0F3C1D2E-5B6A-4C7D-8E9F-0A1B2C3D4E5F", app: "acme", organization_id: 42, project_ids: [7, "8"] },
        "x",
      ),
    ).toEqual({
      uuid: "0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f",
      app: "acme",
      organization_id: "42",
      project_ids: ["7", "8"],
    });
  });

  test.each<[string, object, RegExp]>([
    ["no organization", { app: "acme" }, /^organization_id: /],
    ["an organization with a line break", { app: "acme", organization_id: "4\n2" }, /^organization_id: found "4\\n2", wanted well-formed/],
    [
      "a project with half a character",
      { app: "acme", organization_id: "4", project_ids: ["\ud83d"] },
      /^project_ids\.0: found .*well-formed/,
    ],
    ["half an organization", { app: "acme", organization_id: 4.2 }, /^organization_id: found 4.2, wanted a string or a whole number/],
    [
      "an organization that JSON rounds",
      { app: "acme", organization_id: 2 ** 60 },
      /^organization_id: found \d+, wanted a string or a whole number of at most/,
    ],
    ["null for an organization", { app: "acme", organization_id: null }, /found null, wanted a string or a whole number/],
    ["no app", { organization_id: "42" }, /^app: /],
    ["an app that is no slug", { app: "No Slug", organization_id: "42" }, /^app: found "No Slug", wanted 1 to 64 of a-z/],
    ["a UUID that is none", { uuid: "7", app: "acme", organization_id: "42" }, /^uuid: found "7", wanted a UUID/],
  ])("can't have %s", (_what, value, message) => {
    expect(problems(installationBody, value)[0]).toMatch(message);
  });
});

describe("a client secret at rest", () => {
  const key = { id: "k1", key: Buffer.alloc(32, 1) };
  const box = createSecretBox(key);

  test("is encrypted, and different every time", () => {
    const [one, two] = [box.seal("acme", SECRET), box.seal("acme", SECRET)];
    expect(one).toMatch(/^enc:v1:k1:/);
    expect(one).not.toBe(two);
    expect(one).not.toContain(SECRET);
    expect([box.open("acme", one), box.open("acme", two)]).toEqual([SECRET, SECRET]);
  });

  test("is in the clear without a key, and a key reads that too", () => {
    expect(createSecretBox(null).seal("acme", SECRET)).toBe(SECRET);
    expect(box.open("acme", SECRET)).toBe(SECRET);
  });

  test("of a previous key is read, and not written any more", () => {
    const changed = createSecretBox({ id: "k2", key: Buffer.alloc(32, 2) }, [key]);
    const old = box.seal("acme", SECRET);
    expect(changed.open("acme", old)).toBe(SECRET);
    expect(changed.seal("acme", SECRET)).toMatch(/^enc:v1:k2:/);
    expect([changed.isCurrent(old), changed.isCurrent(SECRET), changed.isCurrent(changed.seal("acme", SECRET))]).toEqual([
      false,
      false,
      true,
    ]);
    expect([createSecretBox(null).isCurrent(SECRET), createSecretBox(null).isCurrent(old)]).toEqual([true, false]);
  });

  test.each<[string, ReturnType<typeof createSecretBox>, string, RegExp]>([
    ["without a key", createSecretBox(null), "acme", /app acme: found it encrypted with key k1, POSTHORN_ENCRYPTION_KEY is not set$/],
    [
      "with keys of other ids",
      createSecretBox({ ...key, id: "k3" }, [{ ...key, id: "k2" }]),
      "acme",
      /app acme: found it encrypted with key k1, wanted key k3 or k2 of POSTHORN_ENCRYPTION_KEY$/,
    ],
    [
      "with another key of the same id",
      createSecretBox({ ...key, key: Buffer.alloc(32, 2) }),
      "acme",
      /app acme: found it encrypted with another key of the id k1, or for another record, wanted key k1 of POSTHORN_ENCRYPTION_KEY$/,
    ],
    ["in another app's record", box, "other", /app other: found it encrypted with another key of the id k1, or for another record/],
  ])("can't be read %s", (_what, wrong, slug, message) => {
    expect(() => wrong.open(slug, box.seal("acme", SECRET))).toThrow(message);
  });

  test.each(["enc:v1:k1:", "enc:v1:k1:AAAA", "enc:v2:k1:AAAA", "enc:", "enc:v1:k1:%%%"])("can't be read as %j, and says so", (stored) => {
    expect(() => box.open("acme", stored)).toThrow(expect.objectContaining({ code: "SECRET_UNREADABLE" }) as Error);
  });
});
