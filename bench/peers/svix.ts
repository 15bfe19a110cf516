/** Svix on PostgreSQL and Redis: an application for each group. */
import { freePort } from "../../scripts/servers.mjs";
import type { Peer } from "./peer.ts";
import { createApi, startService } from "./service.ts";

export const svix: Peer = {
  name: "svix",
  source: {
    commands: ["svix-server"],
    build: (out) => [
      ...["sh", "-c", 'cd server && nice -n 19 cargo build --release --package svix-server --target-dir "$0/target" &&'],
      ...['cp "$0/target/release/svix-server" "$0/"', out],
    ],
    version: ["svix-server", "--version"],
    image: "svix/svix-server:v2.0.0",
    repository: "https://github.com/svix/svix-webhooks",
  },
  async start(site, program) {
    const [redis, postgres] = await Promise.all([site.redis(), site.postgres()]);
    const port = await freePort();
    const environment = {
      ...{ SVIX_LISTEN_ADDRESS: `127.0.0.1:${port}`, SVIX_DB_DSN: postgres.url, SVIX_REDIS_DSN: redis.url, SVIX_QUEUE_TYPE: "redis" },
      ...{ SVIX_JWT_SECRET: "bench", SVIX_LOG_LEVEL: "error", SVIX_WHITELIST_SUBNETS: "[127.0.0.0/8]" },
    };
    const token = /Bearer\): (\S+)/.exec(program.run({ command: "svix-server", args: ["jwt", "generate"], environment }))?.[1];
    const origin = `http://127.0.0.1:${port}`;
    const command = { command: "svix-server", args: ["--run-migrations"], environment };
    const service = await startService(program, site.folder, [command], `${origin}/api/v1/health`);
    const api = createApi(origin, { authorization: `Bearer ${token}` });
    const applications = new Set<string>();
    return {
      ...service,
      async addEndpoint(group, url) {
        if (!applications.has(group)) await api.send("POST", "/api/v1/app", { name: group, uid: group });
        applications.add(group);
        await api.send("POST", `/api/v1/app/${group}/endpoint`, { url });
      },
      publish: async (group, data) =>
        void (await api.send("POST", `/api/v1/app/${group}/msg`, `{"eventType":"issue.created","payload":${data}}`)),
      async stop() {
        await api.stop();
        await service.stop();
      },
    };
  },
};
