/** A check of a webhook sender: what a standard wants, and how to find out. */
import { firstly } from "./answers.ts";
import { inSeconds } from "./in-seconds.ts";
import type { Answer } from "./receiver.ts";
import type { Trial } from "./trial.ts";

export interface Finding {
  readonly result: "pass" | "fail" | "skipped";
  /** The facts that decided, or the reason why there are none. */
  readonly observed: string;
}

export interface Check {
  readonly name: string;
  readonly expected: string;
  /** The section of a standard. */
  readonly source: string;
  /** It means nothing for a sender that was not seen to retry. */
  readonly needsRetry?: true;
  /** It may bring the sender down, and is run after those that may not. */
  readonly isHarsh?: true;
  /** A rejection is a failure of the sender. */
  readonly run: (trial: Trial) => Promise<Finding>;
}

export const pass = (observed: string): Finding => ({ result: "pass", observed });
export const fail = (observed: string): Finding => ({ result: "fail", observed });
export const skipped = (observed: string): Finding => ({ result: "skipped", observed });

export const standardWebhooks = (section: string): string => `Standard Webhooks 1.0.0, ${section}`;
export const SUCCESS = standardWebhooks("Delivery success and failure");

/** A receiver's answer, and its description. */
type Described = readonly [after: string, answer: Answer];

export function sentOnce(name: string, [after, answer]: Described, source: string): Check {
  return {
    ...{ name, source, expected: `After ${after}, the webhook is not sent again.` },
    async run({ deliver, untilQuiet }) {
      const { attempts } = await deliver(answer);
      await untilQuiet();
      return attempts.length === 1 ? pass("one attempt") : fail(`${attempts.length} attempts`);
    },
  };
}

export function attemptedAgain(name: string, [after, answer]: Described, source: string): Check {
  return {
    ...{ name, source, expected: `After ${after}, the webhook is attempted again.`, needsRetry: true },
    async run({ deliver, deadlineMs }) {
      const endpoint = await deliver(firstly(answer));
      const [first, second] = [await endpoint.attempt(1), await endpoint.attempt(2, deadlineMs)];
      return pass(`after ${inSeconds(second.at - first.at)}`);
    },
  };
}

/** For answers that a sender may count as a success or as a failure, as long as they harm nothing else. */
export function nextEventComes(name: string, [after, answer]: Described, source: string): Check {
  return {
    ...{ name, source, expected: `After ${after}, the endpoint's next event comes.` },
    async run({ deliver, untilQuiet, retryWithinMs }) {
      const endpoint = await deliver(firstly(answer));
      await untilQuiet();
      await endpoint.send();
      return (await endpoint.gotEvents(2)) ? pass("it came") : fail(`it did not come within ${inSeconds(retryWithinMs)}`);
    },
  };
}
