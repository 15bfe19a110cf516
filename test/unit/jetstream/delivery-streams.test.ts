import { NatsError, type PubAck } from "nats";
import { expect, test } from "vitest";
import { createDeliveryStreams } from "../../../src/jetstream/delivery-streams.ts";
import { createSubjects } from "../../../src/jetstream/subjects.ts";
import { anEvent, UUID } from "../../support/builders.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

test("a large fan-out that is refused ends when none of its batches is being stored any more", async () => {
  const clock = createManualClock();
  const tooLarge = new NatsError("message size exceeds maximum allowed", "400");
  tooLarge.api_error = { code: 400, err_code: 10054, description: tooLarge.message };
  let published = 0;
  const streams = createDeliveryStreams({
    async publish() {
      if (published++ === 0) throw tooLarge;
      await new Promise<void>((resolve) => clock.after(1_000, resolve));
      return { seq: published, stream: "T" } as PubAck;
    },
    ...{ names: createSubjects("t"), clock, logger: silentLogger, isUsable: () => true, maxPayloadBytes: () => 1_048_576, onStored() {} },
  });
  const targets = Array.from({ length: 900 }, () => ({ app: "acme", uuid: UUID }));
  let isEnded = false;
  const stored = streams.fanOut({ event: anEvent(), eventSequence: 1, targets }, { stream: "T_EVENTS", sequence: 1 }, anEvent());
  const ended = expect(stored.finally(() => (isEnded = true))).rejects.toMatchObject({ code: "TOO_LARGE" });
  await clock.advance(500);
  expect([published, isEnded, streams.underWay()]).toEqual([4, false, 3]);
  await clock.advance(500);
  await ended;
  expect(streams.underWay()).toBe(0);
});
