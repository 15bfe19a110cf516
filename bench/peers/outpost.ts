/** Hookdeck Outpost on Redis, PostgreSQL and RabbitMQ: a tenant for each group, all of its services in one process. */
import { freePort } from "../../scripts/servers.mjs";
import type { Peer } from "./peer.ts";
import { createApi, startService } from "./service.ts";

const API_KEY = "bench";
const TOPIC = "issue.created";
/** Its default is 1. */
const CONCURRENCY = "256";

export const outpost: Peer = {
  name: "outpost",
  source: {
    commands: ["outpost-server", "outpost"],
    build: (out) => ["nice", "-n", "19", "go", "build", "-o", `${out}/`, "./cmd/outpost-server", "./cmd/outpost"],
    version: ["outpost", "--version"],
    image: "hookdeck/outpost:v1.2.0",
    repository: "https://github.com/hookdeck/outpost",
  },
  async start(site, program) {
    const [redis, postgres, rabbitMq] = await Promise.all([site.redis(), site.postgres(), site.rabbitMq()]);
    const port = await freePort();
    const environment = {
      ...{ API_PORT: String(port), API_KEY, API_JWT_SECRET: "bench", AES_ENCRYPTION_SECRET: "0123456789abcdef" },
      ...{ REDIS_HOST: "127.0.0.1", REDIS_PORT: String(redis.port), POSTGRES_URL: postgres.url, RABBITMQ_SERVER_URL: rabbitMq.url },
      ...{ TOPICS: TOPIC, MAX_DESTINATIONS_PER_TENANT: "1000", DESTINATIONS_WEBHOOK_MODE: "standard" },
      ...{ DELIVERY_MAX_CONCURRENCY: CONCURRENCY, LOG_MAX_CONCURRENCY: CONCURRENCY, LOG_BATCH_THRESHOLD_SECONDS: "1" },
      ...{ LOG_LEVEL: "error", GIN_MODE: "release", DISABLE_TELEMETRY: "true" },
    };
    program.run({ command: "outpost", args: ["migrate", "apply", "--yes"], environment });
    const origin = `http://127.0.0.1:${port}`;
    const service = await startService(program, site.folder, [{ command: "outpost-server", environment }], `${origin}/api/v1/healthz`);
    const api = createApi(origin, { authorization: `Bearer ${API_KEY}` });
    const tenants = new Set<string>();
    return {
      ...service,
      async addEndpoint(group, url) {
        if (!tenants.has(group)) await api.send("PUT", `/api/v1/tenants/${group}`, {});
        tenants.add(group);
        await api.send("POST", `/api/v1/tenants/${group}/destinations`, { type: "webhook", topics: [TOPIC], config: { url } });
      },
      publish: async (group, data) =>
        void (await api.send("POST", "/api/v1/publish", `{"tenant_id":"${group}","topic":"${TOPIC}","data":${data}}`)),
      async stop() {
        await api.stop();
        await service.stop();
      },
    };
  },
};
