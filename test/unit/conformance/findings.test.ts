/** What the kit concludes from what it has seen, where a run would need a sender or a machine for each case. */
import { Socket } from "node:net";
import { expect, test } from "vitest";
import { judgeTargets, type TargetOutcome } from "../../../src/conformance/address-checks.ts";
import type { Attempt } from "../../../src/conformance/receiver.ts";
import { judgeBodies, judgeClock, judgeFreshness, judgeHeaders, judgeIds } from "../../../src/conformance/signature-checks.ts";

const refused: TargetOutcome = { kind: "refused", why: "not public" };

test.each<[string, ReadonlyArray<readonly [string, TargetOutcome]>, string, RegExp]>([
  [
    "refusals pass",
    [
      ["a", refused],
      ["b", refused],
    ],
    "pass",
    /^refused a, b \(not public\)$/,
  ],
  [
    "a URL that is accepted and never connected to passes",
    [
      ["a", refused],
      ["b", { kind: "not connected" }],
    ],
    "pass",
    /^refused a .*; never connected to b$/,
  ],
  [
    "one connection fails",
    [
      ["a", refused],
      ["b", { kind: "connected" }],
      ["c", { kind: "unseen" }],
    ],
    "fail",
    /^connected to b$/,
  ],
  [
    "a URL that is accepted, and can't be seen, is skipped",
    [
      ["a", refused],
      ["b", { kind: "unseen" }],
    ],
    "skipped",
    /^accepted b; /,
  ],
  [
    "the receiver's own address is skipped",
    [
      ["a", { kind: "own" }],
      ["b", refused],
    ],
    "skipped",
    /^the receiver is at the address of a: /,
  ],
])("private targets: %s", (_, outcomes, result, observed) => {
  expect(judgeTargets(outcomes)).toEqual({ result, observed: expect.stringMatching(observed) });
});

const AT = 1_614_265_330_000;

function attempt(at: number, headers: Readonly<Record<string, string | readonly string[]>> = {}, body = "{}"): Attempt {
  const all = {
    ...{
      "webhook-id": "msg_1",
      "webhook-timestamp": String(Math.floor(at / 1000)),
      "webhook-signature": `v1,${at}=`,
      "content-type": "application/json",
    },
    ...headers,
  };
  const values = (name: string): readonly string[] => [(all as Readonly<Record<string, string | readonly string[]>>)[name] ?? []].flat();
  return { at, method: "POST", from: "127.0.0.1", body: Buffer.from(body), values, connection: new Socket() };
}

test("headers that are as they should be pass, with signatures of several kinds", () => {
  const signatures = "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw==";
  expect(judgeHeaders([attempt(AT, { "webhook-signature": signatures })], "").result).toBe("pass");
});

test.each([
  ["webhook-id", []],
  ["webhook-id", ["msg_1", "msg_1"]],
  ["webhook-id", "msg.1"],
  ["webhook-id", ""],
  ["webhook-timestamp", "1614265330000"],
  ["webhook-timestamp", "1614265330.5"],
  ["webhook-timestamp", "2021-02-25T15:02:10Z"],
  ["webhook-signature", "sha256=abcdef"],
  ["webhook-signature", "v1,abcd,v1,efgh"],
  ["webhook-signature", "v1,abcd  v1,efgh"],
])("the header %s with %j fails", (name, value) => {
  const { result, observed } = judgeHeaders([attempt(AT), attempt(AT, { [name]: value })], "");
  expect([result, observed]).toEqual(["fail", expect.stringMatching(`^1 of 2 attempts wrong; attempt 2: ${name} is `)]);
});

test("attempts within two seconds say nothing about fresh timestamps", () => {
  expect(judgeFreshness([attempt(AT), attempt(AT + 1_900)], "").result).toBe("skipped");
  expect(judgeFreshness([attempt(AT), attempt(AT + 2_000)], "").result).toBe("pass");
  expect(judgeFreshness([attempt(AT), attempt(AT + 2_000, { "webhook-timestamp": "1614265330" })], "").result).toBe("fail");
  expect(judgeFreshness([attempt(AT), attempt(AT + 2_000, { "webhook-signature": `v1,${AT}=` })], "").result).toBe("fail");
});

test("a clock may be five minutes off, in either direction", () => {
  const off = (ms: number) => judgeClock([attempt(AT, { "webhook-timestamp": String((AT + ms) / 1000) })], "").result;
  expect([-301_000, -300_000, 300_000, 301_000].map(off)).toEqual(["fail", "pass", "pass", "fail"]);
});

test("ids, bodies and content types are compared exactly", () => {
  expect(judgeIds([attempt(AT), attempt(AT, { "webhook-id": "MSG_1" })], "").result).toBe("fail");
  expect(judgeBodies([attempt(AT), attempt(AT, {}, "{ }")], "").result).toBe("fail");
  expect(judgeBodies([attempt(AT), attempt(AT, { "content-type": "text/plain" })], "").result).toBe("fail");
  expect(judgeBodies([attempt(AT), attempt(AT + 1)], "").result).toBe("pass");
});
