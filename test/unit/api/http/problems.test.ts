import { expect, test } from "vitest";
import { problemOf } from "../../../../src/api/http/problems.ts";
import { AppError, type ErrorCode } from "../../../../src/model/app-error.ts";

const detailOf = (code: ErrorCode, message: string, retryable = true): string =>
  problemOf(new AppError(code, message, { retryable })).detail;

test.each<[ErrorCode, string, string]>([
  [
    "STORE_FULL",
    "JetStream has no room left (insufficient resources)",
    "raise nats-server's max_file_store or the limits of the stream or account, or delete dead letters, and repeat the call",
  ],
  ["STREAM_REFUSED", "the events stream has not stored it in time", "repeat the call"],
  [
    "REDIS_UNREACHABLE",
    "the request log can't be read: Redis is not connected",
    "/readyz says what is wrong; repeat the call when it is over",
  ],
  ["NATS_UNREACHABLE", "NATS is unreachable", "/readyz says what is wrong; repeat the call when it is over"],
  ["CONFLICT", "record app.acme was changed by others 20 times in a row", "repeat the call"],
])("the detail of %s says what to do", (code, message, remedy) => {
  expect(detailOf(code, message)).toBe(`${message}; ${remedy}`);
});

test("the detail of a conflict that stays has no more", () => {
  expect(detailOf("CONFLICT", "there is a replay r1", false)).toBe("there is a replay r1");
});
