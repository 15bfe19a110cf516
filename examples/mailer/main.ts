/**
 * Tells an organization's owners by mail when an integration is broken: once for each time, over restarts, redeliveries and
 * any number of mailers. Settings: see README.md beside this file.
 */
import { readFileSync } from "node:fs";
import { connect } from "nats";
import nodemailer from "nodemailer";
import { type StatusEventOf, subscribeStatus } from "../../src/client/client.ts";
import { brokenMail } from "./broken-mail.ts";
import { openMailLedger } from "./mail-ledger.ts";

const setting = (name: string, byDefault?: string): string => {
  const value = process.env[name] ?? byDefault;
  if (value !== undefined) return value;
  console.error(`${name} is not set, see examples/mailer/README.md`);
  process.exit(1);
};
const ownersFile = setting("OWNERS_FILE");
const from = setting("MAIL_FROM");
const prefix = setting("SUBJECT_PREFIX", "app-platform");
const tries = Number(setting("TRIES", "100"));
if (!Number.isInteger(tries) || tries < 1) {
  console.error(`TRIES: found ${process.env["TRIES"]}, wanted an integer from 1`);
  process.exit(1);
}

const say = (what: string, event: StatusEventOf<"integration.broken">, more = ""): void =>
  console.log(
    `${new Date().toISOString()}  ${what}  ${event.data.app} in organization ${event.data.organization_id}, ${event.id}  ${more}`,
  );

/** Your platform asks its own directory here. */
const ownersOf = (organizationId: string): readonly string[] =>
  (JSON.parse(readFileSync(ownersFile, "utf8")) as Record<string, string[]>)[organizationId] ?? [];

const connection = await connect({ servers: setting("NATS_URL", "nats://127.0.0.1:4222"), maxReconnectAttempts: -1 });
// One server that does not answer must not keep a place for long.
const smtp = nodemailer.createTransport({
  url: setting("SMTP_URL"),
  connectionTimeout: 10_000,
  greetingTimeout: 10_000,
  socketTimeout: 60_000,
});
const ledger = await openMailLedger(connection, `${prefix}-mailer`);

/** Event id → how often this mailer's mail for it was refused for now. */
const refusals = new Map<string, number>();

/** When it throws, the subscription hands the event out again, later each time, and goes on with the others. */
async function tell(event: StatusEventOf<"integration.broken">): Promise<void> {
  const before = await ledger.stateOf(event.id);
  if (before !== null) return say(`not again (${before})`, event);
  const to = ownersOf(event.data.organization_id);
  if (to.length === 0) return say("nobody to tell", event);

  // A server that can't be reached is found out before the claim: only what happens while it takes the mail is open.
  await smtp.verify();
  if (!(await ledger.claim(event.id))) return say("not again (sending)", event);
  try {
    const { rejected } = await smtp.sendMail({ from, to: [...to], ...brokenMail(event) });
    await ledger.note(event.id, "sent");
    refusals.delete(event.id);
    say("sent", event, rejected.length > 0 ? `but not to ${rejected.join(", ")}` : "");
  } catch (error) {
    const { responseCode, message } = error as { responseCode?: number; message: string };
    if (responseCode !== undefined && responseCode < 500) {
      const refused = (refusals.get(event.id) ?? 0) + 1;
      if (refused < tries) {
        refusals.set(event.id, refused);
        await ledger.release(event.id);
        throw error;
      }
      await ledger.note(event.id, "failed");
      refusals.delete(event.id);
      return say("given up", event, `refused ${refused} times, the last time with: ${message}`);
    }
    // A refusal for good; or nobody knows whether the server has the mail: rather none than two.
    await ledger.note(event.id, responseCode === undefined ? "unknown" : "refused");
    say(responseCode === undefined ? "perhaps sent" : "refused", event, message);
  }
}

const subscription = await subscribeStatus({
  nats: connection,
  subjectPrefix: prefix,
  apiPrefix: setting("API_PREFIX", "$JS.API"),
  durable: setting("DURABLE", "mailer"),
  startAt: setting("START_AT", "new") === "all" ? "all" : "new",
  changes: ["integration.broken"],
  // A mail that can't be sent waits by itself: no organization holds up another.
  maxInFlight: 8,
  onEvent: tell,
  onError: (error) => console.error(`${new Date().toISOString()}  tried again later: ${(error as Error).message}`),
});
console.log("following integration.broken");

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    void subscription
      .stop()
      .then(() => connection.drain())
      .then(() => process.exit(0));
  });
}
