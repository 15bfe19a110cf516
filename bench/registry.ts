/**
 * How long 100,000 installations take to load from the registry bucket, and what one match costs in an organization with 20
 * apps. Run it with: npm run example -- bench/registry.ts
 */
import { connect } from "nats";
import { startNatsServer } from "../scripts/servers.mjs";
import { createConnectionState } from "../src/jetstream/connection.ts";
import { systemClock } from "../src/model/clock.ts";
import type { Event } from "../src/model/event.ts";
import { feedIndex } from "../src/registry/index-feed.ts";
import { createRegistryKinds } from "../src/registry/record-kinds.ts";
import { createRegistryIndex } from "../src/registry/registry-index.ts";
import { createSecretBox } from "../src/registry/secret-box.ts";
import { createRegistryStore } from "../src/registry/store.ts";
import { createLog, logOutput } from "../src/telemetry/logger.ts";

const INSTALLATIONS = 100_000;
const APPS_PER_ORGANIZATION = 20;
const MATCHES = 200_000;

const server = await startNatsServer();
const connection = await connect({ servers: server.url });
const { logger } = createLog("warn", logOutput("json"));
const newStore = () =>
  createRegistryStore(
    { connection, onReconnect: createConnectionState(connection).onReconnect, clock: systemClock, logger },
    { prefix: "bench", replicas: 1 },
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
await connection.close();
await server.stop();
