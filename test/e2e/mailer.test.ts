/** examples/mailer as its own process: an integration breaks, and the owners get one mail. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { createSubjects } from "../../src/jetstream/subjects.ts";
import type { StatusEvent } from "../../src/model/status-event.ts";
import { eventually } from "../support/eventually.ts";
import { type Bus, connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { freePort, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { startSmtpServer, type TestSmtpServer } from "../support/smtp-server.ts";
import { statusEventsOf } from "../support/status-events.ts";

const MAIN = fileURLToPath(new URL("../../examples/mailer/main.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "posthorn-mailer-"));
const OWNERS = { "42": ["robin@example.com", "sam@example.com"], "43": ["full@example.com"] };

let nats: Server;
let redis: Server;
let smtp: TestSmtpServer;
let receiver: Receiver;
let posthorn: Posthorn;
let bus: Bus;
const mailers = new Set<Mailer>();

interface Mailer {
  readonly output: string[];
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

beforeAll(async () => {
  [nats, redis, smtp, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startSmtpServer(), startReceiver(answer(410))]);
  writeFileSync(join(folder, "owners.json"), JSON.stringify(OWNERS));
  posthorn = await startPosthornHere({ nats, redis, settings: { POSTHORN_DASHBOARD_URL: "https://posthorn.example" } });
  bus = await connectBus(nats, posthorn.prefix);
});
beforeEach(() => {
  smtp.mails.length = 0;
  smtp.answer(null);
  return async () => {
    for (const mailer of mailers) await mailer.end("SIGKILL");
  };
});
afterAll(async () => {
  await posthorn.end();
  await bus.close();
  rmSync(folder, { recursive: true });
  await Promise.all([nats.stop(), redis.stop(), smtp.stop(), receiver.stop()]);
});

async function startMailer(settings: Record<string, string> = {}): Promise<Mailer> {
  const child: ChildProcess = spawn(process.execPath, [MAIN], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
      NATS_URL: nats.url,
      SUBJECT_PREFIX: posthorn.prefix,
      SMTP_URL: smtp.url,
      MAIL_FROM: "posthorn@example.com",
      OWNERS_FILE: join(folder, "owners.json"),
      DURABLE: randomUUID(),
      ...settings,
    },
  });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => output.push(...chunk.toString().trim().split("\n")));
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const mailer: Mailer = {
    output,
    async end(signal = "SIGTERM") {
      mailers.delete(mailer);
      child.kill(signal);
      return exited;
    },
  };
  mailers.add(mailer);
  await eventually(() => {
    if (child.exitCode !== null) throw new Error(output.join("\n"));
    return output.includes("following integration.broken");
  });
  return mailer;
}

/** @returns the installation. */
async function breakOne(organizationId = "42"): Promise<{ slug: string; uuid: string }> {
  const installed = await posthorn.install({ webhook_url: `${receiver.url}/in?token=t0ps3cret`, organization_id: organizationId });
  await bus.publish("issue.created", { organization_id: organizationId, app: installed.slug, data: {} });
  await eventually(async () => (await statusEventsOf(bus, "integration.broken")).some(({ subject }) => subject === installed.uuid));
  return installed;
}

/** Whether it said so of the installation. */
const said = ({ output }: Mailer, what: string, uuid: string): boolean =>
  output.some((line) => line.includes(`  ${what}`) && line.includes(uuid));

test("the owners get one mail that says what is broken, where, why, and what to do", async () => {
  const mailer = await startMailer();
  const { slug, uuid } = await breakOne();
  const [mail] = await eventually(() => smtp.mails.length > 0 && smtp.mails);
  expect(mail).toMatchObject({
    from: "posthorn@example.com",
    to: OWNERS["42"],
    subject: `Integration ${slug} has stopped working (organization 42)`,
    messageId: `<${uuid}.1@posthorn>`,
  });
  expect(mail?.text).toContain(`${receiver.url}/in\n`);
  expect(mail?.text).not.toContain("t0ps3cret");
  expect(mail?.text).toContain("answered with status 410");
  expect(mail?.text).toContain(`https://posthorn.example/#/installations/${uuid}`);
  expect(mail?.text).toMatch(/What to do\n\n {2}1\. /);
  // The event does not say which of the two it is.
  expect(mail?.text.replace(/\s+/g, " ")).toMatch(/either one request an hour is sent .*; or everything is sent as before/);
  await eventually(() => said(mailer, "sent", uuid));
  expect(await mailer.end()).toBe(0);
});

