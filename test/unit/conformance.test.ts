/** The fakes of the unit tests do what the real adapters do (test/integration/conformance.test.ts). */
import type { CircuitRecord } from "../../src/model/stored-records.ts";
import { createAttemptLogInMemory } from "../support/attempt-log-in-memory.ts";
import { describeAttemptLog } from "../support/conformance/attempt-log.ts";
import { describeDeliveryStreams } from "../support/conformance/delivery-streams.ts";
import { describeRecords } from "../support/conformance/records.ts";
import { createManualClock } from "../support/manual-clock.ts";
import { createRecordStore } from "../support/record-store.ts";
import { createStreamsInMemory } from "../support/streams-in-memory.ts";

const records = createRecordStore<CircuitRecord>();
describeRecords("the fake", () => ({ records, remove: records.remove, damage: records.damage }));

const clock = createManualClock();
const streams = createStreamsInMemory(clock);
const NAMES = { retries: "RETRIES", parked: "PARKED", "dead-letters": "DEAD_LETTERS" } as const;
describeDeliveryStreams(
  "the fake",
  () => ({
    streams,
    async read(stream, sequence) {
      const message = streams.in(NAMES[stream]).find((one) => one.sequence === sequence);
      return message === undefined ? null : streams.delivery(message);
    },
  }),
  clock.now,
);

const log = createAttemptLogInMemory();
describeAttemptLog(
  "the fake",
  () => log,
  async () => {},
);
