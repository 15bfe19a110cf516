/** Receivers that are slow, endless or broken: none may hold or exhaust the sender, and what fails is retried. */
import { gzipSync } from "node:zlib";
import { bytes, drip, ENDLESS_BYTES, firstly, flood, GZIP, gzipBomb, nothing, reset, status } from "./answers.ts";
import { attemptedAgain, type Check, fail, nextEventComes, pass, SUCCESS, sentOnce, standardWebhooks } from "./check.ts";
import { inSeconds } from "./in-seconds.ts";
import type { Answer } from "./receiver.ts";

/** Share of the deadline, with room for the connection and for a busy machine. */
const MARGIN = 1.25;
const TIMEOUTS = standardWebhooks("Request timeouts");
const RESOURCES = "OWASP API4:2023 Unrestricted Resource Consumption";

function closes(name: string, [what, answer]: readonly [what: string, answer: Answer], source: string): Check {
  return {
    ...{ name, source },
    expected: `${what}: the sender closes the connection within --deadline and before it has taken ${inMebibytes(ENDLESS_BYTES)}.`,
    async run({ deliver, deadlineMs }) {
      const endpoint = await deliver(firstly(answer));
      const { at, connection } = await endpoint.attempt(1);
      const isFull = (): boolean => connection.bytesWritten >= ENDLESS_BYTES;
      const isOver = await endpoint.waitUntil(() => connection.destroyed || isFull(), deadlineMs * MARGIN);
      const seen = `after ${inSeconds(Date.now() - at)} and ${inMebibytes(connection.bytesWritten)}`;
      return isOver && !isFull() ? pass(`closed ${seen}`) : fail(`still open ${seen}`);
    },
  };
}

function inMebibytes(count: number): string {
  return `${Math.round(count / 1024 / 102.4) / 10} MiB`;
}

const fault = (name: string, after: string, answer: Answer): Check => attemptedAgain(`fault-${name}`, [after, answer], SUCCESS);

const harsh = (check: Check): Check => ({ ...check, isHarsh: true });

export const HOSTILE_CHECKS: readonly Check[] = [
  closes("deadline-answer", ["No answer", nothing], TIMEOUTS),
  closes("deadline-head", ["Headers that come byte by byte", drip("HTTP/1.1 200 OK\r\nX-Slow: ", "x")], TIMEOUTS),
  closes("deadline-body", ["A body that comes byte by byte", drip("HTTP/1.1 200 OK\r\n\r\n", "x")], TIMEOUTS),
  harsh(closes("endless-head", ["Headers without end", flood("HTTP/1.1 200 OK\r\n", `X-Header: ${"x".repeat(1_000)}\r\n`)], RESOURCES)),
  harsh(closes("endless-body", ["A body without end", flood("HTTP/1.1 200 OK\r\n\r\n", "x")], RESOURCES)),
  sentOnce("compressed-body", ["200 with a gzip body", status(200, GZIP, gzipSync("{}"))], SUCCESS),
  sentOnce("compressed-invalid", ["200 with a body that isn't the gzip that Content-Encoding says", status(200, GZIP, "{}")], SUCCESS),
  harsh(nextEventComes("compressed-bomb", ["a megabyte of gzip that expands to a gigabyte", gzipBomb], RESOURCES)),
  fault("no-answer", "no answer", nothing),
  fault("reset", "a connection reset", reset),
  fault("closed", "a connection that is closed without an answer", bytes("")),
  fault("garbage", "bytes that are not HTTP", bytes("\0\x01garbage\xff\r\n\r\n")),
  fault("truncated-head", "an answer that ends within its status line", bytes("HTTP/1.1 20")),
  nextEventComes(
    "fault-truncated-body",
    ["a body that is shorter than its Content-Length", bytes("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")],
    "RFC 9112 8",
  ),
];
