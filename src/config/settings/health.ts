/** The request log, the health rule and the circuit. */
import { duration, integer, setting, yesNo } from "../setting.ts";
import { parseChoice, parseList } from "../values.ts";

const LOG = "Request log";
const HEALTH = "Integration health";
const CIRCUIT = "Circuit";

export const HEALTH_SETTINGS = {
  REQUEST_LOG_SIZE: integer("100", { group: LOG, about: "Rows of each request and error list." }, 1, 100_000),
  REQUEST_LOG_TTL: duration("30d", { group: LOG, about: "Time to live of a list after its last row." }, 1000),
  DEDUP_TTL: duration(
    "8d",
    {
      group: LOG,
      about:
        "How long Posthorn knows what was delivered. A message that is handled again later is delivered again, so keep this longer than messages wait; replays of `missed` reach as far back.",
    },
    60_000,
  ),
  DELIVERY_NOTES_TTL: duration(
    "8d",
    {
      group: LOG,
      about: "How long the deliveries of an event, and the stream position of a waiting delivery, can be found by id.",
    },
    60_000,
  ),
  LOG_BUFFER_ROWS: integer(
    "10000",
    { group: LOG, about: "Rows kept in memory while Redis is unreachable; the oldest beyond that are dropped and counted." },
    1,
    10_000_000,
  ),
  LOG_DELIVERED_BODIES: yesNo("false", {
    group: LOG,
    about: "Keeps request headers and the first 1024 bytes of both bodies of delivered attempts, too; Redis needs room for them.",
  }),

  BROKEN_WINDOW: integer(
    "7",
    { group: HEALTH, about: "Days that the health rule looks at, and consecutive failing days that break an integration." },
    1,
    30,
  ),
  BROKEN_TIMEOUTS: integer("1000", {
    group: HEALTH,
    about: "Timeouts in one day that break an integration unless successes outnumber them.",
  }),
  BROKEN_RULES: setting<ReadonlyArray<"fatal" | "failing_days" | "timeouts" | "none">>({
    parse: parseList(parseChoice(["fatal", "failing_days", "timeouts", "none"])),
    default: "fatal,failing_days,timeouts",
    form: "rules, separated by commas",
    group: HEALTH,
    about: "Enabled parts of the health rule: `fatal`, `failing_days`, `timeouts`, or `none`.",
    check: (rules) => (rules.length > 0 && (rules.length === 1 || !rules.includes("none")) ? null : "wanted at least one, or none alone"),
  }),
  BROKEN_ACTION: setting({
    parse: parseChoice(["park", "deliver"]),
    default: "park",
    form: "`park` or `deliver`",
    group: HEALTH,
    about:
      "Whether the deliveries of a broken integration are parked or still attempted. With `deliver` the first success recovers it; one that breaks again within POSTHORN_BROKEN_PROBE_INTERVAL of a recovery stays broken for at least that long.",
  }),
  BROKEN_PROBE_INTERVAL: duration("1h", { group: HEALTH, about: "Time between two recovery probes of a broken integration." }),

  CIRCUIT_WINDOW: duration("60s", { group: CIRCUIT, about: "The circuit counts attempts younger than this." }, 1000),
  CIRCUIT_MIN_ATTEMPTS: integer("20", { group: CIRCUIT, about: "Minimum number of attempts in the window that can open the circuit." }),
  CIRCUIT_FAILURE_PERCENT: integer("50", { group: CIRCUIT, about: "Percentage of failed attempts that opens the circuit." }, 1, 100),
  CIRCUIT_OPEN_TIME: duration("30s", {
    group: CIRCUIT,
    about: "How long the circuit stays open at first; doubles with every failed probe.",
  }),
  CIRCUIT_MAX_OPEN_TIME: duration("10m", { group: CIRCUIT, about: "Longest time that the circuit stays open before the next probe." }),
} as const;
