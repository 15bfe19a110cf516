/** What callers and strangers do to records, on a real bucket: replace, merge, install twice, damage. */
import fc from "fast-check";
import { connect, type NatsConnection } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/model/clock.ts";
import { awaitRestore } from "../../src/registry/await-restore.ts";
import { reEncrypt } from "../../src/registry/re-encrypt.ts";
import { NO_PRECONDITION } from "../../src/registry/record-tag.ts";
import { refuseWrongKey } from "../../src/registry/refuse-wrong-key.ts";
import { createSecretBox } from "../../src/registry/secret-box.ts";
import { SECRET, UUID } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { type Replica, type ReplicaOptions, startReplica, storeOf } from "../support/registry-replica.ts";
import { type Server, startNatsServer } from "../support/servers.ts";
import { silentLogger } from "../support/silent-logger.ts";

let server: Server;
let stranger: NatsConnection;
const connections: NatsConnection[] = [];
const OTHER_UUID = "ffffffff-5b6a-4c7d-8e9f-0a1b2c3d4e5f";
const KEY = { id: "k1", key: Buffer.alloc(32, 1) };

beforeAll(async () => {
  server = await startNatsServer();
  stranger = await connect({ servers: server.url });
});
afterAll(async () => {
  for (const connection of [...connections, stranger]) await connection.close();
  await server.stop();
});

async function replica(prefix: string, options: ReplicaOptions = {}): Promise<Replica> {
  const started = await startReplica(server.url, prefix, options);
  connections.push(started.connection);
  return started;
}

const app = { webhook_url: "https://hooks.acme.example/in", events: ["issue"] };
const installation = { app: "acme", organization_id: "42" };
const full = {
  ...app,
  name: "Acme",
  status: "published",
  headers: { "X-Team": "blue" },
  timeout_ms: 1_000,
  retry_schedule_s: [1],
  max_in_flight: 2,
  ordered: true,
};
const storedText = async ({ store }: Replica, key: string) => (await store.readRecord(key))?.value ?? "";

/** As anybody who may publish on the bucket's subjects does it. @returns the revision */
async function damage(prefix: string, key: string, value: string | Uint8Array): Promise<number> {
  const { seq } = await stranger.jetstream().publish(`$KV.${prefix}-registry.${key}`, value);
  return seq;
}

describe("PUT", () => {
  test("gives every member that is absent its default, and keeps the secret", async () => {
    const one = await replica("put");
    const { clientSecret } = await one.registry.putApp("acme", full, NO_PRECONDITION);
    await one.registry.putApp("acme", { webhook_url: app.webhook_url }, NO_PRECONDITION);
    expect(one.index.app("acme")).toMatchObject({
      ...{ name: "acme", status: "unpublished", events: [], headers: {}, orderBy: "none", clientSecret },
      ...{ timeoutMs: null, retryScheduleMs: null, maxInFlight: null },
    });
    await one.registry.putInstallation(UUID, { ...installation, project_ids: [7], webhook_url: "https://a.example" }, NO_PRECONDITION);
    await one.registry.putInstallation(UUID, installation, NO_PRECONDITION);
    expect(one.index.installation(UUID)).toMatchObject({ projectIds: [], webhookUrl: null });
  });

  test("is refused if the record could not be read", async () => {
    const { registry, index, store } = await replica("unreadable");
    await expect(registry.putApp("acme", { webhook_url: "https://" }, NO_PRECONDITION)).rejects.toMatchObject({
      code: "RECORD_INVALID",
      message: "invalid record: webhook_url: wanted an http or https URL",
    });
    expect([index.app("acme"), store.invalid()]).toEqual([undefined, []]);
  });

  test("names the members that it has changed", async () => {
    const { registry } = await replica("changed");
    await registry.putApp("acme", full, NO_PRECONDITION);
    const { changed } = await registry.putApp("acme", { ...full, headers: { "X-Team": "red" }, client_secret: SECRET }, NO_PRECONDITION);
    expect(changed).toEqual(["headers", "client_secret"]);
    expect((await registry.putInstallation(UUID, installation, NO_PRECONDITION)).created).toBe(true);
    expect((await registry.putInstallation(UUID, { ...installation, project_ids: ["7"] }, NO_PRECONDITION)).changed).toEqual([
      "project_ids",
    ]);
  });
});

