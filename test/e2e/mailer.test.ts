/** examples/mailer as its own process: an integration breaks, and the owners get one mail. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type StatusEvent, statusSubject } from "../../src/model/status-event.ts";
import { eventually } from "../support/eventually.ts";
import { type Bus, connectBus, type Posthorn, startPosthorn } from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { freePort, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { startSmtpServer, type TestSmtpServer } from "../support/smtp-server.ts";
import { statusEventsOf } from "../support/status-events.ts";

const MAIN = fileURLToPath(new URL("../../examples/mailer/main.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "posthorn-mailer-"));
const OWNERS = { "42": ["robin@example.com", "sam@example.com"] };

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
  [nats, redis, smtp, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startSmtpServer(), startReceiver()]);
  writeFileSync(join(folder, "owners.json"), JSON.stringify(OWNERS));
});
beforeEach(async () => {
  smtp.mails.length = 0;
  smtp.answer(null);
  posthorn = await startPosthorn({ nats, redis, settings: { POSTHORN_DASHBOARD_URL: "https://posthorn.example" } });
  bus = await connectBus(nats, posthorn.prefix);
  return async () => {
    for (const mailer of mailers) await mailer.end("SIGKILL");
    await posthorn.end();
    await bus.close();
  };
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await Promise.all([nats.stop(), redis.stop(), smtp.stop(), receiver.stop()]);
});

async function startMailer(settings: Record<string, string> = {}): Promise<Mailer> {
  const child: ChildProcess = spawn(process.execPath, [MAIN], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      NATS_URL: nats.url,
      SUBJECT_PREFIX: posthorn.prefix,
      SMTP_URL: smtp.url,
      MAIL_FROM: "posthorn@example.com",
      OWNERS_FILE: join(folder, "owners.json"),
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
  receiver.behave(answer(410));
  const installed = await posthorn.install({ webhook_url: `${receiver.url}/in?token=t0ps3cret`, organization_id: organizationId });
  await bus.publish("issue.created", { organization_id: organizationId, app: installed.slug, data: {} });
  await eventually(async () => (await statusEventsOf(bus, "integration.broken")).some(({ subject }) => subject === installed.uuid));
  return installed;
}

const said = ({ output }: Mailer, what: string): boolean => output.some((line) => line.includes(`  ${what}`));

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
  expect(mail?.text).toContain(`https://posthorn.example/installations/${uuid}`);
  expect(mail?.text).toMatch(/What to do\n\n {2}1\. /);
  await eventually(() => said(mailer, "sent"));
  expect(await mailer.end()).toBe(0);
});

test("one mail for each time, over a restart, a redelivery and a second subscription", async () => {
  const first = await startMailer();
  const { uuid } = await breakOne();
  await eventually(() => said(first, "sent"));
  await first.end("SIGKILL");

  // The next one goes on behind it; one with another name gets everything again.
  const [next, other] = await Promise.all([startMailer(), startMailer({ DURABLE: "other", START_AT: "all" })]);
  await eventually(() => said(other, "not again (sent)"));
  await posthorn.api("POST", `/v1/installations/${uuid}/enable`);
  await bus.publish("issue.created", { organization_id: "42", data: {} });
  await eventually(() => said(next, "sent") || said(other, "sent"));
  await eventually(() => [next, other].every((mailer) => mailer.output.filter((line) => line.includes(`${uuid}:3`)).length > 0));
  expect(smtp.mails.map(({ messageId }) => messageId)).toEqual([`<${uuid}.1@posthorn>`, `<${uuid}.3@posthorn>`]);
});

test("nobody is told of what belongs to nobody known", async () => {
  const mailer = await startMailer();
  await breakOne("777");
  await eventually(() => said(mailer, "nobody to tell"));
  expect(smtp.mails).toEqual([]);
});

test("while the SMTP server is away nothing is lost, and then there is one mail", async () => {
  const port = await freePort();
  const mailer = await startMailer({ SMTP_URL: `smtp://127.0.0.1:${port}` });
  await breakOne();
  await eventually(() => mailer.output.some((line) => line.includes("tried again later") && line.includes("ECONNREFUSED")));
  const late = await startSmtpServer(port);
  await eventually(() => said(mailer, "sent"));
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
  smtp.answer(code);
  await breakOne();
  await eventually(() => smtp.offered() > before);
  smtp.answer(null);
  await eventually(() => said(mailer, outcome));
  // The same event by another way: nothing more is sent.
  const other = await startMailer({ DURABLE: randomUUID(), START_AT: "all" });
  await eventually(() => said(other, "not again"));
  expect([smtp.mails.length, smtp.offered() - before]).toEqual([mails, offers]);
});

test("a mailer that is killed while the SMTP server has the mail leaves it at that one", async () => {
  const first = await startMailer();
  smtp.answer("never");
  await breakOne();
  await eventually(() => smtp.mails.length === 1);
  await first.end("SIGKILL");
  smtp.answer(null);
  const other = await startMailer({ DURABLE: "other", START_AT: "all" });
  await eventually(() => said(other, "not again (sending)"));
  expect(smtp.mails).toHaveLength(1);
});

test("what an app says of itself stays text: a line break in an error makes no header", async () => {
  const mailer = await startMailer();
  const { uuid } = await breakOne();
  await eventually(() => said(mailer, "sent"));
  const [event] = await statusEventsOf(bus, "integration.broken");
  if (event === undefined) throw new Error("no event");
  const forged: StatusEvent = {
    ...event,
    id: `${uuid}:99`,
    data: { ...event.data, app: "acme\r\nBcc: all@example.com", reason: { ...event.data.reason, last_error: "x\r\n\r\nBcc: y" } },
  };
  await bus.jetStream.publish(statusSubject(posthorn.prefix, event), JSON.stringify(forged));
  await eventually(() => smtp.mails.length === 2);
  expect(smtp.mails[1]?.to).toEqual(OWNERS["42"]);
});
