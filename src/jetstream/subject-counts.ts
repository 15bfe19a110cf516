/** How many deliveries wait in the parked stream and lie in the dead-letters stream, by app and installation. */
import type { JetStreamManager } from "nats";
import { INVALID, type Subjects } from "./subjects.ts";

export interface SubjectCounts {
  /** App → deliveries in its queue and in those of its installations. */
  readonly parked: ReadonlyMap<string, number>;
  /** App → deliveries in its own queue, which all of its installations share. */
  readonly parkedInAppQueue: ReadonlyMap<string, number>;
  /** Installation → deliveries in its own queue. */
  readonly parkedOfInstallation: ReadonlyMap<string, number>;
  /** App → dead letters. */
  readonly deadLetters: ReadonlyMap<string, number>;
  /** Dead letters that belong to no app: events that could not be read. */
  readonly unreadable: number;
}

export function createSubjectCounts(manager: JetStreamManager, { streams }: Subjects): () => Promise<SubjectCounts> {
  const countsOf = async (stream: string): Promise<Array<readonly [tokens: string[], count: number]>> => {
    const { state } = await manager.streams.info(stream, { subjects_filter: ">" });
    return Object.entries(state.subjects ?? {}).map(([subject, count]) => [subject.split(".").slice(2), count]);
  };

  return async () => {
    const [parkedSubjects, deadSubjects] = await Promise.all([countsOf(streams.parked), countsOf(streams.deadLetters)]);
    const parked = new Map<string, number>();
    const parkedInAppQueue = new Map<string, number>();
    const parkedOfInstallation = new Map<string, number>();
    for (const [[app = "", installation], count] of parkedSubjects) {
      parked.set(app, (parked.get(app) ?? 0) + count);
      if (installation === undefined) parkedInAppQueue.set(app, count);
      else parkedOfInstallation.set(installation, count);
    }
    const deadLetters = new Map(deadSubjects.map(([[app = ""], count]) => [app, count]));
    const unreadable = deadLetters.get(INVALID) ?? 0;
    deadLetters.delete(INVALID);
    return { parked, parkedInAppQueue, parkedOfInstallation, deadLetters, unreadable };
  };
}