describe("PATCH", () => {
  test("changes what it names; null is the default; headers are merged", async () => {
    const one = await replica("patch");
    const { clientSecret } = await one.registry.putApp("acme", full, NO_PRECONDITION);
    const patch = { events: ["comment"], timeout_ms: null, name: null, headers: { "X-Team": null, "X-Key": "v" } };
    await one.registry.patchApp("acme", patch, NO_PRECONDITION);
    expect(one.index.app("acme")).toMatchObject({
      ...{ name: "acme", events: ["comment"], headers: { "X-Key": "v" }, timeoutMs: null, clientSecret },
      ...{ status: "published", retryScheduleMs: [1_000], maxInFlight: 2, orderBy: "app" },
    });
    await one.registry.putInstallation(UUID, { ...installation, project_ids: [7] }, NO_PRECONDITION);
    await one.registry.patchInstallation(UUID, { webhook_url: "https://b.example/in" }, NO_PRECONDITION);
    expect(one.index.installation(UUID)).toMatchObject({ projectIds: ["7"], webhookUrl: "https://b.example/in" });
    await one.registry.patchInstallation(UUID, { webhook_url: null, project_ids: null }, NO_PRECONDITION);
    expect(one.index.installation(UUID)).toMatchObject({ projectIds: [], webhookUrl: null });
  });

  test("finds a header whatever the case of its name", async () => {
    const { registry, index } = await replica("patch-headers");
    await registry.putApp("acme", full, NO_PRECONDITION);
    await registry.patchApp("acme", { headers: { "x-team": "red" } }, NO_PRECONDITION);
    expect(index.app("acme")?.headers).toEqual({ "X-Team": "red" });
    // As the page and the command line give it another spelling.
    await registry.patchApp("acme", { headers: { "X-Team": null, "x-team": "[redacted]" } }, NO_PRECONDITION);
    expect(index.app("acme")?.headers).toEqual({ "x-team": "red" });
    await registry.patchApp("acme", { headers: { "X-TEAM": null } }, NO_PRECONDITION);
    expect(index.app("acme")?.headers).toEqual({});
  });

  test("is refused where it makes no sense", async () => {
    const { registry } = await replica("patch-refused");
    const { tag } = await registry.putApp("acme", full, NO_PRECONDITION);
    await registry.putInstallation(UUID, installation, NO_PRECONDITION);
    await expect(registry.patchApp("nobody", {}, NO_PRECONDITION)).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(registry.patchApp("acme", { webhook_url: null }, NO_PRECONDITION)).rejects.toThrow(/webhook_url/);
    await expect(registry.patchApp("acme", { color: "red" }, NO_PRECONDITION)).rejects.toThrow(/unknown member "color"/);
    await expect(registry.patchApp("acme", { name: "x" }, { tags: ["0"], absent: false })).rejects.toMatchObject({
      code: "PRECONDITION_FAILED",
    });
    await expect(registry.patchApp("acme", { name: "x" }, { tags: ["0", tag], absent: false })).resolves.toMatchObject({
      changed: ["name"],
    });
    await expect(registry.patchInstallation(UUID, { status: "disabled" }, NO_PRECONDITION)).rejects.toThrow(
      /status: found "disabled", it is active/,
    );
    await expect(registry.patchInstallation(UUID, { app: "other" }, NO_PRECONDITION)).rejects.toMatchObject({ code: "RECORD_INVALID" });
  });
});

