/** Limits on events, apps and installations. */
import { integer, size } from "../setting.ts";

const EVENTS = "Limits on events";
const RECORDS = "Limits on apps and installations";

export const LIMIT_SETTINGS = {
  MAX_EVENT_SIZE: size("1MiB", {
    group: EVENTS,
    about: "Size of an event's body. The NATS server's max_payload less 32 KiB is a further limit, as streams add headers.",
  }),
  MAX_EVENT_HEADERS: integer("64", { group: EVENTS, about: "Number of an event's NATS headers." }),
  MAX_EVENT_DEPTH: integer("64", { group: EVENTS, about: "Nesting depth of objects and arrays in an event." }, 2, 1000),
  MAX_EVENT_KEYS: integer("50000", { group: EVENTS, about: "Total number of object keys in an event." }, 2),

  MAX_ID_LENGTH: integer(
    "256",
    {
      group: EVENTS,
      about: "Length of an event's, an organization's or a project's id, in UTF-16 code units: most characters are one, emoji are two.",
    },
    1,
    4_096,
  ),

  MAX_NAME_LENGTH: integer("200", { group: RECORDS, about: "Length of an app's name, in characters." }),
  MAX_URL_LENGTH: integer("2048", { group: RECORDS, about: "Length of a webhook URL, in characters." }),
  MAX_APP_EVENTS: integer("100", { group: RECORDS, about: "Number of an app's event patterns." }),
  MAX_APP_HEADERS: integer("50", { group: RECORDS, about: "Number of an app's custom headers." }, 0, 1_000),
  MAX_APP_HEADER_LENGTH: integer("4096", { group: RECORDS, about: "Length of a custom header's value, in characters." }),
  MAX_APP_RETRIES: integer("50", { group: RECORDS, about: "Number of delays in an app's `retry_schedule_s`." }, 0, 1_000),
  MAX_PROJECTS: integer("10000", { group: RECORDS, about: "Number of an installation's projects." }),
} as const;
