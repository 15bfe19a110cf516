/** A start beside a NATS that is not ready yet, or never will be. */
import { spawn } from "node:child_process";
import { connect } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findBinary } from "../../scripts/servers.mjs";
import { eventually } from "../support/eventually.ts";
import { startNatsCluster } from "../support/nats-cluster.ts";
import { startPosthorn } from "../support/posthorn.ts";
import { freePort, noteChild, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let redis: Server;

beforeAll(async () => {
  redis = await startRedisServer();
});
afterAll(async () => {
  await redis.stop();
});

const settings = { POSTHORN_STREAM_REPLICAS: "3" };
const reasons = (log: ReadonlyArray<Record<string, unknown>>) =>
  log.filter(({ message }) => message === "waiting for JetStream").map(({ step, reason }) => `${step}: ${reason}`);

/** A node of a cluster in which nobody answers for JetStream. */
async function hasNoLeader({ url }: Server): Promise<boolean> {
  const connection = await connect({ servers: url });
  const manager = await connection.jetstreamManager({ checkAPI: false, timeout: 1_000 });
  const isUp = await manager.getAccountInfo().then(
    () => true,
    () => false,
  );
  await connection.close();
  return !isUp;
}

describe.concurrent("on a cluster of three nodes", () => {
  test("of which one is up waits for the others, says for what, and begins by itself", async ({ onTestFinished }) => {
    const cluster = await startNatsCluster();
    onTestFinished(() => cluster.stop());
    const [first, ...others] = cluster.nodes;
    // As none has been asked to store anything, this is a cluster that was never up, once a leader that it may have had has stepped down.
    await Promise.all(others.map((node) => node.kill()));
    await eventually(() => hasNoLeader(first as Server));
    const posthorn = await startPosthorn({ nats: first as Server, redis, settings, waitForReady: false });
    onTestFinished(() => posthorn.end().then(() => {}));
    await eventually(() => reasons(posthorn.log).length > 0);
    expect(reasons(posthorn.log)[0]).toMatch(/^JetStream: .*(no leader|no JetStream leader)/);
    await Promise.all(others.map((node) => node.restart()));
    await posthorn.ready();
  });

  test("of which too few are up gives up after POSTHORN_STARTUP_TIMEOUT with the reason", async ({ onTestFinished }) => {
    const cluster = await startNatsCluster();
    onTestFinished(() => cluster.stop());
    await Promise.all(cluster.nodes.slice(1).map((node) => node.kill()));
    await eventually(() => hasNoLeader(cluster.nodes[0] as Server));
    const posthorn = await startPosthorn({
      nats: cluster.nodes[0] as Server,
      redis,
      settings: { ...settings, POSTHORN_STARTUP_TIMEOUT: "4s" },
      waitForReady: false,
    });
    expect(await posthorn.end("SIGCONT")).toBe(1);
    expect(posthorn.log.at(-1)).toMatchObject({
      code: "JETSTREAM_UNAVAILABLE",
      error: expect.stringMatching(/^POSTHORN_NATS_URL: JetStream can't be used within 4000 ms: no answer; /),
    });
  });
});

test.concurrent("more replicas than a single server can have stop the start at once", async ({ onTestFinished }) => {
  const nats = await startNatsServer();
  onTestFinished(() => nats.stop());
  const posthorn = await startPosthorn({ nats, redis, settings, waitForReady: false });
  expect(await posthorn.end("SIGCONT")).toBe(78);
  expect(posthorn.log.at(-1)).toMatchObject({ code: "STREAM_MISMATCH", error: expect.stringMatching("replicas > 1 not supported") });
  expect(reasons(posthorn.log)).toEqual([]);
});

test.concurrent("a server without JetStream is recognized at once, and the message says what to do", async ({ onTestFinished }) => {
  const port = await freePort();
  const child = spawn(process.env["TEST_NATS_SERVER"] ?? findBinary("nats-server") ?? "", ["-a", "127.0.0.1", "-p", String(port)]);
  noteChild(child);
  onTestFinished(() => void child.kill("SIGKILL"));
  const url = `nats://127.0.0.1:${port}`;
  await eventually(async () => (await connect({ servers: url })).close().then(() => true));
  const posthorn = await startPosthorn({ nats: { url }, redis, waitForReady: false });
  expect(await posthorn.end("SIGCONT")).toBe(78);
  expect(posthorn.log.at(-1)).toMatchObject({
    code: "JETSTREAM_UNAVAILABLE",
    error: `POSTHORN_NATS_URL: 127.0.0.1:${port}, or Posthorn's account on it, has no JetStream: start nats-server with -js, or with a jetstream block in its configuration, and enable JetStream for the account`,
  });
});
