import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadAppsFile } from "../../src/registry/apps-file.ts";
import { NO_PRECONDITION } from "../../src/registry/record-tag.ts";
import { SECRET, UUID } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { type Replica, startReplica } from "../support/registry-replica.ts";
import { type Server, startNatsServer } from "../support/servers.ts";
import { silentLogger } from "../support/silent-logger.ts";

let server: Server;
let prefixes = 0;
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

/** With its own bucket, unless the prefix names one. */
async function replica(prefix = `file${++prefixes}`): Promise<Replica> {
  const started = await startReplica(server.url, prefix);
  connections.push(started.connection);
  return started;
}

describe("the apps file", () => {
  const write = (text: string): string => {
    const file = join(folder, "apps.yaml");
    writeFileSync(file, text);
    return file;
  };

  test("is put into the registry at every start, and changes neither secrets nor statuses", async () => {
    const { registry, store, index } = await replica();
    const file = write(`
apps:
  - slug: acme
    webhook_url: https://hooks.acme.example/in
    events: [issue, "metric_alert.*"]
    client_secret: ${SECRET}
installations:
  - uuid: ${UUID}
    app: acme
    organization_id: 42
`);
    expect(await loadAppsFile(file, registry, silentLogger)).toEqual({ apps: 1, installations: 1, changed: 2 });
    const record = JSON.parse((await store.readRecord(`installation.${UUID}`))?.value ?? "{}") as object;
    await store.reached(await store.putRecord(`installation.${UUID}`, JSON.stringify({ ...record, status: "disabled" })));
    expect(await loadAppsFile(file, registry, silentLogger)).toEqual({ apps: 1, installations: 1, changed: 0 });
    expect(index.app("acme")).toMatchObject({ clientSecret: SECRET, previousSecret: null, events: ["issue", "metric_alert.*"] });
    expect(index.installation(UUID)).toMatchObject({ organizationId: "42", status: "disabled" });
  });

  test.each<[string, string, RegExp]>([
    ["is no YAML", "apps: [", /APPS_FILE.*\n.*(flow|Flow)/s],
    ["has an unknown list", "app: []", /file: Unrecognized key: "app"/],
    ["has an app without a slug", "apps:\n  - webhook_url: https://x.example", /apps\.0\.slug/],
    [
      "has two wrong entries",
      "apps:\n  - slug: A\n    webhook_url: https://x.example\n  - slug: b\n    webhook_url: 7",
      /apps\.0\.slug.*apps\.1\.webhook_url/s,
    ],
    [
      "has a header that no header can be",
      "apps:\n  - slug: b\n    webhook_url: https://x.example\n    headers: {__proto__: x}",
      /apps\.0\.headers\.__proto__: found the name "__proto__", wanted another header name/,
    ],
    ["has a URL that is refused", "apps:\n  - slug: b\n    webhook_url: http://x.example", /apps\.0: app b: webhook_url: .*not https/],
    [
      "installs an app that is not there",
      `installations:\n  - uuid: ${UUID}\n    app: nobody\n    organization_id: 1`,
      /installations\.0: .*wanted an app that exists/,
    ],
  ])("that %s stops the start", async (_what, text, message) => {
    const { registry } = await replica();
    await expect(loadAppsFile(write(text), registry, silentLogger)).rejects.toMatchObject({
      code: "APPS_FILE_INVALID",
      message: expect.stringMatching(message),
    });
  });

  test("that is not there stops the start", async () => {
    const { registry } = await replica();
    await expect(loadAppsFile(join(folder, "nowhere.yaml"), registry, silentLogger)).rejects.toThrow(
      /nowhere\.yaml:\n {2}can't be read \(ENOENT/,
    );
  });
});

