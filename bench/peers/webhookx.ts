/** WebhookX on PostgreSQL and Redis: an event type for each group. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../scripts/servers.mjs";
import type { Peer } from "./peer.ts";
import { type Api, createApi, startService } from "./service.ts";
import { sleep } from "./sleep.ts";

const ROUTED_WITHIN_MS = 30_000;

export const webhookx: Peer = {
  name: "webhookx",
  source: {
    commands: ["webhookx"],
    build: (out) => ["nice", "-n", "19", "go", "build", "-o", `${out}/webhookx`, "./cmd/main"],
    version: ["webhookx", "version"],
    image: "webhookx/webhookx:1.2.0",
    repository: "https://github.com/webhookx-io/webhookx",
  },
  async start(site, program) {
    const [redis, postgres] = await Promise.all([site.redis(), site.postgres()]);
    const [adminPort, proxyPort, statusPort] = [await freePort(), await freePort(), await freePort()];
    const file = join(site.folder, "webhookx.yml");
    const redisAt = { host: "127.0.0.1", port: redis.port };
    // JSON is YAML.
    const config = {
      ...{ log: { level: "warn" }, access_log: { enabled: false }, anonymous_reports: false },
      database: { host: "127.0.0.1", port: postgres.port, username: "bench", database: "postgres" },
      redis: redisAt,
      proxy: { listen: `127.0.0.1:${proxyPort}`, queue: { type: "redis", redis: redisAt } },
      admin: { listen: `127.0.0.1:${adminPort}` },
      status: { listen: `127.0.0.1:${statusPort}` },
      // It refuses loopback addresses by default.
      worker: { enabled: true, deliverer: { acl: { deny: [] } } },
    };
    writeFileSync(file, JSON.stringify(config));
    program.run({ command: "webhookx", args: ["db", "up", "--config", file] });
    const admin = `http://127.0.0.1:${adminPort}`;
    const service = await startService(program, site.folder, [{ command: "webhookx", args: ["start", "--config", file] }], admin);
    const api = createApi(admin);
    const proxy = createApi(`http://127.0.0.1:${proxyPort}`);
    await api.send("POST", "/workspaces/default/sources", { type: "http", config: { http: { path: "/", methods: ["POST"] } } });
    await untilRouted(proxy);
    return {
      ...service,
      async addEndpoint(group, url) {
        const endpoint = await api.send("POST", "/workspaces/default/endpoints", { request: { url }, events: [group] });
        const { id } = endpoint as { id: string };
        const plugin = { name: "webhookx-signature", endpoint_id: id, config: { signing_secret: "ab".repeat(32) } };
        await api.send("POST", "/workspaces/default/plugins", plugin);
      },
      publish: async (group, data) => void (await proxy.send("POST", "/", `{"event_type":"${group}","data":${data}}`)),
      async stop() {
        await Promise.all([api.stop(), proxy.stop()]);
        await service.stop();
      },
    };
  },
};

/** The proxy reads new sources about once a second. */
async function untilRouted(proxy: Api): Promise<void> {
  const until = Date.now() + ROUTED_WITHIN_MS;
  for (;;) {
    try {
      await proxy.send("POST", "/", { event_type: "nobody", data: {} });
      return;
    } catch (error) {
      if (Date.now() > until) throw error;
      await sleep(200);
    }
  }
}
