/** The conformance kit against senders in miniature: one that is right, and two with every fault that the kit looks for. They wait together. */
import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { OK } from "../../src/conformance/answers.ts";
import { startReceiver } from "../../src/conformance/receiver.ts";
import { type CheckReport, runChecks } from "../../src/conformance/run-checks.ts";
import { createTestSender, type SenderOptions } from "../support/faulty-sender.ts";

/** The one private address that the right sender may connect to. */
const HOST = "127.0.0.8";

async function check(options: Partial<SenderOptions>, deadlineMs: number): Promise<ReadonlyMap<string, CheckReport>> {
  const sender = createTestSender({ host: HOST, ...options });
  const { signal } = new AbortController();
  const receiver = { host: HOST, port: 0 };
  const { reports, left } = await runChecks(sender, {
    ...receiver,
    signal,
    retryWithinMs: 6_000,
    deadlineMs,
    privateNames: [],
    onProgress: () => {},
  });
  sender.stop();
  expect(left).toEqual([]);
  return new Map(reports.map((report) => [report.check, report]));
}

const namesOf = (reports: ReadonlyMap<string, CheckReport>, ...results: ReadonlyArray<CheckReport["result"]>): string[] =>
  [...reports].flatMap(([name, { result }]) => (results.includes(result) ? [name] : []));

test.concurrent("a right sender passes: with asymmetric signatures, one of an older secret beside them, and a request at registration", async () => {
  const reports = await check({ asymmetric: true, triesUrls: true }, 30_000);
  expect([...reports.values()].filter(({ result }) => result !== "pass")).toEqual([]);
});

const NOT_SEEN_TO_RETRY = /^the sender was not seen to retry within 6 s$/;

/** What is said of a sender with every fault that leaves it sending and retrying. */
const FAILURES: Readonly<Record<string, RegExp>> = {
  headers: /^(\d+) of \1 attempts wrong; attempt 1: webhook-timestamp is "\d{13}"$/,
  signature: /^(\d+) of \1 attempts wrong; attempt 1: not right: "v1,/,
  timestamp: /; attempt 1: webhook-timestamp is .* off this machine's clock/,
  secret: /^the secret has 5 bytes, wanted 24 to 64$/,
  "secret-unique": /^two endpoints share a secret$/,
  "retry-id": /; attempt 2: .*-2, not .*-1$/,
  "retry-timestamp": /^the time or the signature of an earlier attempt: /,
  "retry-body": /; attempt 2: another body than on attempt 1$/,
  "success-200": /^\d+ attempts$/,
  "success-201": /^\d+ attempts$/,
  "success-204": /^\d+ attempts$/,
  "success-299": /^\d+ attempts$/,
  "retry-after-429-seconds": /^wanted after \S+ s, came after \S+ s$/,
  "retry-after-429-date": /^wanted after \S+ s, came after \S+ s$/,
  "retry-after-503-seconds": /^wanted after \S+ s, came after \S+ s$/,
  "retry-after-503-date": /^wanted after \S+ s, came after \S+ s$/,
  "retry-after-invalid": /^attempt 2 did not come within 7 s$/,
  gone: /^\d+ attempts$/,
  "gone-endpoint": /^the next event was sent$/,
  "redirect-301": /^followed$/,
  "redirect-302": /^followed$/,
  "redirect-303": /^followed$/,
  "redirect-307": /^followed$/,
  "redirect-308": /^followed$/,
  "deadline-answer": /^still open after /,
  "deadline-head": /^still open after /,
  "deadline-body": /^still open after /,
  "endless-head": /^still open after /,
  "endless-body": /^still open after .* MiB$/,
  "compressed-body": /^\d+ attempts$/,
  "compressed-invalid": /^\d+ attempts$/,
  "compressed-bomb": /^it did not come within 6 s$/,
  "fault-no-answer": /^attempt 2 did not come within 7 s$/,
  "fault-reset": /^attempt 2 did not come within 7 s$/,
  "fault-closed": /^attempt 2 did not come within 7 s$/,
  "fault-garbage": /^attempt 2 did not come within 7 s$/,
  "fault-truncated-head": /^attempt 2 did not come within 7 s$/,
  "fault-truncated-body": /^it did not come within 6 s$/,
  "address-loopback": /^connected to 127\.0\.0\.1, 0\.0\.0\.0/,
  "address-spelling": /^connected to 2130706433, 017700000001, 0177\.0\.0\.1, 0x7f000001, 0x7f\.1, 127\.1$/,
  "address-ipv6": /^connected to \[::ffff:127\.0\.0\.1\], \[::ffff:7f00:1\]/,
  "address-name": /^connected to localhost/,
  "address-redirect": /^connected to http:\/\/127\.0\.0\.1:\d+\/$/,
};

test.concurrent("a sender with every fault fails every check that it can be seen to fail", async () => {
  const reports = await check(
    {
      ...{ retriesByWrongRules: true, id: "of each attempt", wrongSignatures: true, wrongSecret: true, changesBody: true },
      ...{ followsRedirects: true, waitsForever: true, getsStuck: true, acceptsAnyUrl: true },
    },
    1_000,
  );
  const observed = Object.fromEntries(
    [...reports].flatMap(([name, report]) => (report.result === "fail" ? [[name, report.observed]] : [])),
  );
  expect(observed).toMatchObject(Object.fromEntries(Object.entries(FAILURES).map(([name, text]) => [name, expect.stringMatching(text)])));
  expect(namesOf(reports, "pass")).toEqual(["delivery", "id-unique", "retry"]);
  // A connection to these is seen only where the kit's machine has the address.
  expect(["address-metadata", "address-private"]).toEqual(expect.arrayContaining(namesOf(reports, "skipped")));
  expect(reports.get("address-metadata")?.observed).toMatch(
    /^accepted 169\.254\.169\.254, .*; this machine can't see whether the sender connects there$/,
  );
});

test.concurrent("a sender that never retries, has one id for all and another method fails that, and what needs retries is skipped", async ({
  expect,
}) => {
  const reports = await check({ neverRetries: true, id: "of the endpoint", method: "PUT" }, 30_000);
  // Without ids of their own, a second event looks like another attempt of the first.
  expect(namesOf(reports, "fail")).toEqual(["delivery", "id-unique", "retry", "compressed-bomb", "fault-truncated-body"]);
  const skipped = [...reports.values()].filter(({ result }) => result === "skipped");
  expect(skipped.map(({ check }) => check)).toEqual([
    ...["retry-id", "retry-timestamp", "retry-body", "retry-after-429-seconds", "retry-after-429-date", "retry-after-503-seconds"],
    ...["retry-after-503-date", "retry-after-invalid", "fault-no-answer", "fault-reset", "fault-closed", "fault-garbage"],
    "fault-truncated-head",
  ]);
  for (const { observed } of skipped) expect(observed).toMatch(NOT_SEEN_TO_RETRY);
});

test("a webhook that came while the machine was too busy to run the kit has come in time", async () => {
  const receiver = await startReceiver({ host: HOST, port: 0, signal: new AbortController().signal });
  const endpoint = receiver.open(OK);
  const { hostname, port, pathname } = new URL(endpoint.url);
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  const hasCome = endpoint.waitUntil(() => endpoint.attempts.length === 1, 500);
  socket.write(`POST ${pathname} HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 0\r\n\r\n`);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600);
  expect(await hasCome).toBe(true);
  socket.destroy();
  await receiver.stop();
});
