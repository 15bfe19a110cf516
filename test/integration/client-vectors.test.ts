/** The TypeScript client against the vectors that the clients of all languages are held to (clients/vectors). */
import { readFileSync } from "node:fs";
import { Ajv } from "ajv";
import addFormats from "ajv-formats";
import { connect, type MsgHdrs, type NatsConnection, StringCodec } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  createPublisher,
  deliveryId,
  type EventInput,
  type Publisher,
  STATUS_EVENT_TYPES,
  subscribeStatus,
  verifyWebhook,
} from "../../src/client/client.ts";
import { prepareEvent } from "../../src/client/prepare-event.ts";
import { filterSubject } from "../../src/client/status-consumer.ts";
import { backoffMs } from "../../src/client/status-message-handler.ts";
import { checkStatusOptions } from "../../src/client/status-options.ts";
import { ensureTopology } from "../../src/jetstream/streams.ts";
import { createSubjects } from "../../src/jetstream/subjects.ts";
import { eventMessageId } from "../../src/model/event-key.ts";
import { parseTraceparent } from "../../src/model/trace-context.ts";
import { eventually } from "../support/eventually.ts";
import { type Server, startNatsServer } from "../support/servers.ts";

const root = new URL("../../", import.meta.url);
const json = (file: string): any => JSON.parse(readFileSync(new URL(file, root), "utf8"));
const vectors = (name: string): any => json(`clients/vectors/${name}.json`);
/** Name → case, as test.each takes them. */
const named = (cases: any[]): Array<[string, any]> => cases.map((one, at) => [one.name ?? `case ${at + 1}`, one]);

let server: Server;
let connection: NatsConnection;
let publisher: Publisher;
/** Everything published since the start, stored or not. */
const published: Array<{ subject: string; headers: MsgHdrs | undefined; body: string }> = [];

beforeAll(async () => {
  server = await startNatsServer();
  connection = await connect({ servers: server.url });
  await ensureTopology(await connection.jetstreamManager(), createSubjects("app-platform"), 1);
  const text = StringCodec();
  connection.subscribe("app-platform.events.>", {
    callback: (_error, message) =>
      void published.push({ subject: message.subject, headers: message.headers, body: text.decode(message.data) }),
  });
  await connection.flush();
  publisher = await createPublisher({ nats: server.url });
});
afterAll(async () => {
  await publisher.close();
  await connection.close();
  await server.stop();
});

const inputOf = (event: any): EventInput =>
  Object.fromEntries(
    Object.entries(event).map(([name, value]) => [name.replace(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase()), value]),
  ) as unknown as EventInput;

/** @returns the message of an event, as others see it. */
async function sent(event: any) {
  const before = published.length;
  await publisher.publish(inputOf(event));
  return eventually(() => published[before]);
}

describe("an event", () => {
  test.each(named(vectors("events").cases))("with %s", async (_name, { event, accepted, refused }) => {
    if (refused !== undefined) {
      expect(() => prepareEvent(inputOf(event))).toThrow(refused);
      await expect(publisher.publish(inputOf(event))).rejects.toMatchObject({ code: "PUBLISH_INVALID" });
      return;
    }
    const { subject, headers, body } = await sent(event);
    const { data, ...members } = JSON.parse(body);
    for (const name of Object.keys(members)) if (members[name] === null) delete members[name];
    const { data: wantedData, ...wanted } = accepted.body;
    expect([subject, headers?.get("Nats-Msg-Id"), members]).toEqual([accepted.subject, accepted.message_id, wanted]);
    if (accepted.body_has === undefined) expect(data).toEqual(wantedData);
    else expect(body).toContain(accepted.body_has);
  });

  test.each(named(vectors("identity").cases))("has its key, and its delivery an id: %s", (_name, one) => {
    const identity = { id: one.id, type: one.type ?? "issue.created", source: one.source ?? null };
    expect([eventMessageId(identity), deliveryId(identity, one.installation_uuid)]).toEqual([one.message_id, one.delivery_id]);
  });

  test.each(named(vectors("traceparent").cases))(
    "carries a trace that is %s",
    async (_name, { traceparent, tracestate, read, published: wanted }) => {
      const { traceId = null, spanId = null, isSampled = null } = parseTraceparent(traceparent) ?? {};
      expect(traceId === null ? null : { trace_id: traceId, span_id: spanId, is_sampled: isSampled }).toEqual(read);
      const { headers } = await sent({ type: "issue.created", organization_id: "42", data: {}, traceparent, tracestate });
      const found = Object.fromEntries(
        ["traceparent", "tracestate"].flatMap((name) => (headers?.has(name) ? [[name, headers.get(name)]] : [])),
      );
      expect(found).toEqual(wanted ?? {});
    },
  );
});

