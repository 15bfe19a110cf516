/** A delivery is given up in one way, whatever the reason: everything that counts dead letters comes to the same number. */
import { AckPolicy, nanos } from "nats";
import { expect, test } from "vitest";
import { DEAD_LETTER_REASONS, type DeadLetterReason } from "../../src/model/delivery.ts";
import { eventually } from "../support/eventually.ts";
import { allHandled, type Bus, connectBus, type PosthornProcess, startPosthorn } from "../support/posthorn.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { startNatsServer, startRedisServer } from "../support/servers.ts";
import { statusEvents } from "../support/status-events.ts";
import { createTestClock, DAY_MS } from "../support/test-clock.ts";

interface Letter {
  readonly sequence: number;
  readonly reason: DeadLetterReason;
  readonly delivery_id?: string;
}

test("metrics, log lines, status events and dead letters agree for every reason", async ({ onTestFinished }) => {
  const [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver()]);
  const clock = createTestClock();
  const settings = { ...clock.settings, POSTHORN_BROKEN_RULES: "none" };
  const posthorn = await startPosthorn({ nats, redis, settings });
  const bus = await connectBus(nats, posthorn.prefix);
  onTestFinished(async () => {
    await bus.close();
    await posthorn.end();
    clock.remove();
    await Promise.all([nats.stop(), redis.stop(), receiver.stop()]);
  });
  receiver.behave(({ path }, response) => void response.writeHead(Number(path.slice(1))).end());

  await refuse(posthorn, bus, receiver);
  await giveUpParked(posthorn, bus, receiver, () => clock.advance(8 * DAY_MS, [posthorn]));
  await bus.publish("issue.created", "{");
  await bus.jetStream.publish(`${posthorn.prefix}.retries.1.acme`, "{");

  const manager = await bus.connection.jetstreamManager();
  const letters = await eventually(async () => {
    // Before the list: what leaves the stream is in it then.
    const isParkedEmpty = (await manager.streams.info(parkedStreamOf(posthorn))).state.messages === 0;
    const { items } = (await posthorn.api("GET", "/v1/dead-letters?limit=1000")).body as { items: Letter[] };
    const hasBothInvalid = items.filter(({ reason }) => reason === "invalid").length === 2;
    return isParkedEmpty && hasBothInvalid && DEAD_LETTER_REASONS.every((wanted) => items.some(({ reason }) => reason === wanted)) && items;
  });
  const ofReason = (found: readonly DeadLetterReason[]) =>
    Object.fromEntries(DEAD_LETTER_REASONS.map((reason) => [reason, found.filter((other) => other === reason).length]));
  const expected = ofReason(letters.map(({ reason }) => reason));
  expect(Object.entries(expected).filter(([, count]) => count === 0)).toEqual([]);

  // A letter is counted a moment after it can be seen.
  await eventually(async () => {
    const text = String((await posthorn.api("GET", "/metrics")).body);
    const metric = (series: string) => Number(new RegExp(`^${series} (\\d+)$`, "m").exec(text)?.[1] ?? Number.NaN);
    expect(
      Object.fromEntries(DEAD_LETTER_REASONS.map((reason) => [reason, metric(`posthorn_dead_letters_total\\{reason="${reason}"\\}`)])),
    ).toEqual(expected);
    expect(metric('posthorn_deliveries_stored_total\\{stream="dead-letters"\\}')).toBe(letters.length);
    return true;
  });
  const lines = await eventually(() => {
    const found = posthorn.log.filter(({ message, stream }) => message === "delivery.stored" && stream === "dead-letters");
    return found.length >= letters.length && found;
  });
  expect(ofReason(lines.map(({ detail }) => detail as DeadLetterReason))).toEqual(expected);

  // An event or a message that can't be read is no delivery, and so has no status event.
  const published = await eventually(async () => {
    const found = (await statusEvents(bus)).filter(({ type }) => type.startsWith("delivery."));
    return found.length >= letters.length - (expected["invalid"] ?? 0) && found;
  });
  expect(ofReason(published.map(({ data }) => (data as { reason: DeadLetterReason }).reason))).toEqual({ ...expected, invalid: 0 });
  for (const { type, data } of published)
    expect(type).toBe((data as { reason: string }).reason === "exhausted" ? "delivery.exhausted" : "delivery.rejected");

  // Where each of them rests is known, the whole message of a poisonous one included.
  for (const { data } of published) {
    const { delivery_id: id, reason } = data as { delivery_id: string; reason: string };
    const found = async () => (await posthorn.api("GET", `/v1/deliveries/${id}`)).body as unknown;
    await expect.poll(found).toMatchObject({ delivery: { state: "dead_letter", dead_letter: { reason } } });
  }
});