describe("a second installation of one app in one organization", () => {
  test("is a conflict unless it is asked for, also when an installation is moved there", async () => {
    const one = await replica("twice");
    await one.registry.putApp("acme", app, NO_PRECONDITION);
    await one.registry.putInstallation(UUID, installation, NO_PRECONDITION);
    await expect(one.registry.putInstallation(OTHER_UUID, installation, NO_PRECONDITION)).rejects.toThrow(
      `app acme is installed in organization 42 already (installation ${UUID}); allow_duplicate: true installs it again`,
    );
    expect(one.index.counts().installations).toBe(1);
    await one.registry.putInstallation(OTHER_UUID, { ...installation, organization_id: 43 }, NO_PRECONDITION);
    await expect(one.registry.patchInstallation(OTHER_UUID, { organization_id: 42 }, NO_PRECONDITION)).rejects.toMatchObject({
      code: "CONFLICT",
    });
    await one.registry.patchInstallation(OTHER_UUID, { organization_id: 42, allow_duplicate: true }, NO_PRECONDITION);
    // What was asked for once is not in the way of later changes.
    await one.registry.putInstallation(OTHER_UUID, { ...installation, project_ids: [7] }, NO_PRECONDITION);
    expect(one.index.installation(OTHER_UUID)).toMatchObject({ organizationId: "42", projectIds: ["7"] });
    expect(await storedText(one, `installation.${OTHER_UUID}`)).not.toContain("allow_duplicate");
  });

  test("is never made by calls to two replicas at the same time: one of them wins", async () => {
    const [one, two] = await Promise.all([replica("race"), replica("race")]);
    await one.registry.putApp("acme", app, NO_PRECONDITION);
    for (let round = 0; round < 20; round++) {
      const organization = String(round);
      const uuids = Array.from({ length: 4 }, () => crypto.randomUUID());
      const results = await Promise.allSettled(
        uuids.map((uuid, at) =>
          (at % 2 === 0 ? one : two).registry.putInstallation(uuid, { ...installation, organization_id: organization }, NO_PRECONDITION),
        ),
      );
      expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      for (const { index } of [one, two]) await eventually(() => index.installationsOf(organization).length === 1);
    }
  });

  test("may come after the first was removed", async () => {
    const { registry } = await replica("after");
    await registry.putApp("acme", app, NO_PRECONDITION);
    await registry.putInstallation(UUID, installation, NO_PRECONDITION);
    await registry.deleteInstallation(UUID, NO_PRECONDITION);
    expect((await registry.putInstallation(OTHER_UUID, installation, NO_PRECONDITION)).created).toBe(true);
  });
});

describe("an app that is removed", () => {
  test("leaves no installation behind that another replica makes at the same time", async () => {
    const [one, two] = await Promise.all([replica("orphan"), replica("orphan")]);
    for (let round = 0; round < 10; round++) {
      await one.registry.putApp("acme", app, NO_PRECONDITION);
      const uuids = Array.from({ length: 4 }, () => crypto.randomUUID());
      await Promise.allSettled([
        ...uuids.map((uuid, at) => two.registry.putInstallation(uuid, { ...installation, organization_id: at }, NO_PRECONDITION)),
        one.registry.deleteApp("acme", NO_PRECONDITION),
      ]);
      await eventually(() => one.index.counts().installations === 0 && two.index.counts().installations === 0);
    }
  });

  test("makes way for one that was made later, whatever the clock of its replica says", async () => {
    const { registry } = await replica("later");
    const { record } = await registry.putApp("acme", app, NO_PRECONDITION);
    await registry.deleteApp("acme", NO_PRECONDITION);
    const behind = { now: () => Date.now() - 3_600_000, after: () => () => {} };
    const { registry: slow } = await replica("later", { clock: behind });
    const again = await slow.putApp("acme", app, NO_PRECONDITION);
    expect(Date.parse(again.record.created_at ?? "")).toBeGreaterThan(Date.parse(record.created_at ?? ""));
  });
});

