/** How the sender takes status codes, Retry-After and redirects. */
import { firstly, OK, status } from "./answers.ts";
import { attemptedAgain, type Check, fail, pass, SUCCESS, sentOnce, standardWebhooks } from "./check.ts";
import { inSeconds } from "./in-seconds.ts";
import { eventOf } from "./trial.ts";

const RETRY_AFTER = "RFC 9110 10.2.3";
/** Clocks differ, and dates are whole seconds. */
const TOLERANCE_MS = 1_000;
const SHORTEST_PAUSE_S = 5;

const success = (code: number): Check => sentOnce(`success-${code}`, [String(code), status(code)], SUCCESS);

function retryAfter(code: number, form: "seconds" | "date"): Check {
  return {
    name: `retry-after-${code}-${form}`,
    expected: `After ${code} with Retry-After as ${form === "date" ? "an HTTP date" : "seconds"}, the next attempt comes then, and no earlier.`,
    source: `${SUCCESS}; ${RETRY_AFTER}`,
    needsRetry: true,
    async run({ baseline, deliver, retryWithinMs }) {
      // Longer than the sender waits by itself.
      const pauseS = Math.max(SHORTEST_PAUSE_S, Math.ceil((2 * (baseline.retryMs ?? 0)) / 1000) + 1);
      const dueAt = (at: number): number => (form === "seconds" ? at + pauseS * 1000 : (Math.ceil(at / 1000) + pauseS) * 1000);
      const value = (at: number): string => (form === "seconds" ? String(pauseS) : new Date(dueAt(at)).toUTCString());
      const endpoint = await deliver(firstly((exchange) => status(code, { "retry-after": value(exchange.attempt.at) })(exchange)));
      const { at } = await endpoint.attempt(1);
      const wantedMs = dueAt(at) - at;
      await endpoint.waitUntil(() => endpoint.attempts.length > 1, wantedMs + retryWithinMs);
      const [, next] = endpoint.attempts;
      if (next === undefined) return fail(`wanted after ${inSeconds(wantedMs)}; none came within ${inSeconds(retryWithinMs)} from then`);
      const seen = `wanted after ${inSeconds(wantedMs)}, came after ${inSeconds(next.at - at)}`;
      return next.at - at >= wantedMs - TOLERANCE_MS ? pass(seen) : fail(seen);
    },
  };
}

function redirect(code: number): Check {
  return {
    name: `redirect-${code}`,
    expected: `The Location of ${code} is not followed.`,
    source: SUCCESS,
    async run({ deliver, receiver, untilQuiet }) {
      const target = receiver.open(OK);
      await deliver(status(code, { location: target.url }));
      await untilQuiet();
      return target.attempts.length === 0 ? pass("not followed") : fail("followed");
    },
  };
}

export const ANSWER_CHECKS: readonly Check[] = [
  {
    name: "retry",
    expected: "After 500, the webhook is attempted again.",
    source: standardWebhooks("Deliverability and reliability"),
    async run({ baseline: { retryMs }, retryWithinMs }) {
      return retryMs === null ? fail(`no second attempt within ${inSeconds(retryWithinMs)}`) : pass(`after ${inSeconds(retryMs)}`);
    },
  },
  ...[200, 201, 204, 299].map(success),
  ...[retryAfter(429, "seconds"), retryAfter(429, "date"), retryAfter(503, "seconds"), retryAfter(503, "date")],
  attemptedAgain(
    "retry-after-invalid",
    ["a Retry-After that is neither seconds nor a date", status(503, { "retry-after": "soon" })],
    RETRY_AFTER,
  ),
  sentOnce("gone", ["410", status(410)], SUCCESS),
  {
    name: "gone-endpoint",
    expected: "After 410, the endpoint is disabled: it gets no further event.",
    source: SUCCESS,
    async run({ deliver, untilQuiet }) {
      const endpoint = await deliver(status(410));
      await untilQuiet();
      const isRefused = await endpoint.send().then(
        () => false,
        () => true,
      );
      await untilQuiet();
      if (new Set(endpoint.attempts.map(eventOf)).size > 1) return fail("the next event was sent");
      return pass(isRefused ? "the sender refuses the next event" : "the next event was not sent");
    },
  },
  ...[301, 302, 303, 307, 308].map(redirect),
];