/** exhausted, rejected, gone, blocked */
async function refuse(posthorn: PosthornProcess, bus: Bus, receiver: Receiver): Promise<void> {
  for (const status of [500, 400, 410, 200]) {
    const { slug } = await posthorn.install({ webhook_url: `${receiver.url}/${status}`, retry_schedule_s: [], events: ["issue"] });
    if (status === 200) {
      const bucket = await bus.jetStream.views.kv(`${posthorn.prefix}-registry`);
      const app = (await bucket.get(`app.${slug}`))?.json<object>();
      await bucket.put(`app.${slug}`, JSON.stringify({ ...app, webhook_url: "http://10.0.0.1/" }));
      await eventually(async () => (await posthorn.api("GET", `/v1/apps/${slug}`)).body.webhook_url === "http://10.0.0.1/");
    }
    await bus.publish("issue.created", { organization_id: "42", app: slug, data: {} });
  }
}

/** uninstalled, discarded, redelivered, overflow, expired */
async function giveUpParked(posthorn: PosthornProcess, bus: Bus, receiver: Receiver, wait: () => Promise<void>): Promise<void> {
  const park = async (count: number): Promise<string> => {
    const { slug, uuid } = await posthorn.install({ webhook_url: `${receiver.url}/200`, events: ["comment"] });
    await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
    for (let n = 0; n < count; n++) await bus.publish("comment.created", { organization_id: "42", app: slug, data: { n } });
    await eventually(async () => (await posthorn.api("GET", `/v1/installations/${uuid}/health`)).body.parked.deliveries === count);
    return uuid;
  };
  const uninstalled = await park(1);
  await posthorn.api("DELETE", `/v1/installations/${uninstalled}`);
  expect((await posthorn.api("POST", `/v1/installations/${await park(3)}/discard`)).body).toEqual({ discarded: 3 });

  await poison(posthorn, bus, await park(1));
  await eventually(async () =>
    (await posthorn.api("GET", "/v1/dead-letters")).body.items.some((letter: Letter) => letter.reason === "redelivered"),
  );

  await overflow(posthorn, bus, park);
  await park(1);
  await wait();
}

/** Moves a parked delivery into its app's own queue, whose message is handed out again and again while Posthorn stands still. */
async function poison(posthorn: PosthornProcess, bus: Bus, uuid: string): Promise<void> {
  const { prefix } = posthorn;
  const manager = await bus.connection.jetstreamManager();
  const stream = parkedStreamOf(posthorn);
  const { subjects = {} } = (await manager.streams.info(stream, { subjects_filter: `${prefix}.parked.*.${uuid}` })).state;
  const [subject = ""] = Object.keys(subjects);
  const parked = await manager.streams.getMessage(stream, { last_by_subj: subject });
  await manager.streams.deleteMessage(stream, parked.seq);
  await posthorn.api("POST", `/v1/installations/${uuid}/enable`);
  posthorn.child.kill("SIGSTOP");
  const [, , app = ""] = subject.split(".");
  const consumer = `posthorn-app-${app}`;
  await bus.jetStream.publish(`${prefix}.parked.${app}`, parked.data);
  await manager.consumers.add(stream, {
    ...{ durable_name: consumer, filter_subject: `${prefix}.parked.${app}`, ack_policy: AckPolicy.Explicit },
    ...{ ack_wait: nanos(10_000), max_deliver: -1, max_ack_pending: 16 },
  });
  const pull = await bus.jetStream.consumers.get(stream, consumer);
  for (let times = 0; times < 11; times++) (await pull.next({ expires: 5_000 }))?.nak();
  await bus.connection.flush();
  posthorn.child.kill("SIGCONT");
}

/** Limits the parked stream until an app has used up its share of it. */
async function overflow(posthorn: PosthornProcess, bus: Bus, park: (count: number) => Promise<string>): Promise<void> {
  const manager = await bus.connection.jetstreamManager();
  const stream = parkedStreamOf(posthorn);
  const uuid = await park(1);
  const { app } = (await posthorn.api("GET", `/v1/installations/${uuid}`)).body;
  await manager.streams.update(stream, { max_msgs: 2 });
  await eventually(async () => {
    await bus.publish("comment.created", { organization_id: "42", app, data: {} });
    return (await posthorn.api("GET", "/v1/dead-letters")).body.items.some(({ reason }: Letter) => reason === "overflow");
  });
  await manager.streams.update(stream, { max_msgs: -1 });
  // An event that found no room is handed out again after some seconds, and its delivery is first parked then.
  await allHandled(bus);
}

function parkedStreamOf({ prefix }: PosthornProcess): string {
  return `${prefix}_PARKED`.toUpperCase().replaceAll("-", "_");
}
