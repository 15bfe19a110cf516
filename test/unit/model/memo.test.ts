import { expect, test } from "vitest";
import { memoize } from "../../../src/model/memo.ts";

test("texts in turn are computed once as long as they are no more than the size", () => {
  const computed: string[] = [];
  const upper = memoize(10, (text) => {
    computed.push(text);
    return text.toUpperCase();
  });
  for (let times = 0; times < 5; times++) for (let n = 0; n < 10; n++) expect(upper(`t${n}`)).toBe(`T${n}`);
  expect(computed).toHaveLength(10);
});

test("texts in frequent use are kept however many others come", () => {
  const computed: string[] = [];
  const upper = memoize(10, (text) => {
    computed.push(text);
    return text.toUpperCase();
  });
  for (let n = 0; n < 1_000; n++) {
    upper(`other ${n}`);
    if (n % 5 === 0) upper("often");
  }
  expect(computed.filter((text) => text === "often")).toHaveLength(1);
});

test("an empty result is kept, too", () => {
  let computed = 0;
  const nothing = memoize(1, () => {
    computed++;
    return "";
  });
  expect([nothing("a"), nothing("a"), computed]).toEqual(["", "", 1]);
});
