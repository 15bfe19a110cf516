import { expect, test } from "vitest";
import { mergeMetrics } from "../../../src/telemetry/merge-metrics.ts";

const textOf = (attempts: number, inFlight: number, ready: number, pending: number, seconds: number): string =>
  [
    "# HELP posthorn_attempts_total Attempts by outcome.",
    "# TYPE posthorn_attempts_total counter",
    `posthorn_attempts_total{outcome="delivered"} ${attempts}`,
    "# TYPE posthorn_attempt_duration_seconds histogram",
    `posthorn_attempt_duration_seconds_bucket{le="+Inf"} ${attempts}`,
    `posthorn_attempt_duration_seconds_sum ${seconds}`,
    "# TYPE posthorn_in_flight gauge",
    `posthorn_in_flight ${inFlight}`,
    "# TYPE posthorn_ready gauge",
    `posthorn_ready ${ready}`,
    "# TYPE posthorn_events_pending gauge",
    `posthorn_events_pending ${pending}`,
    "",
  ].join("\n");

test("counters, histograms and what each process has are added up; what all see is shown once; ready are all or none", () => {
  expect(mergeMetrics([textOf(3, 1, 1, 7, 0.5), textOf(4, 2, 0, 6, 0.25)])).toBe(textOf(7, 3, 0, 7, 0.75));
});

test("one process's metrics stay as they are, and a series of one process only is kept", () => {
  const text = textOf(3, 1, 1, 7, 0.5);
  expect(mergeMetrics([text])).toBe(text);
  const more = `${text}# TYPE posthorn_destinations gauge\nposthorn_destinations 2\n`;
  expect(mergeMetrics([text, more])).toContain("\nposthorn_destinations 2\n");
});
