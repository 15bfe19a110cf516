/** Counts a stream's messages by subject. */
import type { JetStreamManager } from "nats";
import { orUnreachable } from "./or-unreachable.ts";
import type { Subjects } from "./subjects.ts";

/** Subject → messages stored under it. @param filter a pattern within one of the stream's own subjects */
export async function countBySubject(manager: JetStreamManager, stream: string, filter: string): Promise<ReadonlyMap<string, number>> {
  const { state } = await manager.streams.info(stream, { subjects_filter: filter });
  return new Map(Object.entries(state.subjects ?? {}));
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
      if (queue === null) continue;
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