test("one mail for each time, over a restart, a redelivery and a second subscription", async () => {
  const DURABLE = randomUUID();
  const first = await startMailer({ DURABLE });
  const { slug, uuid } = await breakOne();
  await eventually(() => said(first, "sent", uuid));
  await first.end("SIGKILL");

  // The next one goes on behind it; one with another name gets everything again.
  const [next, other] = await Promise.all([startMailer({ DURABLE }), startMailer({ START_AT: "all" })]);
  await eventually(() => said(other, "not again (sent)", uuid));
  await posthorn.api("POST", `/v1/installations/${uuid}/enable`);
  await bus.publish("issue.created", { organization_id: "42", app: slug, data: {} });
  await eventually(() => [next, other].every(({ output }) => output.some((line) => line.includes(`${uuid}:3`))));
  expect(smtp.mails.map(({ messageId }) => messageId)).toEqual([`<${uuid}.1@posthorn>`, `<${uuid}.3@posthorn>`]);
});

test("nobody gets a mail about what belongs to nobody known", async () => {
  const mailer = await startMailer();
  const { uuid } = await breakOne("777");
  await eventually(() => said(mailer, "nobody to tell", uuid));
  expect(smtp.mails).toEqual([]);
});

test("while the SMTP server is down nothing is lost, and then there is one mail", async () => {
  const port = await freePort();
  const mailer = await startMailer({ SMTP_URL: `smtp://127.0.0.1:${port}` });
  const { uuid } = await breakOne();
  await eventually(() => mailer.output.some((line) => line.includes("tried again later") && line.includes("ECONNREFUSED")));
  const late = await startSmtpServer(port);
  await eventually(() => said(mailer, "sent", uuid));
  expect(late.mails).toHaveLength(1);
  await late.stop();
});

test.each<[string, number | "lost", string, number, number]>([
  ["refuses for now", 451, "sent", 1, 2],
  ["refuses for good", 550, "refused", 0, 1],
  ["takes the mail and breaks the connection without a word", "lost", "perhaps sent", 1, 1],
])("when the SMTP server %s there is at most one mail", async (_what, code, outcome, mails, offers) => {
  const mailer = await startMailer();
  const before = smtp.offered();
  smtp.answer(code, 1);
  const { uuid } = await breakOne();
  await eventually(() => said(mailer, outcome, uuid));
  // The same event by another way: nothing more is sent.
  const other = await startMailer({ START_AT: "all" });
  await eventually(() => said(other, "not again", uuid));
  expect([smtp.mails.length, smtp.offered() - before]).toEqual([mails, offers]);
});

test("a mailbox that is full holds up nobody, and its mail is given up in the end", async () => {
  smtp.fill("full@example.com");
  const mailer = await startMailer({ TRIES: "3" });
  const before = smtp.offered();
  const stuck = await breakOne("43");
  await eventually(() => smtp.offered() > before);
  const others = [await breakOne(), await breakOne(), await breakOne()];
  await eventually(() => others.every(({ uuid }) => said(mailer, "sent", uuid)));
  await eventually(() => said(mailer, "given up", stuck.uuid));
  expect(mailer.output.find((line) => line.includes("given up"))).toMatch(/refused 3 times, .*mailbox full/);
  expect(smtp.mails.map(({ messageId }) => messageId).sort()).toEqual(others.map(({ uuid }) => `<${uuid}.1@posthorn>`).sort());
  // It is done with: whoever gets the event again leaves it.
  const other = await startMailer({ START_AT: "all" });
  await eventually(() => said(other, "not again (failed)", stuck.uuid));
});

test("a mailer that is killed while the SMTP server has the mail leaves it at that one", async () => {
  const first = await startMailer();
  smtp.answer("never");
  const { uuid } = await breakOne();
  await eventually(() => smtp.mails.length === 1);
  await first.end("SIGKILL");
  smtp.answer(null);
  const other = await startMailer({ START_AT: "all" });
  await eventually(() => said(other, "not again (sending)", uuid));
  expect(smtp.mails).toHaveLength(1);
});

test("what an app says of itself stays text: a line break in an error makes no header", async () => {
  const mailer = await startMailer();
  const { uuid } = await breakOne();
  await eventually(() => said(mailer, "sent", uuid));
  const event = (await statusEventsOf(bus, "integration.broken")).find(({ subject }) => subject === uuid);
  if (event === undefined) throw new Error("no event");
  const forged: StatusEvent = {
    ...event,
    id: `${uuid}:99`,
    data: { ...event.data, app: "acme\r\nBcc: all@example.com", reason: { ...event.data.reason, last_error: "x\r\n\r\nBcc: y" } },
  };
  await bus.jetStream.publish(createSubjects(posthorn.prefix).statusOf(event), JSON.stringify(forged));
  await eventually(() => smtp.mails.length === 2);
  expect(smtp.mails[1]?.to).toEqual(OWNERS["42"]);
  expect(smtp.mails[1]?.subject).toMatch(/^Integration acme /);
});
