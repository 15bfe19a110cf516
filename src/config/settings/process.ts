/** The process: workers, shutdown, logs, metrics. */
import { availableParallelism } from "node:os";
import { duration, integer, LONGEST_WAIT_MS, optional, setting } from "../setting.ts";
import { parseChoice, parseIntegerWithin } from "../values.ts";

const MOST_PROCESSES = 256;
const parseCount = parseIntegerWithin(1, MOST_PROCESSES, "auto, or ");
const parseProcesses = (text: string): number => (text === "auto" ? Math.min(MOST_PROCESSES, availableParallelism()) : parseCount(text));

const PROCESS = "Process";
const TESTS = "Tests";

export const PROCESS_SETTINGS = {
  PROCESSES: setting({
    parse: parseProcesses,
    default: "1",
    form: "whole number or `auto`",
    group: PROCESS,
    about:
      "Worker processes under one parent, which share the API's port; `auto` is one for each core, at most 256. Settings with “per process” are for each of them.",
  }),
  DRAIN_TIMEOUT: duration("25s", { group: PROCESS, about: "How long a shutdown waits for attempts in flight." }, 1, LONGEST_WAIT_MS),
  LOG_LEVEL: setting({
    parse: parseChoice(["trace", "debug", "info", "warn", "error", "fatal", "silent"]),
    default: "info",
    form: "level",
    group: PROCESS,
    about: "`debug` and below add detail; `info` has one line per attempt.",
  }),
  LOG_FORMAT: setting({
    parse: parseChoice(["auto", "json", "pretty"]),
    default: "auto",
    form: "`auto`, `json` or `pretty`",
    group: PROCESS,
    about:
      "`json`: one JSON object per line. `pretty`: lines for people. `auto`: pretty when standard output is a terminal, otherwise JSON.",
  }),
  LOG_DELIVERED_PERCENT: integer(
    "100",
    { group: PROCESS, about: "Percentage of delivered attempts that are logged; failed ones are always logged." },
    0,
    100,
  ),
  METRICS_APPS: integer(
    "100",
    { group: PROCESS, about: "Apps with their own attempt counters in the metrics; all others are counted as `_other`." },
    0,
    1_000,
  ),

  TEST_CLOCK: optional({
    parse: String,
    form: "path",
    group: TESTS,
    about: "A file with the offset of Posthorn's clock from the system's, such as `6d`. Refused with NODE_ENV=production.",
  }),
} as const;
