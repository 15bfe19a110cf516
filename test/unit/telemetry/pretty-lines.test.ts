import { expect, test } from "vitest";
import { createLog } from "../../../src/telemetry/logger.ts";
import { prettyLines } from "../../../src/telemetry/pretty-lines.ts";

test("a line for people has time, level, message and the other members", () => {
  let written = "";
  const { logger, flush } = createLog("info", {
    write(lines) {
      written += prettyLines(lines, false);
    },
  });
  logger.info({ url: "http://127.0.0.1:8080", attempts: 2, gone: null }, "Posthorn is ready");
  logger.warn({ error: "timed out after 5 s", servers: ["a"] }, "waiting for NATS");
  flush();
  expect(written).toMatch(
    /^\d\d:\d\d:\d\d {2}info {2}Posthorn is ready {2}url=http:\/\/127\.0\.0\.1:8080 {2}attempts=2 {2}gone=null\n\d\d:\d\d:\d\d {2}warn {2}waiting for NATS {2}error="timed out after 5 s" {2}servers=\["a"\]\n$/,
  );
});

test("ids come after what happened", () => {
  const json = {
    level: "warn",
    time: "2026-01-05T10:11:12.345Z",
    message: "delivery.attempted",
    trace_id: "t",
    app: "acme",
    outcome: "failed",
  };
  expect(prettyLines(`${JSON.stringify(json)}\n`, false)).toBe(
    "10:11:12  warn  delivery.attempted  app=acme  outcome=failed  trace_id=t\n",
  );
});

test("text of others neither controls the terminal nor forges a line or a member", () => {
  const hostile = "\u001b[2J\n10:00:00  info  forged\u009b\u202e a=b";
  const line = prettyLines(
    `${JSON.stringify({ level: "info", time: "2026-01-05T10:11:12.345Z", message: hostile, [hostile]: hostile })}\n`,
    false,
  );
  expect(line.split("\n")).toHaveLength(2);
  for (const control of ["\u001b", "\u009b", "\u202e"]) expect(line).not.toContain(control);
  expect(line).toContain(String.raw`="\u001b[2J\n10:00:00  info  forged\u009b\u202e a=b"`);
});

test("a level has its colour", () => {
  const line = JSON.stringify({ level: "error", time: "2026-01-05T10:11:12.345Z", message: "start failed" });
  expect(prettyLines(line, true)).toContain("\u001b[31merror\u001b[39m start failed");
});
