import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { memberText } from "../../../src/web/json-member.ts";
import { isCut, type JsonLayout, layOutJson } from "../../../src/web/json-text.ts";

const textOf = (layout: JsonLayout | null): string => (layout?.tokens ?? []).map(({ text }) => text).join("");
const kindsOf = (text: string): string[] =>
  (layOutJson(text)?.tokens ?? [])
    .filter(({ kind }) => kind !== "space" && kind !== "mark")
    .map(({ kind, text: piece }) => `${kind} ${piece}`);

describe("JSON is laid out", () => {
  test("with one member a line", () => {
    expect(textOf(layOutJson('{"a":1,"b":[true,null],"c":{},"d":[]}'))).toBe(
      '{\n  "a": 1,\n  "b": [\n    true,\n    null\n  ],\n  "c": {},\n  "d": []\n}',
    );
  });

  test("with its numbers, escapes and the order of its members as they are", () => {
    const text = '{"z":12345678901234567890,"one":1.0,"e":-1.5e+30,"quote":"a \\"b\\" \\u00fc","__proto__":1}';
    expect(kindsOf(text)).toEqual([
      ...['key "z"', "number 12345678901234567890", 'key "one"', "number 1.0", 'key "e"', "number -1.5e+30"],
      ...['key "quote"', 'string "a \\"b\\" \\u00fc"', 'key "__proto__"', "number 1"],
    ]);
  });

  test("and stays the same value, whatever it is", () => {
    fc.assert(
      fc.property(fc.oneof(fc.object(), fc.array(fc.jsonValue())), fc.nat(3), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        const layout = layOutJson(text);
        expect(layout?.isComplete).toBe(true);
        expect(JSON.parse(textOf(layout))).toEqual(JSON.parse(text));
      }),
    );
  });

  test("as far as it goes where it was cut, wherever that was", () => {
    const text = JSON.stringify({ text: 'with "quotes" and \\ in it', list: [1, -2.5, { deep: null }], flag: true });
    for (let end = 1; end < text.length; end++) {
      const layout = layOutJson(text.slice(0, end));
      expect(layout?.isComplete).toBe(false);
      expect(textOf(layout).replace(/\s/g, "")).toBe(text.slice(0, end).replace(/\s/g, ""));
    }
  });

  test.each(["", "plain text", "<html></html>", "42", '"text"', "{a: 1}", "{]", '{"a":1} trailing', '{"a" 1 ; }'])(
    "unless it is none: %s",
    (text) => {
      expect(layOutJson(text)).toBeNull();
    },
  );
});

describe("a body of the request log is marked as cut", () => {
  test.each<[string, string, boolean]>([
    ["short text", "no", false],
    ["text of 1,024 bytes", "x".repeat(1_024), true],
    ["text of 1,022 bytes, which half a character was taken from", `${"x".repeat(1_019)}€`, true],
    ["JSON of 1,024 bytes that is whole", JSON.stringify({ a: "x".repeat(1_016) }), false],
    ["JSON that ends in the middle", JSON.stringify({ a: "x".repeat(2_000) }).slice(0, 1_024), true],
    ["broken JSON that is short", '{"a":', false],
  ])("%s: %#", (_what, text, cut) => {
    expect(isCut(text)).toBe(cut);
  });
});

describe("a member's text", () => {
  test("is found without rounding what is in it", () => {
    const text = '{ "sequence": 7, "event": { "id": "e", "data": {"n": 12345678901234567890, "data": 1.0, "list": [1, 2]} }, "data": 0 }';
    const event = memberText(text, "event") ?? "";
    expect(memberText(event, "data")).toBe('{"n":12345678901234567890,"data":1.0,"list":[1,2]}');
    expect(memberText(text, "data")).toBe("0");
    expect(memberText(text, "nothing")).toBeNull();
    expect(memberText("no JSON", "data")).toBeNull();
  });
});

/** How many characters are copied or searched from the start while the text is laid out, per character of it. */
function workPerCharacter(text: string): number {
  let characters = 0;
  const { slice } = String.prototype;
  const { test: search } = RegExp.prototype;
  String.prototype.slice = function (this: string, ...range) {
    const part = slice.apply(this, range);
    characters += part.length;
    return part;
  };
  RegExp.prototype.test = function (this: RegExp, subject: string) {
    characters += subject.length;
    return search.call(this, subject);
  };
  try {
    for (const token of layOutJson(text)?.tokens ?? []) characters += token.text.length;
  } finally {
    String.prototype.slice = slice;
    RegExp.prototype.test = search;
  }
  return characters / text.length;
}

test.each<[string, string]>([
  ["long", JSON.stringify({ text: "x".repeat(200_000) })],
  ["wide", JSON.stringify(Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`key${at}`, { list: [] }])))],
  ["deep", `${"[".repeat(5_000)}${"]".repeat(5_000)}`],
  ["of many small lists", JSON.stringify(Array.from({ length: 20_000 }, (_, at) => [at]))],
])("a text that is %s takes work in proportion to its length", (_what, text) => {
  expect(workPerCharacter(text)).toBeLessThan(100);
});

test("a megabyte of brackets is laid out in a few", () => {
  const text = `${"[".repeat(100_000)}`;
  const length = (layOutJson(text)?.tokens ?? []).reduce((sum, token) => sum + token.text.length, 0);
  expect(length).toBeLessThan(100 * text.length);
});
