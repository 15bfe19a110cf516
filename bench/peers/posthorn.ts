/** Posthorn, built from this repository: an app and an installation for each endpoint, an organization for each group. */
import type { ChildProcess } from "node:child_process";
import { connect } from "nats";
import { freePort } from "../../scripts/servers.mjs";
import { ended, startPosthorn } from "../support/contenders.ts";
import type { Peer, Product } from "./peer.ts";
import { killAtExit } from "./program.ts";
import { type Api, createApi } from "./service.ts";
import type { Site } from "./site.ts";

const PREFIX = "bench";

/** Events are published on the bus, as its users do. */
export const posthorn: Peer = { name: "posthorn", source: null, start: (site) => start(site, publishOnBus) };
/** Events are published by HTTP, as those of the other products. */
export const posthornByHttp: Peer = {
  name: "posthorn-http",
  source: null,
  start: (site) => start(site, ({ api }) => ({ publish: (body) => api.send("POST", "/v1/events", body), stop: async () => {} })),
};

interface Publisher {
  publish(body: string): Promise<unknown>;
  stop(): Promise<void>;
}

interface Places {
  readonly natsUrl: string;
  readonly api: Api;
}

async function publishOnBus({ natsUrl }: Places): Promise<Publisher> {
  const connection = await connect({ servers: natsUrl });
  const jetStream = connection.jetstream();
  return { publish: (body) => jetStream.publish(`${PREFIX}.events.issue.created`, body), stop: () => connection.close() };
}

async function start(site: Site, createPublisher: (places: Places) => Publisher | Promise<Publisher>): Promise<Product> {
  const [nats, redis, port] = [await site.nats(), await site.redis(), await freePort()];
  const startOne = async (): Promise<ChildProcess> => {
    const one = await startPosthorn({ nats, redis, folder: site.folder }, PREFIX, { POSTHORN_HTTP_PORT: String(port) });
    killAtExit(one);
    return one;
  };
  let child = await startOne();
  const api = createApi(`http://127.0.0.1:${port}`);
  const publisher = await createPublisher({ natsUrl: nats.url, api });
  let apps = 0;
  return {
    async addEndpoint(group, url) {
      const slug = `app-${apps++}`;
      await api.send("PUT", `/v1/apps/${slug}`, { webhook_url: url, events: ["issue"] });
      await api.send("POST", "/v1/installations", { app: slug, organization_id: group });
    },
    async publish(group, data) {
      await publisher.publish(`{"organization_id":"${group}","resource":"issue","action":"created","data":${data}}`);
    },
    processes: () => [child.pid ?? 0],
    async crash() {
      const exited = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await exited;
      child = await startOne();
    },
    async stop() {
      await publisher.stop();
      await api.stop();
      await ended(child);
    },
  };
}
