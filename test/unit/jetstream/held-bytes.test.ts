import { expect, test } from "vitest";
import { createHeldBytes } from "../../../src/jetstream/held-bytes.ts";

const KB = 1_024;
const aMessage = (bytes: number) => ({ data: new Uint8Array(bytes) });

/** One whose average message takes 100 KB, of which `held` are held. */
function withAverage(maxBytes: number, held: number) {
  const all = createHeldBytes(maxBytes);
  const share = all.share(() => {});
  const messages = Array.from({ length: 200 }, () => aMessage(49.5 * KB));
  for (const message of messages) share.received(message);
  for (const message of messages.slice(held)) share.ended(message);
  return { all, share, messages };
}

test("BYTES-1: what is held and what was asked for take up the room of all consumers together", () => {
  const { all, share } = withAverage(1_010 * KB, 4);
  const other = all.share(() => {});
  expect([share.room(4), other.room(0)]).toEqual([6, 6]);
  other.asked(5);
  expect([share.room(4), other.room(5)]).toEqual([1, 1]);
  share.received(aMessage(49.5 * KB));
  expect(share.room(5)).toBe(0);
  other.asked(0);
  expect(share.room(5)).toBe(5);
});

test("BYTES-1: one message may be asked for, however large messages are, and by a consumer that always may", () => {
  const { all, share } = withAverage(10 * KB, 0);
  const always = all.share(() => {}, { always: () => 1 });
  expect([share.room(0), always.room(0)]).toEqual([1, 1]);
  share.asked(1);
  expect([share.room(1), always.room(0), always.room(1)]).toEqual([0, 1, 0]);
});

test("BYTES-1: messages of an unknown size are asked for with care", () => {
  expect(
    createHeldBytes(64 * 1_024 * KB)
      .share(() => {})
      .room(0),
  ).toBe(256);
});

test("BYTES-2: consumers that found no room pull in turn when there is some", () => {
  const { all, share, messages } = withAverage(210 * KB, 2);
  const pulled: string[] = [];
  const shareOf = (name: string) => {
    const own = all.share(() => {
      pulled.push(name);
      if (own.room(0) > 0) own.asked(1);
    });
    return own;
  };
  const [a, b, c] = [shareOf("a"), shareOf("b"), shareOf("c")];
  expect([a.room(0), b.room(0), c.room(0), all.isScarce()]).toEqual([0, 0, 0, true]);
  share.ended(messages[0] ?? aMessage(0));
  expect(pulled).toEqual(["a"]);
  a.asked(0);
  expect(pulled).toEqual(["a", "b"]);
  b.stop();
  expect([pulled, all.isScarce()]).toEqual([["a", "b", "c"], false]);
});

test("everything is free again when all messages have ended and all consumers have stopped", () => {
  const { all, share, messages } = withAverage(1_010 * KB, 10);
  expect(share.room(10)).toBe(0);
  for (const message of messages.slice(0, 10)) share.ended(message);
  share.asked(7);
  share.stop();
  share.asked(7);
  expect(all.share(() => {}).room(0)).toBe(10);
});