describe("a subject", () => {
  const { streams, events, filters, refused, backoff_s } = vectors("subjects");
  const optionsOf = (options: any): any => ({ nats: "nats://127.0.0.1:1", onEvent: () => {}, ...inputOf(options) });

  test("of each kind, and the names of streams", () => {
    for (const { subject_prefix: prefix, events: eventStream, status } of streams)
      expect(createSubjects(prefix).streams).toMatchObject({ events: eventStream, status });
    for (const { subject_prefix: subjectPrefix, type, subject } of events)
      expect(prepareEvent({ type, organizationId: "42", data: {} }, { subjects: createSubjects(subjectPrefix) }).subject).toBe(subject);
  });

  const followed: Array<[string, any, string]> = filters.map(({ options, subject }: any) => [JSON.stringify(options), options, subject]);
  test.each(followed)("follows %s", (_name, options, subject) => {
    const { subjectPrefix = "app-platform", installationUuid, ...rest } = inputOf(options) as any;
    checkStatusOptions(optionsOf(options));
    const filter = {
      subjectPrefix,
      ...rest,
      ...(installationUuid === undefined ? {} : { installationUuid: installationUuid.toLowerCase() }),
    };
    expect(filterSubject(filter)).toBe(subject);
  });

  const refusals: Array<[string, any, string]> = refused.map(({ options, option }: any) => [JSON.stringify(options), options, option]);
  test.each(refusals)("refuses %s", async (_name, options, option) => {
    const name = Object.keys(inputOf({ [option]: 0 }))[0];
    await expect(subscribeStatus(optionsOf(options))).rejects.toMatchObject({
      code: "PUBLISH_INVALID",
      message: expect.stringMatching(new RegExp(`^${name}: found `)),
    });
    if (option === "subject_prefix") await expect(createPublisher(optionsOf(options))).rejects.toMatchObject({ code: "PUBLISH_INVALID" });
  });

  test("waits longer each time that a handler fails", () => {
    expect(backoff_s.map((_seconds: number, at: number) => backoffMs(at + 1) / 1000)).toEqual(backoff_s);
  });
});

test.each(named(vectors("signatures").cases))("a webhook: %s", (_name, one) => {
  const verify = () =>
    verifyWebhook({
      body: one.body ?? Buffer.from(one.body_base64, "base64"),
      ...{ headers: one.headers, secret: one.secrets, now: new Date(one.now * 1000) },
      ...(one.tolerance_s === undefined ? {} : { toleranceSeconds: one.tolerance_s }),
      ...(one.header_prefix === undefined ? {} : { headerPrefix: one.header_prefix }),
      allowUnsignedTimestamp: one.allow_unsigned_timestamp ?? false,
    });
  if (one.refused !== undefined)
    return expect(verify).toThrow(expect.objectContaining({ code: "WEBHOOK_INVALID", message: expect.stringContaining(one.refused) }));
  const { deliveryId: id, resource, action, installation } = verify();
  expect({ delivery_id: id, resource, action, installation_uuid: installation.uuid }).toEqual(one.verified);
});

describe("a status event", () => {
  const { events, not_events } = vectors("status-events");
  const ajv = new Ajv({ strict: true, allErrors: true, allowUnionTypes: true });
  addFormats.default(ajv);

  test("of every type is as its schema says, under its subject", () => {
    expect([...new Set(events.map(({ event }: any) => event.type))].sort()).toEqual([...STATUS_EVENT_TYPES].sort());
    for (const { event, subject } of events) {
      const validate = ajv.getSchema(event.type) ?? ajv.addSchema(json(`schemas/${event.type}.json`), event.type).getSchema(event.type);
      expect([event.id, validate?.(event), validate?.errors]).toEqual([event.id, true, null]);
      expect(createSubjects("app-platform").statusOf(event)).toBe(subject);
    }
  });

  test("arrives as it was published, and what is none is reported and skipped", async () => {
    const seen: unknown[] = [];
    const problems: string[] = [];
    const subscription = await subscribeStatus({
      ...{ nats: server.url, durable: "vectors", startAt: "all" },
      onEvent: (event, { subject }) => void seen.push({ subject, event }),
      onError: (error) => void problems.push((error as Error).message),
    });
    const jetStream = connection.jetstream();
    for (const text of not_events) await jetStream.publish("app-platform.status.integration.broken.acme-tracker.x", text);
    for (const { subject, event } of events) await jetStream.publish(subject, JSON.stringify(event));
    await eventually(() => seen.length === events.length);
    await subscription.stop();
    expect(seen).toEqual(events.map(({ subject, event }: any) => ({ subject, event })));
    expect(problems).toEqual(not_events.map(() => expect.stringContaining("is no status event; it is skipped")));
  });
});
