import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type NatsConnection } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createConnectionState } from "../../src/jetstream/connection.ts";
import { systemClock } from "../../src/model/clock.ts";
import { reEncrypt } from "../../src/registry/re-encrypt.ts";
import { CIRCUITS } from "../../src/registry/record-kinds.ts";
import { NO_PRECONDITION } from "../../src/registry/record-tag.ts";
import { refuseWrongKey } from "../../src/registry/refuse-wrong-key.ts";
import { createSecretBox, type EncryptionKey } from "../../src/registry/secret-box.ts";
import { createRegistryStore } from "../../src/registry/store.ts";
import { SECRET, UUID } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { type Replica, startReplica, storeOf } from "../support/registry-replica.ts";
import { type Server, startNatsServer } from "../support/servers.ts";
import { silentLogger } from "../support/silent-logger.ts";

let server: Server;
const connections: NatsConnection[] = [];
const folder = mkdtempSync(join(tmpdir(), "posthorn-apps-"));

beforeAll(async () => {
  server = await startNatsServer();
});
afterAll(async () => {
  for (const connection of connections) await connection.close();
  await server.stop();
  rmSync(folder, { recursive: true });
});

async function replica(prefix: string, encryptionKey: EncryptionKey | null = null, previous: EncryptionKey[] = []): Promise<Replica> {
  const started = await startReplica(server.url, prefix, { encryptionKey, previous });
  connections.push(started.connection);
  return started;
}

const app = { webhook_url: "https://hooks.acme.example/in", events: ["issue"] };
const installation = { app: "acme", organization_id: 42 };

test("replicas that start together on a new server find one bucket", async () => {
  for (let n = 0; n < 10; n++) {
    const replicas = await Promise.all(Array.from({ length: 4 }, () => replica(`together-${n}`)));
    expect(new Set(replicas.map(({ store }) => store.seen())).size).toBe(1);
  }
});

