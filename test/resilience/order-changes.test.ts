/** An app's order is switched off and on again while its deliveries wait, and the owner of the queues is killed after that. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { allHandled, connectBus, startPosthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

const EVENTS = 80;
const MAX_IN_FLIGHT = 4;

let nats: Server;
let redis: Server;
beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
});
afterAll(async () => {
  await Promise.all([nats.stop(), redis.stop()]);
});

test.concurrent("the next owner delivers what was in hand before the order changed", async ({ onTestFinished }) => {
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  // The first attempt has no answer: what is behind it waits.
  const receiver = await startReceiver(() => {});
  onTestFinished(receiver.stop);
  const first = await startPosthorn({ nats, redis, prefix });
  onTestFinished(async () => void (await first.end("SIGKILL")));
  const { slug } = await first.install({ webhook_url: receiver.url, order_by: "app" });
  const bus = await connectBus(nats, prefix);
  onTestFinished(bus.close);
  const registry = await bus.jetStream.views.kv(`${prefix}-registry`);
  const isRecord = (state: string) =>
    eventually(async () => (await registry.get(`order.${slug}`))?.json<{ state: string }>().state === state);
  await isRecord("taking");
  for (let n = 0; n < 5; n++) await bus.publish("issue.created", { organization_id: "42", data: { n } });
  await receiver.waitFor(1);

  await first.api("PATCH", `/v1/apps/${slug}`, { order_by: "none" });
  await isRecord("ending");
  await first.api("PATCH", `/v1/apps/${slug}`, { order_by: "app" });
  await isRecord("taking");
  await first.end("SIGKILL");

  receiver.behave(answer(200));
  const second = await startPosthornHere({ nats, redis, prefix });
  onTestFinished(async () => void (await second.end()));
  // It delivers when the lease of the first one has expired, after 10 s.
  await receiver.waitFor(6);
  const numbers = receiver.requests.map((request) => Number(request.json().data["n"]));
  expect(numbers).toEqual([0, 0, 1, 2, 3, 4]);
});

test.concurrent("the queue of an installation is emptied in order from when its app is ordered", async ({ onTestFinished }) => {
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  /** Numbers of the events whose requests are not answered yet. */
  const open = new Set<number>();
  const overlaps: number[][] = [];
  const receiver = await startReceiver((request, response) => {
    const n = Number(request.json().data["n"]);
    open.add(n);
    if (open.size > 1) overlaps.push([...open]);
    setTimeout(() => {
      open.delete(n);
      response.end();
    }, 20);
  });
  onTestFinished(receiver.stop);
  const posthorn = await startPosthornHere({ nats, redis, prefix });
  onTestFinished(async () => void (await posthorn.end()));
  const { slug, uuid } = await posthorn.install({ webhook_url: receiver.url, max_in_flight: MAX_IN_FLIGHT });
  await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
  const bus = await connectBus(nats, prefix);
  onTestFinished(bus.close);
  for (let n = 0; n < EVENTS; n++) await bus.publish("issue.created", { organization_id: "42", data: { n } });
  await allHandled(bus);
  await posthorn.api("POST", `/v1/installations/${uuid}/enable`);
  await receiver.waitFor(10);
  await posthorn.api("PATCH", `/v1/apps/${slug}`, { order_by: "app" });
  const begun = receiver.requests.length;
  await receiver.waitFor(EVENTS);
  // Attempts that began before the app was ordered may overlap.
  expect(overlaps.filter((numbers) => Math.max(...numbers) > begun + MAX_IN_FLIGHT)).toEqual([]);
});
