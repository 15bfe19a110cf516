/** Headers and signatures of Standard Webhooks, of one delivery and over its retries. */
import { OK } from "./answers.ts";
import { type Check, type Finding, fail, pass, skipped, standardWebhooks } from "./check.ts";
import { inSeconds } from "./in-seconds.ts";
import type { Attempt } from "./receiver.ts";
import { APART_MS, eventOf } from "./trial.ts";
import { isSignedBy, secretProblem } from "./verify-signature.ts";

const ID = "webhook-id";
const TIMESTAMP = "webhook-timestamp";
const SIGNATURE = "webhook-signature";

/** A full stop in the id would let one signature stand for two webhooks. */
const FORMS: Readonly<Record<string, RegExp>> = {
  [ID]: /^[^.\s]+$/,
  [TIMESTAMP]: /^\d{9,11}$/,
  [SIGNATURE]: /^v\d+[a-z]*,[A-Za-z0-9+/]+=*(?: v\d+[a-z]*,[A-Za-z0-9+/]+=*)*$/,
};
const TOLERANCE_MS = 300_000;

type Judge = (attempts: readonly Attempt[], secret: string) => Finding;

const only = (attempt: Attempt, header: string): string => attempt.values(header)[0] ?? "";
const timeMs = (attempt: Attempt): number => Number(only(attempt, TIMESTAMP) || Number.NaN) * 1000;

/** @param problemOf null: nothing is wrong with the attempt */
function everyAttempt(problemOf: (attempt: Attempt, first: Attempt, secret: string) => string | null): Judge {
  return (attempts, secret) => {
    const problems = attempts.flatMap((attempt, at) => {
      const problem = problemOf(attempt, attempts[0] ?? attempt, secret);
      return problem === null ? [] : [`attempt ${at + 1}: ${problem}`];
    });
    const seen = `${attempts.length} ${attempts.length === 1 ? "attempt" : "attempts"}`;
    return problems.length > 0 ? fail(`${problems.length} of ${seen} wrong; ${problems[0]}`) : pass(seen);
  };
}

export const judgeHeaders = everyAttempt((attempt) => {
  const wrong = Object.entries(FORMS).flatMap(([name, form]) => {
    const values = attempt.values(name);
    if (values.length !== 1) return [`${name} is there ${values.length} times`];
    return form.test(values[0] ?? "") ? [] : [`${name} is ${JSON.stringify(values[0])}`];
  });
  return wrong.length === 0 ? null : wrong.join(", ");
});

export const judgeSignatures = everyAttempt((attempt, _first, secret) => {
  const [id, timestamp, signatures] = [only(attempt, ID), only(attempt, TIMESTAMP), only(attempt, SIGNATURE)];
  return isSignedBy(secret, { id, timestamp, signatures, body: attempt.body }) ? null : `not right: ${JSON.stringify(signatures)}`;
});

export const judgeClock = everyAttempt((attempt) => {
  const offMs = timeMs(attempt) - attempt.at;
  return Math.abs(offMs) <= TOLERANCE_MS ? null : `${TIMESTAMP} is ${inSeconds(offMs)} off this machine's clock`;
});

export const judgeIds = everyAttempt((attempt, first) =>
  only(attempt, ID) === only(first, ID) ? null : `${only(attempt, ID)}, not ${only(first, ID)}`,
);

export const judgeBodies = everyAttempt(({ body, values }, first) => {
  if (!body.equals(first.body)) return "another body than on attempt 1";
  return values("content-type").join() === first.values("content-type").join() ? null : "another content-type than on attempt 1";
});

export const judgeFreshness: Judge = (attempts) => {
  const [first] = attempts;
  const later = attempts.filter(({ at }) => first !== undefined && at - first.at >= APART_MS);
  if (first === undefined || later.length === 0)
    return skipped(`all attempts came within ${inSeconds(APART_MS)}, and timestamps are whole seconds`);
  const isFresh = later.every((attempt) => timeMs(attempt) > timeMs(first) && only(attempt, SIGNATURE) !== only(first, SIGNATURE));
  const seen = attempts.map((attempt) => `${only(attempt, TIMESTAMP)} after ${inSeconds(attempt.at - first.at)}`).join(", ");
  return isFresh ? pass(seen) : fail(`the time or the signature of an earlier attempt: ${seen}`);
};

function check(name: string, [section, expected]: readonly [section: string, expected: string], judge: Judge): Check {
  return {
    ...{ name, expected, source: standardWebhooks(section) },
    run: async ({ baseline: { attempts, endpoint } }) => judge(attempts, endpoint.secret),
  };
}

const retried = (...wanted: Parameters<typeof check>): Check => ({ ...check(...wanted), needsRetry: true });

export const SIGNATURE_CHECKS: readonly Check[] = [
  check(
    "headers",
    ["Webhook headers", "Each once: webhook-id (without a full stop), webhook-timestamp (Unix seconds), webhook-signature."],
    judgeHeaders,
  ),
  check(
    "signature",
    ["Signature scheme", "One of the signatures is right: v1 (HMAC-SHA256) or v1a (ed25519) of id.timestamp.body."],
    judgeSignatures,
  ),
  check("timestamp", ["Webhook metadata", "It is the time of the attempt, within the 5 minutes that receivers tolerate."], judgeClock),
  check(
    "secret",
    ["Signature scheme", "whsec_ and base64 of 24 to 64 bytes, or the public key: whpk_ and base64 of 32 bytes."],
    (_, secret) => {
      const problem = secretProblem(secret);
      return problem === null ? pass(`${secret.split("_")[0]}_…`) : fail(problem);
    },
  ),
  {
    name: "secret-unique",
    expected: "Two endpoints have two secrets. Endpoints of one customer may share a public key.",
    source: standardWebhooks("Additional considerations"),
    async run({ baseline, open }) {
      const { secret } = await open(OK);
      if (secret !== baseline.endpoint.secret) return pass("two secrets");
      return secret.startsWith("whpk_") ? skipped("two endpoints share a public key") : fail("two endpoints share a secret");
    },
  },
  {
    name: "id-unique",
    expected: "Two events have two ids.",
    source: standardWebhooks("Webhook metadata"),
    async run({ baseline: { endpoint, attempts }, retryWithinMs }) {
      const known = new Set(attempts.map(eventOf));
      await endpoint.send();
      const isNew = (): boolean => endpoint.attempts.some((attempt) => !known.has(eventOf(attempt)));
      if (await endpoint.waitUntil(isNew, retryWithinMs)) return pass("two ids");
      return fail(`${endpoint.attempts.length - attempts.length} requests came for the second event, with the id of the first`);
    },
  },
  retried("retry-id", ["Webhook metadata", "webhook-id is the same on every attempt."], judgeIds),
  retried("retry-timestamp", ["Webhook metadata", "Every attempt has its own time, and a signature of it."], judgeFreshness),
  retried("retry-body", ["Signature scheme", "Every attempt has the same bytes and content-type."], judgeBodies),
];
