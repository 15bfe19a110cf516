/** The secrets of an app can't be chosen so that its failed attempts keep the process busy. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;
let receiver: Receiver;
let neighbour: Receiver;
let posthorn: Posthorn;

beforeAll(async () => {
  [nats, redis, receiver, neighbour] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver(), startReceiver()]);
  posthorn = await startPosthornHere({ nats, redis });
});
afterAll(async () => {
  await posthorn.end();
  await Promise.all([nats.stop(), redis.stop(), receiver.stop(), neighbour.stop()]);
});

test("an app whose secrets are parts of the replacement fails as fast as any other, and its row is readable", async () => {
  const values = ["redact", "[redac", "acted]"];
  receiver.behave((_request, response) => {
    response.writeHead(400).end(`no: ${"redact".repeat(2730)}`);
  });
  neighbour.behave(answer(200));
  const query = Array.from({ length: 177 }, (_, n) => `${n}=${values[n % 3]}`).join("&");
  const headers = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`x-${n}`, values[n % 3]]));
  const hostile = await posthorn.install({ webhook_url: `${receiver.url}/services/T000/B000/XXXX?${query}`, headers });
  await posthorn.install({ webhook_url: neighbour.url });

  const bus = await connectBus(nats, posthorn.prefix);
  const events = Array.from({ length: 40 }, (_, n) => bus.publish("issue.created", { organization_id: "42", data: { n } }));
  await Promise.all(events);
  const rows = await eventually(async () => {
    const { items } = (await posthorn.api("GET", `/v1/apps/${hostile.slug}/webhook-requests?limit=100`)).body;
    return items.length === 40 ? (items as Array<Record<string, unknown>>) : null;
  });
  await neighbour.waitFor(40);
  for (const row of rows) {
    expect(row).toMatchObject({ webhook_url: `${receiver.url}/services/REDACTED/REDACTED/REDACTED`, response_body: "no: [redacted]" });
  }
  await bus.close();
});
