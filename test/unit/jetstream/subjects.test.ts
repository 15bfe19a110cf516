/** Every subject that is formatted is parsed to the same parts, and matches the pattern that Posthorn uses to find it. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ackFilters, parseAckSubject } from "../../../src/jetstream/api-subjects.ts";
import { covers, createSubjects } from "../../../src/jetstream/subjects.ts";
import { STOPS } from "../../../src/model/key-stop.ts";

const token = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,11}$/);
const prefix = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/);
const appOrAll = fc.option(token);
const installation = fc.option(fc.oneof(fc.uuid(), fc.constant(STOPS)));
const anyCovers = (patterns: readonly string[], subject: string): boolean => patterns.some((pattern) => covers(pattern, subject));

describe("round trips", () => {
  test("events", () => {
    fc.assert(
      fc.property(prefix, token, token, (name, resource, action) => {
        const names = createSubjects(name);
        const subject = names.event(resource, action);
        expect(names.parseEvent(subject)).toEqual({ resource, action });
        expect(anyCovers(names.filters.events, subject)).toBe(true);
      }),
    );
  });

  test("retries", () => {
    fc.assert(
      fc.property(prefix, fc.nat(), token, appOrAll, (name, tierS, app, wanted) => {
        const names = createSubjects(name);
        const subject = names.retry(tierS, app);
        expect(names.parseRetry(subject)).toEqual({ tierS, app });
        expect(anyCovers(names.filters.retries, subject)).toBe(true);
        expect(covers(names.tierFilter(tierS), subject)).toBe(true);
        expect(covers(names.retriesFilter(wanted), subject)).toBe(wanted === null || wanted === app);
      }),
    );
  });

  test("parked queues", () => {
    fc.assert(
      fc.property(prefix, token, installation, appOrAll, (name, app, installationUuid, wanted) => {
        const names = createSubjects(name);
        const subject = names.parked(app, installationUuid);
        expect(names.parseParked(subject)).toEqual({ app, installationUuid });
        expect(anyCovers(names.filters.parked, subject)).toBe(true);
        expect(covers(names.allParked, subject)).toBe(true);
        const [appQueues, installationQueues] = names.parkedFilters(wanted);
        const isWanted = wanted === null || wanted === app;
        expect(covers(appQueues, subject)).toBe(isWanted && installationUuid === null);
        // Only the filter of all apps finds what stops keys.
        const isFound = installationUuid === STOPS ? wanted === null : isWanted && installationUuid !== null;
        expect(covers(installationQueues, subject)).toBe(isFound);
      }),
    );
  });

  test("dead letters, also those that belong to no app", () => {
    fc.assert(
      fc.property(prefix, appOrAll, appOrAll, (name, app, wanted) => {
        const names = createSubjects(name);
        const subject = names.deadLetter(app);
        expect(names.parseDeadLetter(subject)).toEqual({ app });
        expect(anyCovers(names.filters.deadLetters, subject)).toBe(true);
        expect(covers(names.deadLettersFilter(wanted), subject)).toBe(wanted === null || wanted === app);
      }),
    );
  });
});

test("a parser returns null for a subject of another stream, prefix or length", () => {
  const names = createSubjects("acme");
  const parsers = [names.parseEvent, names.parseRetry, names.parseParked, names.parseDeadLetter];
  for (const subject of ["", "acme", "acme.events", "other.events.issue.created", "acme.status.circuit.opened.mailer"]) {
    expect(parsers.map((parse) => parse(subject))).toEqual([null, null, null, null]);
  }
  expect(names.parseEvent("acme.events.issue")).toBeNull();
  expect(names.parseEvent("acme.events.issue.created.twice")).toBeNull();
  expect(names.parseRetry("acme.retries.soon.mailer")).toBeNull();
  expect(names.parseParked("acme.parked.mailer.uuid.more")).toBeNull();
  expect(names.parseParked("acme.parked._stops")).toBeNull();
  expect(names.parseDeadLetter("acme.dead-letters.mailer.more")).toBeNull();
});

test.each([
  ["without a domain", ""],
  ["with domain and account", "hub.ACCOUNT."],
])("an ack subject %s carries the message's metadata, and reaches those who watch the consumer", (_case, before) => {
  const subject = `$JS.ACK.${before}ACME_EVENTS.posthorn-events.3.4711.815.1767614400123456789.12`;
  expect(parseAckSubject(subject)).toEqual({
    stream: "ACME_EVENTS",
    consumer: "posthorn-events",
    pending: 12,
    deliveries: 3,
    sequence: 4711,
    consumerSequence: 815,
    storedAt: 1_767_614_400_123,
  });
  expect(ackFilters("ACME_EVENTS", "posthorn-events").filter((filter) => covers(filter, subject))).toHaveLength(1);
  expect(anyCovers(ackFilters("ACME_EVENTS", "other"), subject)).toBe(false);
});
