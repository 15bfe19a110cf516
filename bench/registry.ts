/**
 * How long 100,000 installations take to load from the registry bucket, what one match costs in an organization with 20 apps, and
 * what an apps file with 50,000 apps and 50,000 installations of one organization costs when it is new and when it has not changed.
 * Run it with: npm run example -- bench/registry.ts
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "nats";
import { startNatsServer } from "../scripts/servers.mjs";
import { createConnectionState } from "../src/jetstream/connection.ts";
import { systemClock } from "../src/model/clock.ts";
import type { Event } from "../src/model/event.ts";
import { loadAppsFile } from "../src/registry/apps-file.ts";
import { feedIndex } from "../src/registry/index-feed.ts";
import { createRegistryKinds } from "../src/registry/record-kinds.ts";
import { createRegistry } from "../src/registry/registry.ts";
import { createRegistryIndex } from "../src/registry/registry-index.ts";
import { createSecretBox } from "../src/registry/secret-box.ts";
import { createRegistryStore } from "../src/registry/store.ts";
import { createLog, logOutput } from "../src/telemetry/logger.ts";

const INSTALLATIONS = 100_000;
const APPS_PER_ORGANIZATION = 20;
const MATCHES = 200_000;
const IN_APPS_FILE = 100_000;
const LIMITS = {
  ...{ maxNameLength: 128, maxUrlLength: 2_048, maxIdLength: 128, maxEvents: 100, maxHeaders: 16 },
  ...{ maxHeaderLength: 1_024, maxRetries: 16, maxProjects: 1_000 },
};

const server = await startNatsServer();
const connection = await connect({ servers: server.url });
const { logger } = createLog("warn", logOutput("json"));
const newStore = (prefix = "bench") =>
  createRegistryStore(
    { connection, onReconnect: createConnectionState(connection).onReconnect, clock: systemClock, logger },
    { prefix, replicas: 1 },
  );

const filling = newStore();
await filling.start();
const time = new Date().toISOString();
for (let app = 0; app < APPS_PER_ORGANIZATION; app++) {
  const events = app % 2 === 0 ? ["issue", "metric_alert.*"] : ["comment.created", "error"];
  const members = { webhook_url: "https://hooks.example/in", status: "published", events, headers: {}, ordered: false };
  await filling.putRecord(
    `app.app-${app}`,
    JSON.stringify({ slug: `app-${app}`, name: "x", client_secret: "ab".repeat(32), created_at: time, updated_at: time, ...members }),
  );
}
const uuidOf = (number: number): string => `00000000-0000-4000-8000-${number.toString(16).padStart(12, "0")}`;
for (let from = 0; from < INSTALLATIONS; from += 1_000) {
  await Promise.all(
    Array.from({ length: 1_000 }, (_, at) => {
      const number = from + at;
      const members = {
        app: `app-${number % APPS_PER_ORGANIZATION}`,
        organization_id: String(Math.floor(number / APPS_PER_ORGANIZATION)),
        project_ids: [],
      };
      return filling.putRecord(
        `installation.${uuidOf(number)}`,
        JSON.stringify({ uuid: uuidOf(number), status: "active", created_at: time, updated_at: time, ...members }),
      );
    }),
  );
}
await filling.stop();

const index = createRegistryIndex();
const store = newStore();
const secretBox = createSecretBox(null);
feedIndex({ store, kinds: createRegistryKinds(secretBox), index, secretBox, logger });
const loadStart = performance.now();
await store.start();
const loadMs = performance.now() - loadStart;

const eventOf = (organization: number): Event => ({
  ...{
    id: "e",
    source: null,
    resource: "issue",
    action: "created",
    type: "issue.created",
    organizationId: String(organization),
    installationUuid: null,
    app: null,
  },
  ...{ projectId: "7", dataJson: "{}", actorJson: null, occurredAt: time, publishedAt: Date.now(), traceparent: null, tracestate: null },
});
const events = Array.from({ length: 1_000 }, (_, at) => eventOf(at * 5));
let matched = 0;
for (const event of events) matched += index.match(event).length;
const matchStart = performance.now();
for (let i = 0; i < MATCHES; i++) matched += index.match(events[i % events.length] as Event).length;
const matchUs = ((performance.now() - matchStart) * 1000) / MATCHES;

console.log(`${index.counts().installations} installations and ${index.counts().apps} apps loaded in ${(loadMs / 1000).toFixed(2)} s`);
console.log(
  `one match in an organization with ${APPS_PER_ORGANIZATION} apps: ${matchUs.toFixed(2)} µs (${matched > 0 ? "half of them want it" : "none matched"})`,
);
await store.stop();
await measureAppsFile();
await connection.close();
await server.stop();

async function measureAppsFile(): Promise<void> {
  const appIndex = createRegistryIndex();
  const appStore = newStore("apps-file");
  const kinds = createRegistryKinds(secretBox);
  feedIndex({ store: appStore, kinds, index: appIndex, secretBox, logger });
  await appStore.start();
  const refusesUrl = async () => null;
  const registry = createRegistry(
    { store: appStore.memoryFirst(), kinds, index: appIndex, secretBox, refusesUrl, clock: systemClock },
    { secretOverlapMs: 0, limits: LIMITS, checksKnownUrls: false },
  );
  const folder = mkdtempSync(join(tmpdir(), "posthorn-bench-"));
  const file = join(folder, "apps.yaml");
  const numbers = Array.from({ length: IN_APPS_FILE / 2 }, (_, at) => at);
  const about = `events: [issue, comment.created]\n  client_secret: "${"ab".repeat(32)}"`;
  const apps = numbers.map((at) => `- slug: app-${at}\n  webhook_url: https://hooks.example/${at}\n  ${about}`);
  const installations = numbers.map((at) => `- uuid: ${uuidOf(at)}\n  app: app-${at}\n  organization_id: "42"`);
  writeFileSync(file, ["apps:", ...apps, "installations:", ...installations].join("\n"));
  for (const state of ["new", "unchanged"]) {
    const [cpu, sent, start] = [process.cpuUsage(), connection.stats().outMsgs, performance.now()];
    const { changed } = await loadAppsFile(file, registry, logger);
    const { user, system } = process.cpuUsage(cpu);
    const seconds = [((performance.now() - start) / 1000).toFixed(1), ((user + system) / 1e6).toFixed(1)];
    console.log(
      `${state} apps file with ${IN_APPS_FILE} records: ${seconds[0]} s, ${seconds[1]} s of CPU, ${changed} changed, ${connection.stats().outMsgs - sent} messages to NATS`,
    );
  }
  await appStore.stop();
  rmSync(folder, { recursive: true });
}
