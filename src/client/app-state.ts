/** The state of an app in a few sentences: since when, by which codes, and what becomes of its deliveries. */

import { epochMsOf } from "../model/rfc3339.ts";
import type { AppAtAGlance } from "./api-types.generated.ts";
import { failsToSend, installedOf, sum } from "./app-condition.ts";

export interface Shown {
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly time: (rfc3339: string) => string;
  /** As `time`, where a minute is exact enough. */
  readonly minute: (rfc3339: string) => string;
}

/** Further codes are summed. */
const CODES_SHOWN = 3;

/** Created when it is needed: it takes 5 MB, and the service imports this file. */
let numberFormat: Intl.NumberFormat | undefined;

export function appStateOf(app: AppAtAGlance, shown: Shown): string {
  const troubles = troublesOf(app, shown);
  if (troubles.length > 0) return troubles.join(" ");
  const installed = installedOf(app);
  if (installed === 0) return "It is not installed anywhere, so it gets no events.";
  if (app.installations.disabled === installed) return "All its installations are disabled. Deliveries are parked until they are enabled.";
  const { attempts, failures } = app.health;
  const unknown = unknownText(app);
  if (unknown !== null) return unknown;
  if (attempts === null) return "How it works now is unknown, because Redis does not answer.";
  if (attempts === 0) return `No attempts in the last 15 minutes${lastSuccess(app, shown)}.`;
  const delivered = whole(attempts - (failures ?? 0));
  return `${delivered} of ${whole(attempts)} attempts delivered in the last 15 minutes${lastSuccess(app, shown)}.`;
}

/** One or two sentences for each trouble of an app. */
export function troublesOf(app: AppAtAGlance, shown: Shown): string[] {
  const { installations, health, circuit, throttled, stopped } = app;
  const troubles: string[] = [];
  if (health.state === "failing" && health.since !== null) {
    const { attempts, by_code: byCode } = health;
    const what =
      attempts === null ? "" : attempts === 0 ? ": no attempts in the last 15 minutes" : `: ${failureText(attempts, byCode ?? {})}`;
    troubles.push(`Failing since ${shown.minute(health.since)}${what}${lastSuccess(app, shown)}.`);
  } else if (circuit.state !== "closed") {
    const { attempts, failures, by_code: byCode } = health;
    const why = attempts === null || !failures ? "too many attempts failed" : failureText(attempts, byCode ?? {});
    troubles.push(`Circuit ${circuit.state === "open" ? "open" : "half-open"}: ${why}${lastSuccess(app, shown)}.`);
  }
  if (throttled !== null) {
    troubles.push(`Throttled until ${shown.time(throttled.until)}: the receiver answered ${throttled.response_code}. Deliveries wait.`);
  } else if (troubles.length > 0) troubles.push(waiting(app, shown));
  if (stopped !== null) troubles.push(stoppedText(stopped, shown));
  if (health.blocked !== null && health.blocked > 0) {
    const found = `${whole(health.blocked)} of ${whole(allAttempts(app))} attempts in the last 15 minutes`;
    troubles.push(
      `Blocked by the address guard: ${found}. Change the webhook URL, or allow its address with POSTHORN_TARGET_ALLOW, and replay the dead letters.`,
    );
  }
  if (failsToSend(app)) {
    const found = `${whole(health.sender_failed ?? 0)} of ${whole(allAttempts(app))} attempts in the last 15 minutes`;
    troubles.push(`Posthorn failed to send ${found}; the requests say why. Deliveries are retried.`);
  }
  if (app.waiting !== null) troubles.push(waitingText(app, app.waiting, shown));
  if (installations.broken > 0) {
    const what = installations.broken === 1 ? "is broken; its" : "are broken; their";
    troubles.push(`${whole(installations.broken)} of ${whole(installedOf(app))} installations ${what} deliveries wait.`);
  }
  return troubles;
}

/** The failures among an app's attempts: `212 of 215 attempts failed: 208 with 404, 4 with no response`. @param byCode response code → failures; "0": no response */
export function failureText(attempts: number, byCode: Readonly<Record<string, number>>): string {
  const codes = Object.entries(byCode).sort(([, a], [, b]) => b - a);
  const failed = `${whole(sum(Object.values(byCode)))} of ${whole(attempts)} attempts failed`;
  const parts = codes.slice(0, CODES_SHOWN).map(([code, failures]) => ({ failures, code: code === "0" ? "no response" : code }));
  const others = sum(codes.slice(CODES_SHOWN).map(([, failures]) => failures));
  const [first, ...rest] = others === 0 ? parts : [...parts, { failures: others, code: "other codes" }];
  if (first === undefined) return failed;
  if (rest.length === 0) return `${failed} with ${first.code}`;
  return `${failed}: ${[first, ...rest].map(({ failures, code }) => `${whole(failures)} with ${code}`).join(", ")}`;
}

function stoppedText({ keys, oldest }: NonNullable<AppAtAGlance["stopped"]>, { time }: Shown): string {
  const what = keys === 1 ? "An order key is stopped" : `${whole(keys)} order keys are stopped, the first`;
  const frees = "Replay, resend or delete it, or set on_exhausted to continue.";
  return `${what} by dead letter ${oldest.dead_letter} since ${time(oldest.since)}: deliveries behind it wait. ${frees}`;
}

/** Null: everything that could be wrong is known. */
export function unknownText({ unknown }: AppAtAGlance): string | null {
  const what = { stopped: "a dead letter stops an order key", waiting: "deliveries wait" };
  return unknown.length === 0 ? null : `Whether ${unknown.map((member) => what[member]).join(" or ")} is not known now.`;
}

function allAttempts({ health: { attempts, blocked, sender_failed: failed } }: AppAtAGlance): number {
  return (attempts ?? 0) + (blocked ?? 0) + (failed ?? 0);
}

function waitingText(
  { parked_in_app_queue: parked }: AppAtAGlance,
  { since, because, per_s: perS, at_once: atOnce }: NonNullable<AppAtAGlance["waiting"]>,
  { time }: Shown,
): string {
  const which = parked === 1 ? "1 delivery waits" : `${parked === null ? "Deliveries" : `${whole(parked)} deliveries`} wait`;
  const reasons = {
    rate_limit: `for the app’s rate limit of ${perS} a second`,
    pace: `for the pace that the receiver takes, ${perS === null ? `${atOnce} at once` : `about ${perS} a second`} (it answered 429 to more)`,
    ordered: "for earlier ones, because the app is ordered",
    max_in_flight: `for earlier ones, at most ${atOnce} at once (max_in_flight)`,
  };
  return `${which} ${reasons[because]}, the oldest since ${time(since)}.`;
}

function lastSuccess({ health: { last_success_at: at } }: AppAtAGlance, { minute }: Shown): string {
  return at === null ? "" : `; last success ${minute(at)}`;
}

/** The fate of deliveries while the app fails. */
function waiting({ circuit, parked_in_app_queue: parked }: AppAtAGlance, { now, time }: Shown): string {
  if (circuit.state === "closed") return "Failed deliveries are retried, or go to dead letters.";
  const which = parked
    ? `${whole(parked)} ${parked === 1 ? "delivery waits and is" : "deliveries wait and are"} retried`
    : "Deliveries wait and are retried";
  if (circuit.state === "half_open") return `${which}; one is being attempted now.`;
  const next = circuit.open_until;
  return next !== null && epochMsOf(next) > now ? `${which}; next attempt ${time(next)}.` : `${which}.`;
}

function whole(count: number): string {
  numberFormat ??= new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  return numberFormat.format(count);
}
