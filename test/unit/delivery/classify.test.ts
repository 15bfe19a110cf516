import { describe, expect, test } from "vitest";
import { classify } from "../../../src/delivery/classify.ts";

const answered = (status: number, headers: Record<string, string> = {}) =>
  classify({ kind: "answered", status, headers, body: null, bodySize: 0 }, 0);

test.each([600, 700, 999])("status %i, which HTTP doesn't have, is failed", (status) => {
  expect(answered(status)).toEqual({
    outcome: "failed",
    responseCode: status,
    error: `answered with status ${status}`,
    retryAfterMs: null,
  });
});

describe("a redirect's error", () => {
  test.each([
    ["https://hooks.example/new", "https://hooks.example/new"],
    ["/login", "/login"],
    ["//other.example/", "//other.example/"],
    ["https://user:secret@hooks.example/in?token=secret#secret", "https://[redacted]@hooks.example/in?[redacted]"],
    ["https://hooks.example/#secret", "https://hooks.example/#[redacted]"],
    ["https://hooks.example/\x1b[31m\x9b\u202e\r\nred", "https://hooks.example/[31mred"],
    [`https://hooks.example/${"x".repeat(5_000)}`, `https://hooks.example/${"x".repeat(178)}…`],
  ])("names %j", (location, shown) => {
    expect(answered(302, { location }).error).toBe(`answered with status 302, a redirect to ${shown}, which is not followed`);
  });

  test("names nothing where there is nothing, and of no other answer", () => {
    expect(answered(304).error).toBe("answered with status 304");
    expect(answered(500, { location: "/x" }).error).toBe("answered with status 500");
    expect(answered(201, { location: "/x" }).error).toBeNull();
  });
});
