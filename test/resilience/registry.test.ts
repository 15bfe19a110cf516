/** A new record is known to every replica that takes an event published after the API's answer. */
import { randomUUID } from "node:crypto";
import { ErrorCode } from "nats";
import { expect, test } from "vitest";
import { createSubjects } from "../../src/jetstream/subjects.ts";
import { eventually } from "../support/eventually.ts";
import { connectBus, startPosthorn, startPosthornHere } from "../support/posthorn.ts";
import { startReceiver } from "../support/receiver.ts";
import { startNatsServer, startRedisServer } from "../support/servers.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";

const ROUNDS = 15;
const EVENTS = 30;

test("events published right after an app and its installation are delivered, whichever replica takes them", async ({ onTestFinished }) => {
  const [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver()]);
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  const own = { nats, redis, prefix };
  const replicas = await Promise.all([startPosthornHere(own), startPosthorn(own), startPosthornHere(own)]);
  const bus = await connectBus(nats, prefix);
  onTestFinished(async () => {
    await bus.close();
    await Promise.all(replicas.map((replica) => replica.end()));
    await Promise.all([nats.stop(), redis.stop(), receiver.stop()]);
  });
  const [first, frozen] = replicas;

  /** The events' ids. */
  const installAndPublish = async (round: string): Promise<string[]> => {
    const app = `app-${round}`;
    expect((await first.api("PUT", `/v1/apps/${app}`, { webhook_url: receiver.url, events: ["*"] })).status).toBe(201);
    const installation = { app, organization_id: round };
    expect((await first.api("PUT", `/v1/installations/${randomUUID()}`, installation)).status).toBe(201);
    const ids = Array.from({ length: EVENTS }, (_, n) => `e-${round}-${n}`);
    await Promise.all(ids.map((id) => bus.publish("issue.created", { id, organization_id: round, data: { id } })));
    return ids;
  };
  const arrived = (): Set<string> => new Set(receiver.requests.map(({ body }) => JSON.parse(body.toString()).data.id as string));
  const missing = (ids: readonly string[]): string[] => ids.filter((id) => !arrived().has(id));

  const ids: string[] = [];
  for (let round = 0; round < ROUNDS; round++) ids.push(...(await installAndPublish(`r${round}`)));
  await eventually(() => expect(missing(ids)).toEqual([]));

  // One replica lags: it reads the record and the events at once, later.
  frozen.child.kill("SIGSTOP");
  const behind = await installAndPublish("frozen");
  await eventually(() => expect(missing(behind).length).toBeLessThan(EVENTS));
  frozen.child.kill("SIGCONT");
  await eventually(() => expect(missing(behind)).toEqual([]));
});

test("events published right after a replica is back are delivered to what was installed meanwhile", async ({ onTestFinished }) => {
  const [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver()]);
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  const proxy = await startTcpProxy(Number(new URL(nats.url).port));
  // The first is the owner of the queues.
  const cutOff = await startPosthornHere({ nats: { url: `nats://127.0.0.1:${proxy.port}` }, redis, prefix });
  const bus = await connectBus(nats, prefix);
  const registry = await bus.jetStream.views.kv(`${prefix}-registry`);
  onTestFinished(async () => {
    await bus.close();
    await cutOff.end();
    await Promise.all([proxy.stop(), nats.stop(), redis.stop(), receiver.stop()]);
  });
  await eventually(async () => expect((await registry.get("lease.queues"))?.string()).toMatch(/"holder":"/));
  const other = await startPosthornHere({ nats, redis, prefix });
  const apps = { unordered: { order_by: "none" }, ordered: { order_by: "app" } };
  for (const [slug, app] of Object.entries(apps))
    await other.api("PUT", `/v1/apps/${slug}`, { webhook_url: receiver.url, events: ["*"], ...app });
  await eventually(() => cutOff.log.some(({ message }) => message === "an ordered app's deliveries are in hand"));

  proxy.freeze();
  for (const app of Object.keys(apps))
    expect((await other.api("PUT", `/v1/installations/${randomUUID()}`, { app, organization_id: "42" })).status).toBe(201);
  await other.end();
  proxy.thaw();
  // As soon as it has subscribed again: the server may answer with the events what it asked for before.
  const { removedDeadLetters } = createSubjects(prefix);
  const isSubscribed = () =>
    bus.connection.request(removedDeadLetters, "0", { timeout: 5 }).then(
      () => true,
      (error) => error.code === ErrorCode.Timeout,
    );
  while (!(await isSubscribed()));
  for (let n = 0; n < EVENTS; n++) await bus.publish("issue.created", { organization_id: "42", data: {} });
  await receiver.waitFor(2 * EVENTS);
});
