/**
 * The programs of docs/bus.md and docs/webhooks.md in each language, on one platform: an event that is published from each
 * language arrives at a receiver in each and is verified there, and an integration that breaks is heard in each.
 */
import { readFileSync } from "node:fs";
import { AckPolicy, connect } from "nats";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ensureTopology } from "../../src/jetstream/streams.ts";
import { createSubjects } from "../../src/jetstream/subjects.ts";
import { eventually } from "../support/eventually.ts";
import { type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { startReceiver } from "../support/receiver.ts";
import { freePort, natsPasswords, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { createSnippetRunner, isMissing, LANGUAGES, type Language, type Program, type Snippet, snippetsOf } from "../support/snippets.ts";

const bus = snippetsOf("docs/bus.md");
const webhooks = snippetsOf("docs/webhooks.md");
/** One program in each language. */
const group = (snippets: readonly Snippet[], at: number): Snippet[] => snippets.slice(at * LANGUAGES.length, (at + 1) * LANGUAGES.length);
const [publish, follow, followInAccount, receive] = [group(bus, 0), group(bus, 1), group(bus, 2), group(webhooks, 0)];
const here = LANGUAGES.filter((language) => !isMissing(language));
const of = (snippets: readonly Snippet[], language: Language): Snippet => {
  const found = snippets.find((snippet) => snippet.language === language);
  if (found === undefined) throw new Error(`no snippet in ${language}`);
  return found;
};

const runner = createSnippetRunner();
let nats: Server;
let redis: Server;
let posthorn: Posthorn;

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
  posthorn = await startPosthornHere({ nats, redis, prefix: "app-platform" });
});
afterAll(async () => {
  await runner.stop();
  await posthorn.end();
  await Promise.all([nats.stop(), redis.stop()]);
});

const address = (): [string, string] => ["127.0.0.1:4222", new URL(nats.url).host];
/** Waits until the program says it. @throws Error with what it said when it ended before. */
const says = (program: Program, text: string | RegExp): Promise<unknown> =>
  eventually(() => {
    if (program.said().match(text)) return true;
    if (program.exitCode() !== null) throw new Error(`it ended with ${program.exitCode()} and said\n${program.said()}`);
    return false;
  });

test("each document shows every program in each language", () => {
  for (const snippets of [bus, webhooks]) {
    expect(snippets.length % LANGUAGES.length).toBe(0);
    expect(snippets.map(({ language }) => language)).toEqual(snippets.map((_one, at) => LANGUAGES[at % LANGUAGES.length]));
  }
  expect([bus.length, webhooks.length]).toEqual([9, 3]);
});

test("an event from each language arrives at a receiver in each, verified, and a forged one is refused", async () => {
  const receivers = await Promise.all(
    here.map(async (language) => {
      const port = await freePort();
      const url = `http://127.0.0.1:${port}/webhooks`;
      const { slug, uuid, clientSecret } = await posthorn.install({ slug: `receive-${language}`, webhook_url: url, events: ["issue"] });
      const snippet = of(receive, language);
      // The port of a FastAPI app is the command's.
      const text = language === "python" ? `# port ${port}\n${snippet.text}` : snippet.text;
      const program = await runner.run({ language, text }, [["3000", String(port)]], { CLIENT_SECRET: clientSecret });
      await eventually(async () => (await fetch(url, { method: "POST", body: "{}" })).status === 401);
      return { language, program, slug, uuid };
    }),
  );
  for (const language of here) {
    const publisher = await runner.run(of(publish, language), [address()]);
    await eventually(() => publisher.exitCode() !== null);
    // Its last words have been read then.
    await publisher.stop();
    expect([language, publisher.exitCode(), publisher.said()]).toEqual([language, 0, expect.stringMatching(/^\S+ \d+ false\n$/i)]);
  }
  for (const { program } of receivers)
    await eventually(() => new Set(program.said().match(/issue created dlv_[0-9a-f]{32}/g)).size === here.length);
  for (const { slug } of receivers) {
    // The log is written a moment after the answer.
    const items = await eventually(async () => {
      const { body } = await posthorn.api("GET", `/v1/apps/${slug}/webhook-requests`);
      return body.items.length >= here.length && body.items;
    });
    expect(items.map(({ outcome, response_code }: any) => [outcome, response_code])).toEqual(here.map(() => ["delivered", 204]));
  }
});

test("a subscriber in each language gets the events of an integration that breaks and recovers", async () => {
  const subscribers = await Promise.all(
    here.map(async (language) => ({
      language,
      program: await runner.run(of(follow, language), [address(), ['"mailer"', `"mailer-${language}"`]]),
    })),
  );
  const connection = await connect({ servers: nats.url });
  const manager = await connection.jetstreamManager();
  for (const { language } of subscribers)
    await eventually(() => manager.consumers.info("APP_PLATFORM_STATUS", `mailer-${language}`).then(Boolean, () => false));
  const receiver = await startReceiver((_request, response) => void response.writeHead(410).end());
  const { slug, uuid } = await posthorn.install({ webhook_url: receiver.url, events: ["comment"], organization_id: "northwind" });
  await posthorn.api("POST", "/v1/events", { type: "comment.created", organization_id: "northwind", app: slug, data: {} });
  for (const { program } of subscribers) await says(program, /^broken northwind fatal$/m);
  expect((await posthorn.api("POST", `/v1/installations/${uuid}/enable`)).status).toBe(200);
  for (const { program } of subscribers) await says(program, /^recovered northwind person$/m);
  await receiver.stop();
  await connection.close();
});

test("a subscriber with an account of its own follows through its consumer in each language", async () => {
  const config = readFileSync(new URL("../../deploy/nats/posthorn.conf", import.meta.url), "utf8").replace(/^jetstream \{[^}]*\}$/m, "");
  const server = await startNatsServer({ config, environment: natsPasswords(["posthorn", "operator", "publisher", "mailer"]) });
  const operator = await connect({ servers: server.url, user: "operator", pass: "change-me-operator" });
  const manager = await operator.jetstreamManager();
  await ensureTopology(manager, createSubjects("app-platform"), 1);
  const { host } = new URL(server.url);
  const start = (language: Language): Promise<Program> =>
    runner.run(of(followInAccount, language), [], { MAILER_NATS_URL: `nats://mailer:change-me-mailer@${host}` });
  await Promise.all(
    here.map(async (language) => {
      const tooEarly = await start(language);
      await eventually(() => tooEarly.exitCode() !== null);
      await tooEarly.stop();
      const wanted = /consumer mailer of APP_PLATFORM_STATUS does not exist, wanted filter app-platform\.status\.>[\s\S]*ask an operator/;
      expect([language, tooEarly.exitCode(), tooEarly.said()]).toEqual([language, 1, expect.stringMatching(wanted)]);
    }),
  );
  await manager.consumers.add("APP_PLATFORM_STATUS", {
    ...{ durable_name: "mailer", filter_subject: "app-platform.status.>" },
    ...{ ack_policy: AckPolicy.Explicit, max_ack_pending: 1 },
  });
  for (const language of here) {
    const program = await start(language);
    const event = { specversion: "1.0", id: language, type: "circuit.opened", data: { app: `app-of-${language}` } };
    await operator.jetstream().publish(`app-platform.status.circuit.opened.${event.data.app}`, JSON.stringify(event));
    await says(program, `app-of-${language}`);
    await eventually(async () => (await manager.consumers.info("APP_PLATFORM_STATUS", "mailer")).num_ack_pending === 0);
    await program.stop();
  }
  await operator.close();
  await server.stop();
});
