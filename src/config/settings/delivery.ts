/** The webhook request, retries and concurrency. */
import { duration, integer, LONGEST_WAIT_MS, setting, size } from "../setting.ts";
import { parseDurations, parseJsonObject, parseMatching } from "../values.ts";

const DELIVERY = "Delivery";

export const DELIVERY_SETTINGS = {
  HEADER_PREFIX: setting({
    // webhook-timestamp and webhook-signature are the Standard Webhooks': a receiver would get each of them twice.
    parse: parseMatching(/^(?!webhook$)[a-z][a-z0-9-]{0,63}$/i, "a header name's beginning such as Sentry-Hook, and not webhook"),
    default: "Sentry-Hook",
    form: "header name",
    group: DELIVERY,
    about: "Beginning of the vendor headers `<prefix>-Resource`, `-Timestamp`, `-Signature`; not `webhook`.",
  }),
  DEFAULT_ACTOR: setting({
    parse: parseJsonObject,
    default: '{"type":"application","id":"sentry","name":"Sentry"}',
    form: "JSON object",
    group: DELIVERY,
    about: "The actor of events without one.",
  }),
  REQUEST_TIMEOUT: duration(
    "10s",
    {
      group: DELIVERY,
      about: "Deadline of an attempt: connect, headers and body; an app's `timeout_ms` replaces it.",
    },
    1,
    LONGEST_WAIT_MS,
  ),
  CONNECT_TIMEOUT: duration("3s", { group: DELIVERY, about: "Deadline of name lookup, connect and TLS." }, 1, LONGEST_WAIT_MS),
  RETRY_SCHEDULE: setting<readonly number[]>({
    parse: parseDurations,
    default: "5s,30s,5m,30m,2h,5h,10h,10h",
    form: "durations, separated by commas",
    group: DELIVERY,
    about: "Delays before the 2nd, 3rd, … attempt, each with ±20 % jitter; an app's `retry_schedule_s` replaces it.",
    check: (schedule) => (schedule.length <= 50 ? null : "wanted at most 50 delays"),
  }),
  REJECTED_RETRY_SCHEDULE: setting<readonly number[]>({
    parse: parseDurations,
    default: "30s,5m",
    form: "durations, separated by commas",
    group: DELIVERY,
    about:
      "Delays before another attempt after an answer that refuses the endpoint, such as 404, each with ±20 % jitter. An app's `retry_on` replaces it.",
    check: (schedule) => (schedule.length <= 50 ? null : "wanted at most 50 delays"),
  }),
  MAX_IN_FLIGHT: integer("256", { group: DELIVERY, about: "Concurrent attempts per process." }, 1, 100_000),
  APP_MAX_IN_FLIGHT: integer(
    "32",
    { group: DELIVERY, about: "Concurrent attempts per app; an app's `max_in_flight` replaces it." },
    1,
    100_000,
  ),
  READ_AHEAD: size("64MiB", {
    group: DELIVERY,
    about:
      "Memory for each kind of message that a process holds (events, retries, parked deliveries, deliveries of ordered apps): in flight, waiting to be stored, not yet due, or waiting for a receiver.",
  }),
  MAX_THROTTLE: duration(
    "1h",
    {
      group: DELIVERY,
      about: "Longest time for which a receiver's `Retry-After` (with 429 or 503) keeps its app from being attempted.",
    },
    1_000,
    24 * LONGEST_WAIT_MS,
  ),
  MAX_PARKED_AGE: duration("7d", {
    group: DELIVERY,
    about: "Deliveries first parked longer ago than this become dead letters.",
  }),
  PARKED_APP_SHARE: integer(
    "50",
    {
      group: DELIVERY,
      about:
        "Largest share of the parked stream's `max_bytes` or `max_msgs`, in percent, that one app may use. Beyond it the app's deliveries become dead letters (`overflow`). Without a limit on the stream there is no share.",
    },
    1,
    100,
  ),
} as const;
