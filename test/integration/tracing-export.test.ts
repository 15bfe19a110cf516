/** Spans as they arrive at an OTLP receiver: parentage, attributes, and that the receiver's traceparent is the client span. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { headers as natsHeaders } from "nats";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { connectBus, startPosthorn } from "../support/posthorn.ts";
import { answer, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

interface ExportedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes: Record<string, unknown>;
  readonly status: { readonly code?: number };
}

let nats: Server;
let redis: Server;

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
});
afterAll(async () => {
  await Promise.all([nats.stop(), redis.stop()]);
});

async function startCollector() {
  const spans: ExportedSpan[] = [];
  const resources: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as { resourceSpans: any[] };
      for (const { resource, scopeSpans } of body.resourceSpans) {
        resources.push(JSON.stringify(resource));
        for (const { spans: exported } of scopeSpans) {
          for (const span of exported) {
            const attributes = Object.fromEntries(
              span.attributes.map(({ key, value }: { key: string; value: object }) => [key, Object.values(value)[0]]),
            );
            spans.push({ ...span, attributes });
          }
        }
      }
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    spans,
    resources,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => new Promise((resolve) => server.close(resolve)),
  };
}

const CLIENT = 3;
const CONSUMER = 5;

test("one trace goes from the publisher over a retry to the receiver", async () => {
  const collector = await startCollector();
  const receiver = await startReceiver(answer(503));
  const posthorn = await startPosthorn({
    nats,
    redis,
    settings: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test" },
  });
  const bus = await connectBus(nats, posthorn.prefix);
  const { slug, uuid } = await posthorn.install({ webhook_url: `${receiver.url}/in?token=s3cret`, retry_schedule_s: [0.3] });
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  const headers = natsHeaders();
  headers.set("traceparent", `00-${traceId}-b7ad6b7169203331-01`);
  headers.set("baggage", "user=secret");
  await bus.publish("issue.created", { id: "evt-1", organization_id: "42", data: {} }, headers);
  await receiver.waitFor(1);
  receiver.behave(answer(200));
  const requests = await receiver.waitFor(2);
  expect(await posthorn.end()).toBe(0);

  const spans = collector.spans.filter((span) => span.traceId === traceId);
  const [first, second] = spans
    .filter(({ kind }) => kind === CLIENT)
    .sort((a, b) => Number(a.attributes["posthorn.attempt"]) - Number(b.attributes["posthorn.attempt"]));
  const consumers = Object.fromEntries(spans.filter(({ kind }) => kind === CONSUMER).map((span) => [span.name, span]));
  expect(Object.keys(consumers).sort()).toEqual(["process events", "process retries"]);
  for (const consumer of Object.values(consumers)) expect(consumer.parentSpanId).toBe("b7ad6b7169203331");
  expect([first?.parentSpanId, second?.parentSpanId]).toEqual([consumers["process events"]?.spanId, consumers["process retries"]?.spanId]);
  expect(requests.map((request) => request.headers["traceparent"])).toEqual(
    [first, second].map((span) => `00-${traceId}-${span?.spanId}-01`),
  );
  for (const request of requests) expect(request.headers["baggage"]).toBeUndefined();
  expect(first?.attributes).toMatchObject({
    "http.request.method": "POST",
    "url.full": `${receiver.url}/in`,
    "server.address": "127.0.0.1",
    "http.response.status_code": 503,
    "error.type": "503",
    "posthorn.app": slug,
    "posthorn.installation.uuid": uuid,
    "posthorn.outcome": "failed",
  });
  expect([first?.status.code, second?.status.code ?? 0]).toEqual([2, 0]);
  expect(second?.attributes).toMatchObject({
    "http.request.resend_count": 1,
    "http.response.status_code": 200,
    "posthorn.outcome": "delivered",
  });
  expect(consumers["process events"]?.attributes).toMatchObject({
    "messaging.system": "nats",
    "messaging.operation.type": "process",
    "messaging.message.id": "evt-1",
  });
  expect(collector.resources[0]).toMatch(/"service\.name".*"posthorn"/);
  expect(JSON.stringify(collector.spans)).not.toContain("s3cret");
  await bus.close();
  await receiver.stop();
  await collector.stop();
});

test("a publisher that is not sampled is not recorded, and its trace goes on", async () => {
  const collector = await startCollector();
  const receiver = await startReceiver();
  const posthorn = await startPosthorn({ nats, redis, settings: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } });
  const bus = await connectBus(nats, posthorn.prefix);
  await posthorn.install({ webhook_url: receiver.url });
  const headers = natsHeaders();
  headers.set("traceparent", "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
  await bus.publish("issue.created", { organization_id: "42", data: {} }, headers);
  const [request] = await receiver.waitFor(1);
  expect(request?.headers["traceparent"]).toMatch(/^00-1af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-00$/);
  expect(await posthorn.end()).toBe(0);
  expect(collector.spans).toEqual([]);
  await bus.close();
  await receiver.stop();
  await collector.stop();
});

test("without OTEL settings nothing is exported", async () => {
  const collector = await startCollector();
  const posthorn = await startPosthorn({ nats, redis });
  expect(posthorn.log.some(({ message }) => message === "exporting traces")).toBe(false);
  await eventually(() => posthorn.url !== "");
  await posthorn.end();
  expect(collector.spans).toEqual([]);
  await collector.stop();
});
