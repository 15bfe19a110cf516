/** Runs the checks on a sender, many at once: most of the time is waiting. */
import { messageOf } from "../model/app-error.ts";
import { ADDRESS_CHECKS } from "./address-checks.ts";
import { ANSWER_CHECKS } from "./answer-checks.ts";
import { type Check, type Finding, fail, pass, skipped, standardWebhooks } from "./check.ts";
import { HOSTILE_CHECKS } from "./hostile-checks.ts";
import { inSeconds } from "./in-seconds.ts";
import { type ReceiverOptions, startReceiver } from "./receiver.ts";
import type { Sender } from "./sender.ts";
import { SIGNATURE_CHECKS } from "./signature-checks.ts";
import { startTrial, type Trial, type TrialOptions } from "./trial.ts";

export interface CheckReport extends Finding {
  readonly check: string;
  readonly expected: string;
  readonly source: string;
}

export interface RunOptions extends ReceiverOptions, Omit<TrialOptions, "isForwarded" | "signal"> {
  readonly onProgress: (done: number, total: number) => void;
}

export interface ConformanceRun {
  readonly reports: readonly CheckReport[];
  /** Endpoints that could not be removed from the sender, and why. */
  readonly left: readonly string[];
}

const DELIVERY: Check = {
  name: "delivery",
  expected: "An event comes to the registered URL as a POST.",
  source: standardWebhooks("Webhook headers"),
  async run({ baseline: { attempts }, retryWithinMs }) {
    const [first] = attempts;
    if (first === undefined) return fail(`no request came within ${inSeconds(retryWithinMs)}`);
    return first.method === "POST" ? pass(`a POST of ${first.body.length} bytes`) : fail(`the method is ${first.method}`);
  },
};

const CHECKS: readonly Check[] = [DELIVERY, ...SIGNATURE_CHECKS, ...ANSWER_CHECKS, ...HOSTILE_CHECKS, ...ADDRESS_CHECKS];

/** @throws Error when the receiver can't start, or the sender can't be given an endpoint or an event at all */
export async function runChecks(sender: Sender, { onProgress, ...options }: RunOptions): Promise<ConformanceRun> {
  const ended = new AbortController();
  const signal = AbortSignal.any([options.signal, ended.signal]);
  const receiver = await startReceiver({ ...options, signal });
  try {
    const trial = await startTrial(sender, receiver, { ...options, isForwarded: options.publicUrl !== undefined, signal });
    try {
      const findings = new Map<Check, Finding>();
      const run = async (check: Check): Promise<void> => {
        findings.set(check, await findingOf(check, trial));
        onProgress(findings.size, CHECKS.length);
      };
      await Promise.all(CHECKS.filter(({ isHarsh }) => !isHarsh).map(run));
      for (const check of CHECKS.filter(({ isHarsh }) => isHarsh)) await run(check);
      const reports = CHECKS.flatMap((check) => {
        const finding = findings.get(check);
        return finding === undefined ? [] : [{ check: check.name, ...finding, expected: check.expected, source: check.source }];
      });
      return { reports, left: await trial.end() };
    } catch (error) {
      await trial.end();
      throw error;
    }
  } finally {
    ended.abort();
    await receiver.stop();
  }
}

async function findingOf(check: Check, trial: Trial): Promise<Finding> {
  const { baseline, retryWithinMs, signal } = trial;
  if (baseline.attempts.length === 0 && check !== DELIVERY) return skipped("no webhook came");
  if (check.needsRetry && baseline.retryMs === null) return skipped(`the sender was not seen to retry within ${inSeconds(retryWithinMs)}`);
  try {
    return await check.run(trial);
  } catch (error) {
    signal.throwIfAborted();
    return fail(messageOf(error));
  }
}
