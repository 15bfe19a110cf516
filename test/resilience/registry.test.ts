/** A new record is known to every replica that takes an event published after the API's answer. */
import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { connectBus, startPosthorn, startPosthornHere } from "../support/posthorn.ts";
import { startReceiver } from "../support/receiver.ts";
import { startNatsServer, startRedisServer } from "../support/servers.ts";

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