describe("header values and URLs", () => {
  const secretUrl = "https://hooks.acme.example/in?token=url-token-1";
  const body = { ...app, webhook_url: secretUrl, headers: { "X-Key": "header-secret-1", "X-Odd": "enc:v1:k9:xxxx" } };

  test("are encrypted at rest, and what was stored in the clear is counted and re-encrypted", async () => {
    const clear = await replica("rest");
    await clear.registry.putApp("acme", body, NO_PRECONDITION);
    await clear.registry.putInstallation(UUID, { ...installation, webhook_url: secretUrl }, NO_PRECONDITION);
    expect(clear.feed.outdated()).toBe(0);
    expect(clear.index.app("acme")?.headers).toEqual(body.headers);
    const one = await replica("rest", { encryptionKey: KEY });
    expect(one.feed.outdated()).toBe(2);
    const store = storeOf("rest", stranger);
    expect(await reEncrypt(store, createSecretBox(KEY))).toEqual({ records: 2, changed: 2, invalid: [] });
    await store.stop();
    await eventually(() => one.feed.outdated() === 0);
    for (const key of ["app.acme", `installation.${UUID}`]) {
      expect(await storedText(one, key)).not.toMatch(/url-token-1|header-secret-1|enc:clear/);
    }
    const again = await replica("rest", { encryptionKey: KEY });
    expect(again.index.app("acme")).toMatchObject({ webhookUrl: secretUrl, headers: body.headers });
    expect(again.index.installation(UUID)?.webhookUrl).toBe(secretUrl);
    // The same again writes nothing, although a value is never encrypted to the same text.
    const before = await storedText(again, "app.acme");
    await again.registry.putApp("acme", body, NO_PRECONDITION);
    expect(await storedText(again, "app.acme")).toBe(before);
  });

  test("stay as they are when a caller sends back what it was shown", async () => {
    const one = await replica("redacted", { encryptionKey: KEY });
    await one.registry.putApp("acme", body, NO_PRECONDITION);
    const shown = {
      ...app,
      webhook_url: "https://hooks.acme.example/in?token=[redacted]",
      headers: { "x-key": "[redacted]", "X-New": "n" },
    };
    await one.registry.putApp("acme", shown, NO_PRECONDITION);
    expect(one.index.app("acme")).toMatchObject({ webhookUrl: secretUrl, headers: { "x-key": "header-secret-1", "X-New": "n" } });
    await one.registry.patchApp("acme", { headers: { "X-New": "[redacted]" } }, NO_PRECONDITION);
    expect(one.index.app("acme")?.headers).toEqual({ "x-key": "header-secret-1", "X-New": "n" });
    await expect(one.registry.patchApp("acme", { headers: { "X-Other": "[redacted]" } }, NO_PRECONDITION)).rejects.toThrow(
      /headers\.X-Other: found \[redacted\], and there is no value to keep/,
    );
    await expect(one.registry.patchApp("acme", { webhook_url: "https://other.example/?t=[redacted]" }, NO_PRECONDITION)).rejects.toThrow(
      /webhook_url: found \[redacted\] in it/,
    );
  });
});

