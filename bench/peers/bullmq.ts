/** BullMQ and undici (bench/baseline/bullmq.ts): what somebody might write with a queue library, a job for each delivery, Redis only. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Queue } from "bullmq";
import { type BaselineJob, type BaselineSettings, ended } from "../support/contenders.ts";
import type { Peer } from "./peer.ts";
import { killAtExit } from "./program.ts";

const WORKER = fileURLToPath(new URL("../baseline/bullmq.ts", import.meta.url));
const QUEUE = "bench";

export const bullmq: Peer = {
  name: "bullmq",
  source: null,
  async start(site) {
    const { url: redisUrl } = await site.redis();
    const settings: BaselineSettings = { redisUrl, queue: QUEUE };
    const startOne = async (): Promise<ChildProcess> => {
      const one = fork(WORKER, { stdio: "inherit" });
      killAtExit(one);
      one.send(settings);
      await new Promise((resolve) => one.once("message", resolve));
      return one;
    };
    let child = await startOne();
    const queue = new Queue<BaselineJob>(QUEUE, { connection: { url: redisUrl }, defaultJobOptions: { removeOnComplete: true } });
    const endpoints = new Map<string, { readonly url: string; readonly app: string }[]>();
    let apps = 0;
    return {
      async addEndpoint(group, url) {
        endpoints.set(group, [...(endpoints.get(group) ?? []), { url, app: `app-${apps++}` }]);
      },
      async publish(group, data) {
        const event = JSON.parse(data) as object;
        const jobs = (endpoints.get(group) ?? []).map((endpoint) => ({ name: "webhook", data: { ...endpoint, event } }));
        if (jobs.length === 1) for (const { name, data: job } of jobs) await queue.add(name, job);
        else await queue.addBulk(jobs);
      },
      processes: () => [child.pid ?? 0],
      async crash() {
        const exited = new Promise((resolve) => child.once("exit", resolve));
        child.kill("SIGKILL");
        await exited;
        child = await startOne();
      },
      async stop() {
        await ended(child);
        await queue.close();
      },
    };
  },
};
