/** Counts a stream's messages by subject. */
import type { JetStreamManager } from "nats";
import { STOPS } from "../model/key-stop.ts";
import { orUnreachable } from "./or-unreachable.ts";
import type { Subjects } from "./subjects.ts";

/** The messages of a subject or a pattern at one moment. */
export interface SubjectState {
  readonly count: number;
  /** The last sequence of the stream. */
  readonly last: number;
}

/** Subject → messages stored under it. @param filter within one of the stream's own subjects */
export async function countBySubject(manager: JetStreamManager, stream: string, filter: string): Promise<ReadonlyMap<string, number>> {
  const { state } = await manager.streams.info(stream, { subjects_filter: countable(filter) });
  return new Map(Object.entries(state.subjects ?? {}));
}

export async function subjectState(manager: JetStreamManager, stream: string, filter: string): Promise<SubjectState> {
  const { state } = await manager.streams.info(stream, { subjects_filter: countable(filter) });
  return { count: Object.values(state.subjects ?? {}).reduce((sum, one) => sum + one, 0), last: state.last_seq };
}

/** A pattern that matches the same in a stream whose subjects all begin with one prefix (INDEX-3). */
export function countable(filter: string): string {
  return /[*>]/.test(filter) ? filter : filter.replace(/^[^.]+/, "*");
}

/** Parked deliveries and dead letters, by app and installation. */
export interface SubjectCounts {
  /** App → deliveries in its own queue and in those of its installations. */
  readonly parked: ReadonlyMap<string, number>;
  /** App → deliveries in its own queue, which all of its installations share. */
  readonly parkedInAppQueue: ReadonlyMap<string, number>;
  /** Installation → deliveries in its own queue. */
  readonly parkedOfInstallation: ReadonlyMap<string, number>;
  /** App → dead letters. */
  readonly deadLetters: ReadonlyMap<string, number>;
  /** Dead letters that belong to no app: unreadable events. */
  readonly unreadable: number;
}

export function createSubjectCounts(manager: JetStreamManager, names: Subjects): () => Promise<SubjectCounts> {
  const { streams, parseParked, parseDeadLetter } = names;

  return async () => {
    const [parkedSubjects, deadSubjects] = await orUnreachable(
      Promise.all([
        countBySubject(manager, streams.parked, names.allParked),
        countBySubject(manager, streams.deadLetters, names.deadLettersFilter(null)),
      ]),
    );
    const parked = new Map<string, number>();
    const parkedInAppQueue = new Map<string, number>();
    const parkedOfInstallation = new Map<string, number>();
    for (const [subject, count] of parkedSubjects) {
      const queue = parseParked(subject);
      if (queue === null || queue.installationUuid === STOPS) continue;
      const { app, installationUuid } = queue;
      parked.set(app, (parked.get(app) ?? 0) + count);
      if (installationUuid === null) parkedInAppQueue.set(app, count);
      else parkedOfInstallation.set(installationUuid, count);
    }
    const deadLetters = new Map<string, number>();
    let unreadable = 0;
    for (const [subject, count] of deadSubjects) {
      const app = parseDeadLetter(subject)?.app ?? null;
      if (app === null) unreadable += count;
      else deadLetters.set(app, count);
    }
    return { parked, parkedInAppQueue, parkedOfInstallation, deadLetters, unreadable };
  };
}