describe("a change", () => {
  test("is in this replica's index when it answers, and in the others' soon after", async () => {
    const [one, two] = await Promise.all([replica("two"), replica("two")]);
    const made = await one.registry.putApp("acme", app, NO_PRECONDITION);
    expect([made.created, made.clientSecret]).toEqual([true, expect.stringMatching(/^[0-9a-f]{64}$/)]);
    expect(one.index.app("acme")).toMatchObject({ name: "acme", webhookUrl: app.webhook_url, clientSecret: made.clientSecret });
    await one.registry.putInstallation(UUID, installation, NO_PRECONDITION);
    expect(one.index.installation(UUID)).toMatchObject({ app: "acme", organizationId: "42", status: "active" });
    await eventually(() => two.index.installation(UUID));
    await two.registry.deleteInstallation(UUID, NO_PRECONDITION);
    expect(two.index.installation(UUID)).toBeUndefined();
    await eventually(() => one.index.installation(UUID) === undefined);
  });

  test("replaces an app and keeps its secret; one that changes nothing keeps the revision", async () => {
    const { registry, index } = await replica("replace");
    const { clientSecret, revision } = await registry.putApp("acme", app, NO_PRECONDITION);
    const same = await registry.putApp("acme", { ...app }, NO_PRECONDITION);
    expect([same.created, same.clientSecret, same.revision]).toEqual([false, null, revision]);
    const changed = await registry.putApp("acme", { ...app, ordered: true }, NO_PRECONDITION);
    expect(changed.revision).toBeGreaterThan(revision);
    expect(index.app("acme")).toMatchObject({ orderBy: "app", clientSecret });
  });

  test("rotates the secret with an overlap of a day", async () => {
    const { registry, index } = await replica("rotate", { id: "k1", key: Buffer.alloc(32, 1) });
    const { clientSecret: old } = await registry.putApp("acme", { ...app, client_secret: SECRET }, NO_PRECONDITION);
    expect(old).toBe(SECRET);
    const { clientSecret, previousValidUntil } = await registry.rotateSecret("acme");
    expect(index.app("acme")).toMatchObject({ clientSecret, previousSecret: { value: old, validUntil: Date.parse(previousValidUntil) } });
    expect(Date.parse(previousValidUntil) - Date.now()).toBeGreaterThan(23 * 3_600_000);
  });

  test("stores secrets encrypted", async () => {
    const { registry, store } = await replica("encrypted", { id: "k1", key: Buffer.alloc(32, 1) });
    await registry.putApp("acme", { ...app, client_secret: SECRET }, NO_PRECONDITION);
    const stored = (await store.readRecord("app.acme"))?.value ?? "";
    expect(stored).not.toContain(SECRET);
    expect(stored).toContain("enc:v1:k1:");
  });

  test("keeps members that this version does not know, and the status", async () => {
    const { registry, store, index } = await replica("unknown");
    await registry.putApp("acme", app, NO_PRECONDITION);
    await registry.putInstallation(UUID, installation, NO_PRECONDITION);
    const record = JSON.parse((await store.readRecord(`installation.${UUID}`))?.value ?? "{}") as object;
    await store.reached(
      await store.putRecord(`installation.${UUID}`, JSON.stringify({ ...record, status: "broken", n: 3, from_the_future: true })),
    );
    await registry.putInstallation(UUID, { ...installation, project_ids: [7], status: "active" }, NO_PRECONDITION);
    expect(JSON.parse((await store.readRecord(`installation.${UUID}`))?.value ?? "{}")).toMatchObject({
      status: "broken",
      n: 3,
      from_the_future: true,
      project_ids: ["7"],
    });
    expect(index.installation(UUID)?.status).toBe("broken");
  });

  test("that brings back a removed installation does not bring back its past", async () => {
    const { registry, store } = await replica("again");
    await registry.putApp("acme", app, NO_PRECONDITION);
    const stored = async () => JSON.parse((await store.readRecord(`installation.${UUID}`))?.value ?? "{}") as { n?: number };
    await registry.putInstallation(UUID, installation, NO_PRECONDITION);
    expect(await stored()).toEqual(expect.not.objectContaining({ n: expect.anything() }));
    await store.reached(await store.putRecord(`installation.${UUID}`, JSON.stringify({ ...(await stored()), status: "broken", n: 2 })));
    await registry.deleteInstallation(UUID, NO_PRECONDITION);
    await registry.putInstallation(UUID, installation, NO_PRECONDITION);
    expect(await stored()).toMatchObject({ status: "active", counters_stale: true });
    // Its next status event has an id that was never used, and its old counters are cleared before they are judged by.
    expect((await stored()).n).toBeGreaterThan(2);
  });

  test("of an app takes its installations with it when it is removed", async () => {
    const { registry, index } = await replica("cascade");
    await registry.putApp("acme", app, NO_PRECONDITION);
    await registry.putInstallation(UUID, installation, NO_PRECONDITION);
    await registry.deleteApp("acme", NO_PRECONDITION);
    expect(index.counts()).toEqual({ apps: 0, installations: 0 });
  });

  test("is refused when it makes no sense", async () => {
    const { registry } = await replica("refused");
    await registry.putApp("acme", app, NO_PRECONDITION);
    await registry.putApp("other", app, NO_PRECONDITION);
    await registry.putInstallation(UUID, installation, NO_PRECONDITION);
    const refused = (work: Promise<unknown>) =>
      work.then(
        () => "accepted",
        (error: { code: string; message: string }) => `${error.code} ${error.message}`,
      );
    expect(await refused(registry.putApp("acme", { ...app, webhook_url: "http://x.example" }, NO_PRECONDITION))).toBe(
      'RECORD_INVALID app acme: webhook_url: found "http://x.example", not https',
    );
    expect(await refused(registry.putApp("acme", { ...app, slug: "other" }, NO_PRECONDITION))).toMatch(
      /^RECORD_INVALID app acme: slug: found "other", wanted "acme"/,
    );
    expect(await refused(registry.putInstallation(UUID, { ...installation, app: "nobody" }, NO_PRECONDITION))).toMatch(
      /^RECORD_INVALID .*app: found "nobody", wanted an app that exists/,
    );
    expect(await refused(registry.putInstallation(UUID, { ...installation, app: "other" }, NO_PRECONDITION))).toMatch(/^CONFLICT/);
    expect(await refused(registry.putApp("acme", app, { tags: null, absent: true }))).toMatch(/^PRECONDITION_FAILED/);
    expect(await refused(registry.putApp("acme", app, { tags: ["99999"], absent: false }))).toMatch(
      /^PRECONDITION_FAILED .*wanted "99999"/,
    );
    expect(await refused(registry.getApp("nobody"))).toBe("NOT_FOUND no app nobody");
    expect(await refused(registry.deleteInstallation("ffffffff-5b6a-4c7d-8e9f-0a1b2c3d4e5f", NO_PRECONDITION))).toMatch(/^NOT_FOUND/);
    expect(await refused(registry.rotateSecret("nobody"))).toBe("NOT_FOUND no app nobody");
  });

  test("of the same record by many at once is lost by none", async () => {
    const { store } = await replica("cas");
    await store.putRecord("circuit.acme", JSON.stringify({ n: 0 }));
    const increment = async (): Promise<void> => {
      for (;;) {
        const found = await store.readRecord("circuit.acme");
        if (found === null) throw new Error("gone");
        const { n } = JSON.parse(found.value) as { n: number };
        if ((await store.updateRecord("circuit.acme", JSON.stringify({ n: n + 1 }), found.revision)) !== "conflict") return;
      }
    };
    await Promise.all(Array.from({ length: 20 }, increment));
    expect(JSON.parse((await store.readRecord("circuit.acme"))?.value ?? "")).toEqual({ n: 20 });
    expect(await store.createRecord("circuit.acme", "{}")).toBe("conflict");
  });
});

