import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { itemsOf, membersOf, withMember } from "../../../src/model/json-text.ts";

describe("membersOf", () => {
  test("keeps number text, key order and string escapes", () => {
    const members = membersOf(
      '{ "n" : 12345678901234567890 , "d": 1.0, "e":1e400, "o": { "b" : 1 , "a" : [ 2 , 3.50 ] }, "s":"\\u00e9 \\"{}[],:" }',
    );
    expect([...members]).toEqual([
      ["n", "12345678901234567890"],
      ["d", "1.0"],
      ["e", "1e400"],
      ["o", '{"b":1,"a":[2,3.50]}'],
      ["s", '"\\u00e9 \\"{}[],:"'],
    ]);
  });

  test("takes the last of two members of the same name, as JSON.parse does", () => {
    expect(membersOf('{"a":1,"a":2}').get("a")).toBe("2");
  });

  test("reads escaped member names", () => {
    expect(membersOf('{"\\u0061\\"b":true}').get('a"b')).toBe("true");
  });

  test("an empty object has no members", () => {
    expect(membersOf(" { } ").size).toBe(0);
  });

  test("any object, however it is spaced, gives compact text of equal values in the same order", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(undefined, 1, 2, "\t"), (object, space) => {
        const text = JSON.stringify(object, null, space);
        const parsed = JSON.parse(text) as Record<string, unknown>;
        const members = membersOf(text);
        expect([...members.keys()].sort()).toEqual(Object.keys(parsed).sort());
        for (const [name, value] of members) expect(value).toBe(JSON.stringify(parsed[name]));
      }),
      { numRuns: 500 },
    );
  });
});

test.each([
  ['["x"]', "an array"],
  ['""', "a string"],
  ['"\\"event\\""', "a string"],
  ["[[]]", "an array"],
  ["1", "a number"],
  ["-0.5e3 ", "a number"],
  ["true\n", "a boolean"],
  ["null", "null"],
  [' ["event", {}]', "an array"],
])("the members of %s are refused: it is %s", (json, found) => {
  expect(() => membersOf(json)).toThrow(`found ${found}, wanted an object`);
});

test.each([
  ["{}", '{"data":{}}'],
  [" {\n} ", '{\n"data":{}}'],
  ['{"a":1}', '{"a":1,"data":{}}'],
  ['{"data":null, "a":1}\n', '{"data":null, "a":1,"data":{}}'],
])("a member is added to %s", (object, expected) => {
  const text = withMember(object, "data", "{}");
  expect(text.trim()).toBe(expected);
  expect(membersOf(text).get("data")).toBe("{}");
});

test("any array, however it is spaced, gives the compact texts of its items", () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), fc.constantFrom(undefined, 1, "\t"), (array, space) => {
      expect(itemsOf(JSON.stringify(array, null, space))).toEqual(
        (JSON.parse(JSON.stringify(array)) as unknown[]).map((item) => JSON.stringify(item)),
      );
    }),
    { numRuns: 500 },
  );
  expect(itemsOf("[ 1.0 , 12345678901234567890,[1 , 2]]")).toEqual(["1.0", "12345678901234567890", "[1,2]"]);
  expect(() => itemsOf("{}")).toThrow("found an object, wanted an array");
});