describe("a record that can't be read", () => {
  const API_ANSWER = JSON.stringify({ type: "io.nats.jetstream.api.v1.pub_ack_response", stream: "S", seq: 1 });

  test("leaves the last good revision in force, also after a restart, and a PUT repairs it", async () => {
    const one = await replica("damaged", { encryptionKey: KEY });
    const { clientSecret } = await one.registry.putApp("acme", full, NO_PRECONDITION);
    await one.registry.putInstallation(UUID, installation, NO_PRECONDITION);
    await damage("damaged", "app.acme", API_ANSWER);
    await damage("damaged", `installation.${UUID}`, '{"uuid":');
    await eventually(() => one.store.invalid().length === 2);
    const two = await replica("damaged", { encryptionKey: KEY });
    for (const { store, index } of [one, two]) {
      await eventually(() => store.invalid().every(({ inForce }) => inForce));
      expect(store.isCurrent()).toBe(true);
      expect(index.app("acme")).toMatchObject({ name: "Acme", clientSecret });
      expect(index.installation(UUID)).toMatchObject({ organizationId: "42" });
    }
    expect(() => refuseWrongKey(two.store.invalid(), two.feed.decrypted())).not.toThrow();
    expect(await two.registry.getApp("acme")).toMatchObject({
      record: { name: "Acme" },
      problem: expect.stringMatching(/invalid record/),
    });
    await two.registry.patchApp("acme", { name: "Repaired" }, NO_PRECONDITION);
    await two.registry.putInstallation(UUID, installation, NO_PRECONDITION);
    await eventually(() => one.store.invalid().length === 0 && two.store.invalid().length === 0);
    expect(one.index.app("acme")).toMatchObject({ name: "Repaired", clientSecret, maxInFlight: 2 });
  });

  test("of which no revision can be read is named, and a PUT makes it", async () => {
    await replica("strange");
    await damage("strange", "app.victim", API_ANSWER);
    const one = await replica("strange");
    expect(one.store.invalid()).toMatchObject([{ key: "app.victim", inForce: false }]);
    await expect(one.registry.getApp("victim")).rejects.toThrow(/the record of app victim can't be read .* PUT replaces it/);
    expect(await one.registry.putApp("victim", app, NO_PRECONDITION)).toMatchObject({ created: true, clientSecret: expect.any(String) });
    expect([one.store.invalid(), one.index.app("victim")?.events]).toEqual([[], ["issue"]]);
    await damage("strange", "app.victim", "");
    await eventually(() => one.store.invalid().length === 1);
    await one.registry.deleteApp("victim", NO_PRECONDITION);
    expect([one.store.invalid(), one.index.app("victim")]).toEqual([[], undefined]);
  });

  test("that comes after a deletion brings nothing back", async () => {
    const one = await replica("gone");
    await one.registry.putApp("acme", app, NO_PRECONDITION);
    await one.registry.deleteApp("acme", NO_PRECONDITION);
    await damage("gone", "app.acme", "null");
    const two = await replica("gone");
    expect([two.index.app("acme"), two.store.invalid().length]).toEqual([undefined, 1]);
  });

  test("is a secret of a wrong key in one record only: that one has its last good revision, and the start continues", async () => {
    const one = await replica("one-bad", { encryptionKey: KEY });
    await one.registry.putApp("acme", app, NO_PRECONDITION);
    await one.registry.putApp("other", app, NO_PRECONDITION);
    const other = JSON.parse(await storedText(one, "app.other")) as { client_secret: string };
    const acme = JSON.parse(await storedText(one, "app.acme")) as object;
    // One app's ciphertext in another's record.
    await damage("one-bad", "app.acme", JSON.stringify({ ...acme, client_secret: other.client_secret }));
    const two = await replica("one-bad", { encryptionKey: KEY });
    expect(two.store.invalid()).toMatchObject([{ key: "app.acme", isSecret: true, inForce: true }]);
    expect(() => refuseWrongKey(two.store.invalid(), two.feed.decrypted())).not.toThrow();
    expect(two.index.app("acme")?.clientSecret).toBe(one.index.app("acme")?.clientSecret);
  });

  test("in a bucket of an early version, which kept one revision, is kept several of from now on", async () => {
    const manager = await stranger.jetstreamManager();
    await stranger.jetstream().views.kv("early-registry", { history: 1 });
    const one = await replica("early");
    expect((await manager.streams.info("KV_early-registry")).config.max_msgs_per_subject).toBe(8);
    await one.registry.putApp("acme", app, NO_PRECONDITION);
    await damage("early", "app.acme", "[]");
    expect((await replica("early")).index.app("acme")?.events).toEqual(["issue"]);
  });

  test("may hold any bytes under any key: a replica runs on and starts", async () => {
    const one = await replica("fuzz", { encryptionKey: KEY });
    await one.registry.putApp("acme", full, NO_PRECONDITION);
    await one.registry.putInstallation(UUID, installation, NO_PRECONDITION);
    await one.signingKey.get();
    const good = {
      app: JSON.parse(await storedText(one, "app.acme")) as object,
      installation: JSON.parse(await storedText(one, `installation.${UUID}`)) as object,
    };
    const names = ["acme", UUID, "", "constructor", "__proto__", "a.b", "UPPER", "x".repeat(100), "=/="];
    const key = fc
      .tuple(
        fc.constantFrom("app", "installation", "circuit", "hold", "debug.app", "debug", "signing-key", "other"),
        fc.constantFrom(...names),
      )
      .map(([kind, name]) => (name === "" ? kind : `${kind}.${name}`));
    const mutated = fc
      .tuple(
        fc.constantFrom(good.app, good.installation),
        fc.dictionary(fc.constantFrom(...Object.keys({ ...good.app, ...good.installation })), fc.jsonValue()),
      )
      .map(([record, members]) => JSON.stringify({ ...record, ...members }));
    const value = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.json(),
      mutated,
      fc.constantFrom("null", "[]", "{}", '"x"', "1e999", '{"__proto__":{}}', API_ANSWER, "[".repeat(10_000)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(key, value), { minLength: 1, maxLength: 40 }), async (records) => {
        let last = 0;
        for (const [name, bytes] of records) last = await damage("fuzz", name, bytes);
        await one.store.reached(last);
        // Whoever reads them, by key or by the index, gets a record or a reason.
        for (const { webhookUrl, events, clientSecret } of one.index.apps()) {
          expect([URL.canParse(webhookUrl), Array.isArray(events), clientSecret.length > 0]).toEqual([true, true, true]);
        }
        for (const slug of ["acme", "constructor"])
          await one.registry.getApp(slug).catch(({ code }: { code?: string }) => expect(code).toMatch(/NOT_FOUND|CONFLICT/));
        expect(one.store.isCurrent()).toBe(true);
      }),
      { numRuns: 15 },
    );
    const two = await replica("fuzz", { encryptionKey: KEY });
    expect(two.store.isCurrent()).toBe(true);
    await two.registry.putApp("acme", app, NO_PRECONDITION);
    // What was written over it may be a good record of another app.
    await two.registry.deleteInstallation(UUID, NO_PRECONDITION).catch(({ code }: { code?: string }) => expect(code).toBe("NOT_FOUND"));
    await two.registry.putInstallation(UUID, { ...installation, allow_duplicate: true }, NO_PRECONDITION);
    expect(two.index.app("acme")?.events).toEqual(["issue"]);
    expect(await two.signingKey.get()).toHaveLength(32);
  });
});