describe("encryption keys", () => {
  const [k1, k2] = ["k1", "k2"].map((id, n) => ({ id, key: Buffer.alloc(32, n + 1) })) as [EncryptionKey, EncryptionKey];
  const reEncrypted = async (prefix: string, current: EncryptionKey, previous: EncryptionKey[]) => {
    const connection = await connect({ servers: server.url });
    connections.push(connection);
    const store = storeOf(prefix, connection);
    try {
      return await reEncrypt(store, createSecretBox(current, previous));
    } finally {
      await store.stop();
    }
  };

  test("are changed in steps, in none of which a replica can't read a secret", async () => {
    const clear = await replica("keys");
    const { clientSecret } = await clear.registry.putApp("acme", app, NO_PRECONDITION);
    const first = await replica("keys", k1);
    expect([first.store.invalid(), first.feed.outdated()]).toEqual([[], 1]);
    const rotated = await first.registry.rotateSecret("acme");
    const signingKey = await first.signingKey.get();

    const second = await replica("keys", k2, [k1]);
    expect([second.store.invalid(), second.feed.outdated(), second.signingKey.current()]).toEqual([[], 1, signingKey]);
    expect(await reEncrypted("keys", k2, [k1])).toEqual({ records: 2, changed: 2, invalid: [] });
    expect(await reEncrypted("keys", k2, [k1])).toEqual({ records: 2, changed: 0, invalid: [] });
    await eventually(() => second.feed.outdated() === 0);

    const third = await replica("keys", k2);
    expect(third.store.invalid()).toEqual([]);
    expect(third.signingKey.current()).toEqual(signingKey);
    expect(third.index.app("acme")).toMatchObject({ clientSecret: rotated.clientSecret, previousSecret: { value: clientSecret } });
    const stored = (await third.store.readRecord("app.acme"))?.value ?? "";
    expect(stored).not.toContain("enc:v1:k1:");
    expect(stored.match(/enc:v1:k2:/g)).toHaveLength(3);
  });

  test("that can't open what is stored are distinguished, and nothing is changed with them", async () => {
    const { registry, store } = await replica("wrong-key", k1);
    await registry.putApp("acme", app, NO_PRECONDITION);
    const before = await store.readRecord("app.acme");
    const wrong = await replica("wrong-key", k2);
    expect(wrong.store.invalid()).toMatchObject([
      {
        ...{ key: "app.acme", isSecret: true, inForce: false },
        problem: "the client secret of app acme: found it encrypted with key k1, wanted key k2 of POSTHORN_ENCRYPTION_KEY",
      },
    ]);
    expect(() => refuseWrongKey(wrong.store.invalid(), wrong.feed.decrypted())).toThrow(/can't start without these secrets/);
    await expect(reEncrypted("wrong-key", k2, [])).rejects.toMatchObject({ code: "SECRET_UNREADABLE" });
    expect(await store.readRecord("app.acme")).toEqual(before);
  });

  test("that another replica has changed too early leave the app as it was, and it is not taken for one that is gone", async () => {
    const early = await replica("early", k2, [k1]);
    const late = await replica("early", k1);
    const { clientSecret } = await late.registry.putApp("acme", app, NO_PRECONDITION);
    await eventually(() => early.index.app("acme"));
    await early.registry.rotateSecret("acme");
    await eventually(() => late.store.invalid().length === 1);
    expect(late.index.app("acme")?.clientSecret).toBe(clientSecret);
    await early.registry.deleteApp("acme", NO_PRECONDITION);
    await eventually(() => late.store.invalid().length === 0);
    expect(late.index.app("acme")).toBeUndefined();
  });

  test("sign for all replicas with one key, whichever replica needs it first", async () => {
    const [one, two] = await Promise.all([replica("signing", k1), replica("signing", k1)]);
    const [first, second] = await Promise.all([one.signingKey.get(), two.signingKey.get()]);
    expect(first).toEqual(second);
    expect((await replica("signing", k1)).signingKey.current()).toEqual(first);
    const wrong = await replica("signing", k2);
    expect(wrong.store.invalid()[0]?.problem).toMatch(/^the secret _signing-key: found it encrypted with key k1, wanted key k2/);
    await expect(wrong.signingKey.get()).rejects.toMatchObject({ code: "SECRET_UNREADABLE" });
  });
});

describe("the watch", () => {
  test("brings what is there already, deletions included, and other kinds of records to their listeners", async () => {
    const first = await replica("watch");
    await first.registry.putApp("acme", app, NO_PRECONDITION);
    await first.registry.putApp("gone", app, NO_PRECONDITION);
    await first.registry.deleteApp("gone", NO_PRECONDITION);
    const second = await replica("watch");
    expect([second.store.isCurrent(), second.index.app("acme")?.slug, second.index.app("gone")]).toEqual([true, "acme", undefined]);
    const seen: Array<[string, object | null]> = [];
    second.store.onRecord(CIRCUITS, (key, record) => void seen.push([key, record]));
    await first.store.putRecord("circuit.acme", '{"state":"closed"}');
    await first.store.deleteRecord("circuit.acme");
    await eventually(() => seen.length === 2);
    expect(seen).toEqual([
      ["circuit.acme", { state: "closed" }],
      ["circuit.acme", null],
    ]);
  });

  test("continues after the server was restarted, without missing what changed meanwhile", async () => {
    const own = await startNatsServer();
    const connection = await connect({ servers: own.url, reconnectTimeWait: 100, maxReconnectAttempts: -1 });
    const store = createRegistryStore(
      { connection, onReconnect: createConnectionState(connection).onReconnect, clock: systemClock, logger: silentLogger },
      { prefix: "restart", replicas: 1 },
    );
    const seen: Array<number | undefined> = [];
    let timesCurrent = 0;
    store.onRecord(CIRCUITS, (_key, record) => void seen.push(record?.n));
    store.onCurrent(() => void timesCurrent++);
    await store.start();
    await store.putRecord("circuit.a", '{"state":"closed","n":1}');
    await own.restart();
    await eventually(() => timesCurrent === 2);
    const revision = await eventually(() => store.putRecord("circuit.a", '{"state":"closed","n":2}'));
    await store.reached(revision);
    expect(seen).toEqual([1, 2]);
    expect(store.isCurrent()).toBe(true);
    await store.stop();
    await connection.close();
    await own.stop();
  });
});
