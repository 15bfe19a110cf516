/** Convoy on PostgreSQL and Redis, its API and its agent: an owner of endpoints for each group. */
import { freePort } from "../../scripts/servers.mjs";
import { destinationAt } from "../support/start-receiver.ts";
import type { Peer } from "./peer.ts";
import { createApi, startService } from "./service.ts";

const UNLIMITED = "1000000";

export const convoy: Peer = {
  name: "convoy",
  source: {
    commands: ["convoy"],
    build: (out) => ["nice", "-n", "19", "go", "build", "-o", `${out}/convoy`, "./cmd"],
    version: ["convoy", "version"],
    image: "getconvoy/convoy:v26.7.3",
    imagePaths: { convoy: "/cmd" },
    repository: "https://github.com/frain-dev/convoy",
  },
  async start(site, program) {
    const [redis, postgres] = await Promise.all([site.redis(), site.postgres()]);
    const [port, agentPort] = [await freePort(), await freePort()];
    const environment = {
      ...{ CONVOY_DB_TYPE: "postgres", CONVOY_DB_SCHEME: "postgres", CONVOY_DB_HOST: "127.0.0.1", CONVOY_DB_PORT: String(postgres.port) },
      ...{ CONVOY_DB_USERNAME: "bench", CONVOY_DB_PASSWORD: "bench", CONVOY_DB_DATABASE: "postgres", CONVOY_DB_OPTIONS: "sslmode=disable" },
      ...{ CONVOY_REDIS_SCHEME: "redis", CONVOY_REDIS_HOST: "127.0.0.1", CONVOY_REDIS_PORT: String(redis.port) },
      ...{ CONVOY_JWT_SECRET: "bench", CONVOY_JWT_REFRESH_SECRET: "bench-refresh", CONVOY_ENV: "oss", CONVOY_LOGGER_LEVEL: "error" },
      ...{ CONVOY_INSTANCE_INGEST_RATE: UNLIMITED, CONVOY_API_RATE_LIMIT: UNLIMITED, CONVOY_ANALYTICS_ENABLED: "false" },
      ...{ PORT: String(port), AGENT_PORT: String(agentPort), CONVOY_HOST: `127.0.0.1:${port}` },
      // For the addresses below, which only the system's resolver reads.
      GODEBUG: "netdns=cgo",
    };
    program.run({ command: "convoy", args: ["migrate", "up"], environment });
    const printed = program.run({ command: "convoy", args: ["bootstrap", "--email", "bench@example.com", "--with-api-key"], environment });
    // Lines of its log come before.
    const printedValue = (name: string): string => new RegExp(`"${name}": "([^"]+)"`).exec(printed)?.[1] ?? "";
    const [organization, key] = [printedValue("organisation_id"), printedValue("api_key")];
    const commands = ["server", "agent"].map((command) => ({ command: "convoy", args: [command], environment }));
    const origin = `http://127.0.0.1:${port}`;
    const service = await startService(program, site.folder, commands, `${origin}/healthz`);
    const api = createApi(origin, { authorization: `Bearer ${key}` });
    const answer = await api.send("POST", `/api/v1/projects?orgID=${organization}`, { name: "bench", type: "outgoing" });
    const project = `/api/v1/projects/${(answer as { data: { project: { uid: string } } }).data.project.uid}`;
    let endpoints = 0;
    return {
      ...service,
      async addEndpoint(group, url) {
        const name = `endpoint-${endpoints++}`;
        const endpoint = { name, url: asNumber(url), owner_id: group, secret: "ab".repeat(32), rate_limit: 0 };
        const { data } = (await api.send("POST", `${project}/endpoints`, endpoint)) as { data: { uid: string } };
        const subscription = { name, endpoint_id: data.uid, filter_config: { event_types: ["*"] } };
        await api.send("POST", `${project}/subscriptions`, subscription);
      },
      publish: async (group, data) =>
        void (await api.send("POST", `${project}/events/fanout`, `{"owner_id":"${group}","event_type":"issue.created","data":${data}}`)),
      async stop() {
        await api.stop();
        await service.stop();
      },
    };
  },
};

/** Convoy refuses loopback addresses in dotted form; the receiver has no others, and this machine's resolver has no names for them. */
function asNumber(url: string): string {
  const { hostname, port, pathname } = new URL(url);
  return `http://${127 * 2 ** 24 + 2 ** 16 + destinationAt(hostname)}:${port}${pathname}`;
}
