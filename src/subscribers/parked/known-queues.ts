/**
 * The parked queues that hold deliveries, as far as this replica knows: what it has parked itself, and what a scan of the stream's subjects
 * finds every few seconds, which includes what other replicas parked.
 */
import type { JetStreamManager, StreamConfig, StreamState } from "nats";
import type { ParkedQueue } from "../../delivery/ports.ts";
import type { SubjectState } from "../../jetstream/subject-counts.ts";
import type { Subjects } from "../../jetstream/subjects.ts";
import { STOPS } from "../../model/key-stop.ts";
import type { ParkedShare } from "./parked-share.ts";

export type KnownQueues = ReturnType<typeof createKnownQueues>;

export interface KnownQueuesDependencies {
  readonly manager: JetStreamManager;
  readonly names: Subjects;
  readonly share: Pick<ParkedShare, "update">;
  /** A consumer of the app's own queue may still have its last messages. */
  readonly hasConsumer: (app: string) => boolean;
}

export function createKnownQueues({ manager, names, share, hasConsumer }: KnownQueuesDependencies) {
  const stream = names.streams.parked;
  /** By subject. */
  const queues = new Map<string, ParkedQueue>();
  let counts = new Map<string, number>();
  let lastSequence = -1;
  /** The stream's last sequence at the scan that found the counts. */
  let countedTo = 0;
  /** Subjects under which this replica has parked since. */
  const parkedSince = new Set<string>();

  const subjectOf = ({ app, installationUuid }: ParkedQueue): string => names.parked(app, installationUuid);

  const noteUse = ({ max_bytes: maxBytes, max_msgs: maxMessages }: StreamConfig, { bytes, last_seq: last }: StreamState): void => {
    const apps = new Map<string, number>();
    let messages = 0;
    for (const [subject, count] of counts) {
      const app = names.parseParked(subject)?.app;
      if (app !== undefined) apps.set(app, (apps.get(app) ?? 0) + count);
      messages += count;
    }
    share.update({ maxBytes, maxMessages, bytes, messages, lastSequence: last }, apps);
  };

  const list = async (): Promise<void> => {
    parkedSince.clear();
    const { state, config } = await manager.streams.info(stream, { subjects_filter: names.allParked });
    counts = new Map(Object.entries(state.subjects ?? {}));
    countedTo = state.last_seq;
    noteUse(config, state);
    for (const subject of counts.keys()) {
      const queue = names.parseParked(subject);
      if (queue !== null) queues.set(subject, queue);
    }
    for (const [subject, queue] of queues) if (!counts.has(subject) && !hasConsumer(queue.app)) queues.delete(subject);
  };

  return {
    /** Whether it holds deliveries as far as this replica knows. */
    has: (queue: ParkedQueue): boolean => queues.has(subjectOf(queue)),
    /** Messages that it held at the last scan, and what this replica has parked there since. */
    count: (queue: ParkedQueue): number => counts.get(subjectOf(queue)) ?? 0,
    /** Its state at the last scan; undefined when this replica has parked there since. */
    stateOf(queue: ParkedQueue): SubjectState | undefined {
      const subject = subjectOf(queue);
      const count = parkedSince.has(subject) ? undefined : counts.get(subject);
      return count === undefined ? undefined : { count, last: countedTo };
    },
    /** Those of deliveries. */
    size: (): number => [...queues.values()].filter(({ installationUuid }) => installationUuid !== STOPS).length,
    all: (): Iterable<ParkedQueue> => queues.values(),
    /** @param app null: all apps @param installationUuid this one's only */
    of(app: string | null, installationUuid?: string): Iterable<ParkedQueue> {
      if (app === null) return queues.values();
      if (installationUuid === undefined) return [...queues.values()].filter((queue) => queue.app === app);
      const queue = queues.get(names.parked(app, installationUuid));
      return queue === undefined ? [] : [queue];
    },
    parked(queue: ParkedQueue): void {
      const subject = subjectOf(queue);
      queues.set(subject, queue);
      parkedSince.add(subject);
      counts.set(subject, (counts.get(subject) ?? 0) + 1);
    },
    forget: (queue: ParkedQueue) => void queues.delete(subjectOf(queue)),
    /** @returns the stream's consumers */
    async scan(): Promise<number> {
      const { state } = await manager.streams.info(stream);
      // A list of subjects is expensive, and not needed while the stream stays empty.
      if (state.last_seq !== lastSequence || state.messages > 0 || queues.size > 0) await list();
      lastSequence = state.last_seq;
      return state.consumer_count;
    },
  };
}
