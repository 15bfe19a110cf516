import { expect, test } from "vitest";
import { RawJson, stringifyWithRaw } from "../../../src/model/raw-json.ts";

test("raw members are written as they are, at any depth", () => {
  const data = '{"b":1.0,"a":12345678901234567890,"text":"$& \\u0041"}';
  const value = { id: 'a "quote"', list: [{ data: new RawJson(data) }, { data: new RawJson("[]") }], none: null };
  expect(stringifyWithRaw(value)).toBe(`{"id":"a \\"quote\\"","list":[{"data":${data}},{"data":[]}],"none":null}`);
});

test("a value without raw members is plain JSON", () => {
  expect(stringifyWithRaw({ a: [1, "2"] })).toBe('{"a":[1,"2"]}');
});