test("a start just after the bucket was lost waits until another replica has put its records back", async () => {
  const prefix = "restored";
  const one = await replica(prefix);
  await one.registry.putApp("acme", app, NO_PRECONDITION);
  // Of a damaged record the revision in force comes back.
  await one.store.reached(await damage(prefix, "app.acme", "{"));
  const restarted = await replica(prefix);
  await eventually(() => restarted.index.app("acme"));
  const manager = await stranger.jetstreamManager();
  const stream = `KV_${prefix}-registry`;
  await manager.streams.delete(stream);
  // It makes the bucket, and would have none of its records.
  const two = await replica(prefix);
  expect(two.index.app("acme")).toBeUndefined();
  const bucket = Date.parse((await manager.streams.info(stream)).created);
  const waiting = awaitRestore({ store: two.store, clock: systemClock, logger: silentLogger }, { events: bucket - 3_600_000, bucket });
  await restarted.store.reopen();
  await waiting;
  expect(two.index.app("acme")?.slug).toBe("acme");
});

test.each([
  ["a first start", 1_000, 0],
  ["a bucket that has long been there", 3_600_000, 120_000],
])("%s waits for nobody", async (_what, afterEventsMs, ageMs) => {
  const bucket = systemClock.now() - ageMs;
  const quiet = (): Promise<void> => Promise.reject(new Error("it waits"));
  await awaitRestore({ store: { quiet }, clock: systemClock, logger: silentLogger }, { events: bucket - afterEventsMs, bucket });
});
