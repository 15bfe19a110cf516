import { beforeEach, expect, test } from "vitest";
import { createSubjects } from "../../../src/jetstream/subjects.ts";
import { createKnownQueues, type KnownQueues } from "../../../src/subscribers/parked/known-queues.ts";
import type { StreamUse } from "../../../src/subscribers/parked/parked-share.ts";

const own = { app: "acme", installationUuid: null };
const ofInstallation = { app: "acme", installationUuid: "0f3c0000-0000-4000-8000-000000000001" };
const names = createSubjects("t");
const subjectOf = ({ app, installationUuid }: typeof own | typeof ofInstallation): string => names.parked(app, installationUuid);

/** The stream. */
let subjects: Record<string, number>;
let lastSequence: number;
let lists: number;
let used: Array<[StreamUse, Record<string, number>]>;
let consumed: Set<string>;
let onList: () => void;
let known: KnownQueues;

beforeEach(() => {
  [subjects, lastSequence, lists, used, consumed] = [{}, 0, 0, [], new Set()];
  onList = () => {};
  const messages = (): number => Object.values(subjects).reduce((sum, count) => sum + count, 0);
  known = createKnownQueues({
    manager: {
      streams: {
        async info(_stream: string, options?: { subjects_filter: string }) {
          if (options !== undefined) {
            lists++;
            onList();
          }
          const state = { messages: messages(), bytes: messages() * 100, last_seq: lastSequence, consumer_count: 3 };
          return { config: { max_bytes: -1, max_msgs: 50 }, state: options === undefined ? state : { ...state, subjects } };
        },
      },
    } as never,
    names,
    share: { update: (use, counts) => void used.push([use, Object.fromEntries(counts)]) },
    hasConsumer: (app) => consumed.has(app),
  });
});

test("a scan finds the queues of all replicas with their counts, and what each app uses", async () => {
  [subjects, lastSequence] = [{ [subjectOf(own)]: 2, [subjectOf(ofInstallation)]: 3, "t.parked._odd.name.x": 1 }, 9];
  expect(await known.scan()).toBe(3);
  expect([...known.all()]).toEqual([own, ofInstallation]);
  expect([known.count(own), known.count(ofInstallation), known.size()]).toEqual([2, 3, 2]);
  expect(used).toMatchObject([[{ maxMessages: 50, messages: 6, bytes: 600, lastSequence: 9 }, { acme: 5 }]]);
});

test("what this replica parks is known at once, and counts on until the next scan", async () => {
  known.parked(own);
  known.parked(own);
  expect([known.has(own), known.count(own), known.has(ofInstallation)]).toEqual([true, 2, false]);
  expect([...known.of("acme")]).toEqual([own]);
  expect([...known.of("acme", ofInstallation.installationUuid)]).toEqual([]);
  [subjects, lastSequence] = [{ [subjectOf(own)]: 1 }, 2];
  await known.scan();
  expect(known.count(own)).toBe(1);
});

test("what a scan has counted holds up to the stream's last sequence of then, until this replica parks there", async () => {
  [subjects, lastSequence] = [{ [subjectOf(own)]: 1, [subjectOf(ofInstallation)]: 2 }, 7];
  await known.scan();
  expect([known.stateOf(own), known.stateOf(ofInstallation)]).toEqual([
    { count: 1, last: 7 },
    { count: 2, last: 7 },
  ]);
  known.parked(own);
  expect([known.stateOf(own), known.stateOf(ofInstallation)]).toEqual([undefined, { count: 2, last: 7 }]);
  lastSequence = 8;
  onList = () => known.parked(ofInstallation);
  await known.scan();
  expect([known.stateOf(own), known.stateOf(ofInstallation)]).toEqual([{ count: 1, last: 8 }, undefined]);
});

test("a queue that is empty by now is forgotten, once no consumer may have its last messages", async () => {
  known.parked(own);
  known.parked(ofInstallation);
  consumed.add("acme");
  await known.scan();
  expect(known.size()).toBe(2);
  consumed.clear();
  await known.scan();
  expect(known.size()).toBe(0);
});

test("an empty stream is not listed again while nothing is stored", async () => {
  for (let n = 0; n < 3; n++) await known.scan();
  expect(lists).toBe(1);
  [subjects, lastSequence] = [{ [subjectOf(own)]: 1 }, 1];
  await known.scan();
  expect([lists, known.size()]).toEqual([2, 1]);
});
