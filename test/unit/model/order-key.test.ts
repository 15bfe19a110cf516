import { expect, test } from "vitest";
import { orderKeyOf } from "../../../src/model/order-key.ts";
import { aDelivery, anEvent } from "../../support/builders.ts";

const keyOf = (value: string): string =>
  orderKeyOf(aDelivery({ event: anEvent({ dataJson: `{"issue":{${value === "" ? "" : `"id":${value}`}}}` }) }), "/issue/id");

test.each([[["1", '"1"', "1.0"]], [["", "null", '""']], [["[1]", "[ 1 ]", '"[1]"']], [[`"${"x".repeat(256)}a"`, `"${"x".repeat(256)}b"`]]])(
  "the values %j are one key",
  (values) => {
    expect(new Set(values.map(keyOf)).size).toBe(1);
  },
);

test("other values are keys of their own", () => {
  const values = ["1", "2", "0", "false", '"a"', '"A"', "", "{}", "[]"];
  expect(new Set(values.map(keyOf)).size).toBe(values.length);
});
