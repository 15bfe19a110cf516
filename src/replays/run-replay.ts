/**
 * Runs a replay from where its record says it is, until it has ended or is not wanted any more: reads a page of its streams, finds what
 * to send, and sends it.
 *
 * REPLAY-8  A replay has ended when each of its deliveries was delivered or is a dead letter.
 */
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { every, sleep } from "../model/periodic.ts";
import type { ReplayLookup } from "../storage/replay-lookup.ts";
import type { FindDeliveries, FoundMessage, ScannedDeadLetter } from "./find-deliveries.ts";
import type { HandledUpTo } from "./handled-events.ts";
import { createProgress, PHASES, type Phase, type Progress } from "./progress.ts";
import type { ReplayRecord, ReplaySpan, WaitReason } from "./replay-record.ts";
import type { ReplayRun } from "./replay-runner.ts";
import { ASK_MS, createReplaySending, LONGEST_ASK_MS, type ReplaySendingDependencies } from "./replay-sending.ts";
import type { ScanEvents } from "./scan-events.ts";

export interface RunReplayDependencies extends ReplaySendingDependencies {
  readonly scanEvents: ScanEvents;
  /** The app's dead letters after a sequence, oldest first; `next` is null at the end. */
  readonly listDeadLetters: (
    replay: ReplayRecord,
    after: number,
    limit: number,
  ) => Promise<{ readonly items: readonly ScannedDeadLetter[]; readonly next: number | null }>;
  readonly findDeliveries: FindDeliveries;
  readonly handledUpTo: HandledUpTo;
  readonly lookup: Pick<ReplayLookup, "outcomeOf">;
  /** Whether nothing of the app waits in the retries and parked streams. */
  readonly nothingWaits: (app: string) => Promise<boolean>;
  readonly clock: Clock;
  readonly logger: Logger;
}

type RunOf = ReplayRun<ReplayRecord>;

/** Resolves when the replay has ended or is not wanted any more. @throws AppError of a server that does not answer */
export type RunReplay = (run: RunOf) => Promise<void>;

const SAVE_EVERY_MS = 1_000;
const DEAD_LETTERS_PER_PAGE = 100;
/** Looks at empty streams before the counts are taken for all there will be. */
const EMPTY_LOOKS = 5;

interface Page {
  readonly messages: readonly FoundMessage[];
  readonly upTo: number;
}

export function createRunReplay(dependencies: RunReplayDependencies): RunReplay {
  const { clock, logger } = dependencies;
  const readPage = createReadPage(dependencies);

  return async (run) => {
    const { replay, isWanted } = run;
    const progress = createProgress(replay);
    const sending = createReplaySending(dependencies, { ...run, progress });
    let waitingFor: WaitReason | null = null;
    const save = createSave(run, progress, () => waitingFor ?? sending.waitingFor());
    const saving = every(clock, SAVE_EVERY_MS, save, (error) =>
      logger.warn({ replay: replay.id, error: messageOf(error) }, "replay progress not saved yet"),
    );

    const readPhase = async (phase: Phase, span: ReplaySpan): Promise<void> => {
      for (let { next } = span, askMs = ASK_MS; next <= span.last && isWanted(); ) {
        const page = await readPage(replay, phase, { ...span, next });
        waitingFor = page === null ? "events" : null;
        if (page === null) {
          await sleep(clock, askMs);
          askMs = Math.min(askMs * 2, LONGEST_ASK_MS);
          continue;
        }
        for (const message of page.messages) if (!(await sending.send(phase, message))) return;
        progress.read(phase, page.upTo);
        next = page.upTo + 1;
      }
    };

    saving.startLater();
    try {
      for (const phase of PHASES) {
        const span = progress.spans[phase];
        if (span !== null && isWanted()) await readPhase(phase, span);
        await sending.allEnded();
      }
    } finally {
      saving.stop();
      await save();
    }
    waitingFor = "retries";
    if (isWanted()) await untilEnded(dependencies, run, progress, save);
  };
}

function createReadPage({ scanEvents, listDeadLetters, findDeliveries, handledUpTo }: RunReplayDependencies) {
  /** @returns null: the next event is not handled yet */
  return async (replay: ReplayRecord, phase: Phase, { next, last }: ReplaySpan): Promise<Page | null> => {
    if (phase === "dead_letters") {
      const { items, next: after } = await listDeadLetters(replay, next - 1, DEAD_LETTERS_PER_PAGE);
      const wanted = items.filter(({ sequence }) => sequence <= last);
      return { messages: await findDeliveries.inDeadLetters(replay, wanted), upTo: Math.min(last, after ?? last) };
    }
    const to = Math.min(last, await handledUpTo(replay.app));
    if (to < next) return null;
    const { events, upTo } = await scanEvents(replay, next, to);
    return { messages: await findDeliveries.inEvents(replay, events), upTo };
  };
}

/** Saves what has changed. Only one save runs at a time. */
function createSave({ save }: RunOf, progress: Progress, waitingFor: () => WaitReason | null): () => Promise<void> {
  let last: Promise<void> = Promise.resolve();
  let saved = "";
  return () => {
    last = last
      .catch(() => {})
      .then(async () => {
        const changes = { ...progress.snapshot(), waiting_for: waitingFor() };
        const text = JSON.stringify(changes);
        if (text === saved) return;
        await save(changes);
        saved = text;
      });
    return last;
  };
}

/** REPLAY-8. Redis may have lost counts: then nothing of the app waits any more. */
async function untilEnded(
  { lookup, nothingWaits, clock }: RunReplayDependencies,
  { replay, isWanted, save: saveRecord }: RunOf,
  progress: Progress,
  save: () => Promise<void>,
): Promise<void> {
  const { counts } = progress.snapshot();
  let emptyLooks = 0;
  for (let askMs = ASK_MS / 2; isWanted(); askMs = Math.min(askMs * 1.5, LONGEST_ASK_MS)) {
    const outcome = replay.dry_run ? { done: 0, failed: 0 } : await lookup.outcomeOf(replay.app, replay.id);
    const haveAllEnded = outcome.done + outcome.failed >= counts.sent || replay.dry_run;
    emptyLooks = !haveAllEnded && (await nothingWaits(replay.app)) ? emptyLooks + 1 : 0;
    if (haveAllEnded || emptyLooks >= EMPTY_LOOKS)
      return saveRecord({ ...progress.snapshot(), waiting_for: null, outcome, state: "done", ended_at: clock.now() });
    await save();
    await sleep(clock, askMs);
  }
}