describe("a large apps file", () => {
  const uuidOf = (number: number): string => `00000000-0000-4000-8000-${number.toString(16).padStart(12, "0")}`;
  const appsFile = (count: number): string => {
    const apps = Array.from(
      { length: count },
      (_, at) => `  - {slug: app-${at}, webhook_url: "https://hooks.example/${at}", events: [issue]}`,
    );
    const installations = apps.map((_, at) => `  - {uuid: ${uuidOf(at)}, app: app-${at}, organization_id: 42}`);
    const file = join(folder, `${count}.yaml`);
    writeFileSync(file, ["apps:", ...apps, "installations:", ...installations].join("\n"));
    return file;
  };
  const sentBy = async ({ connection }: Replica, work: () => Promise<unknown>): Promise<number> => {
    const before = connection.stats().outMsgs;
    await work();
    return connection.stats().outMsgs - before;
  };
  /** The watch's flow control and the first subscription. */
  const OTHERS = 20;

  test("costs one write for each new record, and none for one that has not changed", async () => {
    const first = await replica();
    expect(await sentBy(first, () => loadAppsFile(appsFile(400), first.bulkRegistry, silentLogger))).toBeLessThan(800 + OTHERS);
    expect(first.index.counts()).toEqual({ apps: 400, installations: 400 });

    const { revision } = await first.registry.getApp("app-0");
    expect(await sentBy(first, () => loadAppsFile(appsFile(400), first.bulkRegistry, silentLogger))).toBeLessThan(OTHERS);
    expect((await first.registry.getApp("app-0")).revision).toBe(revision);

    await first.registry.putApp("app-7", { webhook_url: "https://hooks.example/elsewhere" }, NO_PRECONDITION);
    const loaded = loadAppsFile(appsFile(400), first.bulkRegistry, silentLogger);
    expect(await loaded).toEqual({ apps: 400, installations: 400, changed: 1 });
    expect(first.index.app("app-7")).toMatchObject({ webhookUrl: "https://hooks.example/7", events: ["issue"] });
  });

  test("is loaded by two replicas at once, and each record is created by one of them", async () => {
    const [one, two] = await Promise.all([replica("both"), replica("both")]);
    const file = appsFile(200);
    const loaded = await Promise.all([one, two].map(({ bulkRegistry }) => loadAppsFile(file, bulkRegistry, silentLogger)));
    for (const { index } of [one, two]) expect(index.counts()).toEqual({ apps: 200, installations: 200 });
    const [record, other] = await Promise.all([one, two].map(({ registry }) => registry.getApp("app-3")));
    expect(record).toEqual(other);
    // Without a secret in the file, the later replica keeps the one that the earlier has made.
    expect(loaded[0]?.changed).toBeGreaterThanOrEqual(0);
    expect((loaded[0]?.changed ?? 0) + (loaded[1]?.changed ?? 0)).toBe(400);
  });

  test("recreates what was deleted, later than it was created before", async () => {
    const { registry, bulkRegistry, index } = await replica();
    const file = appsFile(3);
    await loadAppsFile(file, bulkRegistry, silentLogger);
    const before = index.app("app-1");
    await registry.deleteApp("app-1", NO_PRECONDITION);
    expect(index.installation(uuidOf(1))).toBeUndefined();
    expect(await loadAppsFile(file, bulkRegistry, silentLogger)).toMatchObject({ changed: 2 });
    expect(index.app("app-1")?.createdAt).toBeGreaterThan(before?.createdAt ?? Number.POSITIVE_INFINITY);
    expect((await registry.getInstallation(uuidOf(1))).record).toMatchObject({ counters_stale: true, status: "active" });
  });

  test("sees what another replica has changed since this one's watch was read", async () => {
    const [one, two] = await Promise.all([replica("behind"), replica("behind")]);
    const file = appsFile(1);
    await loadAppsFile(file, one.bulkRegistry, silentLogger);
    await eventually(() => two.index.app("app-0"));
    // Its watch is stopped, so its memory stays as it is.
    await two.store.stop();
    await one.registry.rotateSecret("app-0");
    const { record } = await one.registry.getApp("app-0");
    await expect(two.bulkRegistry.patchApp("app-0", { name: "Renamed" }, NO_PRECONDITION)).rejects.toThrow(/has not seen it yet/);
    expect((await one.registry.getApp("app-0")).record).toMatchObject({ name: "Renamed", client_secret: record.client_secret });
  });
});
