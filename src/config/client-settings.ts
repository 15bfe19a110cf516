/** Settings of the commands that talk to a running Posthorn. `serve` knows them too, and does not report them as misspelled. */
import type { Setting } from "./setting.ts";
import { SETTINGS } from "./settings.ts";
import { parseMatching, parseUrl } from "./values.ts";

const GROUP = "Command line";

export const CLIENT_SETTINGS = {
  URL: {
    parse: parseUrl(["http", "https"]),
    default: "http://127.0.0.1:8080",
    form: "URL",
    group: GROUP,
    about: "The Posthorn that commands talk to; `--url` replaces it.",
  },
  TOKEN: {
    parse: parseMatching(/^\S+$/, "a token without spaces"),
    form: "token",
    group: GROUP,
    about: "The bearer token that commands send; `--token` replaces it.",
    secret: true,
  },
  CLIENT_SECRET: {
    parse: parseMatching(/^\S+$/, "a secret without spaces"),
    form: "64 hex digits or `whsec_…`",
    group: GROUP,
    about: "The secret that `posthorn listen` verifies signatures with; `--secret` replaces it.",
    secret: true,
  },
} as const satisfies Record<string, Setting<string>>;

/** Settings that commands read: their own, and those of the service for the connection to NATS. */
export const COMMAND_SETTINGS = {
  ...CLIENT_SETTINGS,
  NATS_URL: SETTINGS.NATS_URL,
  NATS_CREDS_FILE: SETTINGS.NATS_CREDS_FILE,
  NATS_CA_FILE: SETTINGS.NATS_CA_FILE,
  NATS_CERT_FILE: SETTINGS.NATS_CERT_FILE,
  NATS_KEY_FILE: SETTINGS.NATS_KEY_FILE,
  SUBJECT_PREFIX: SETTINGS.SUBJECT_PREFIX,
};

export interface ClientConfig {
  readonly url: string;
  readonly token: string | null;
  readonly clientSecret: string | null;
  readonly natsUrl: string;
  readonly natsCredsFile: string | null;
  readonly natsCaFile: string | null;
  readonly natsCertFile: string | null;
  readonly natsKeyFile: string | null;
  readonly subjectPrefix: string;
}
