/** Connections to NATS and Redis, and the names of streams. */
import { DEFAULT_REDIS_KEY_PREFIX, REDIS_KEY_PREFIX, REDIS_KEY_PREFIX_FORM } from "../../model/redis-key-prefix.ts";
import { SUBJECT_PREFIX, SUBJECT_PREFIX_FORM } from "../../model/subject-prefix.ts";
import { certificateFile, duration, integer, keyFile, LONGEST_WAIT_MS, optional, setting } from "../setting.ts";
import { parseMatching, parseNatsUrls, parseReadablePath, parseRedisUrls } from "../values.ts";

const CONNECTIONS = "Connections";

export const CONNECTION_SETTINGS = {
  NATS_URL: setting({
    parse: parseNatsUrls,
    default: "nats://127.0.0.1:4222",
    form: "URLs, separated by commas",
    group: CONNECTIONS,
    about: "The NATS servers, without a path or query. Their max_payload has to be 64 KiB or more.",
    secret: true,
  }),
  NATS_CREDS_FILE: optional({
    parse: parseReadablePath,
    form: "path",
    group: CONNECTIONS,
    about: "A NATS credentials file (JWT and seed).",
  }),
  NATS_CA_FILE: certificateFile({
    group: CONNECTIONS,
    about: "CA certificates that verify the NATS servers, instead of the system's; requires TLS.",
  }),
  NATS_CERT_FILE: certificateFile({ group: CONNECTIONS, about: "The client certificate presented to NATS; requires TLS." }),
  NATS_KEY_FILE: keyFile({ group: CONNECTIONS, about: "The key of NATS_CERT_FILE." }),
  REDIS_URL: setting({
    parse: parseRedisUrls,
    default: "redis://127.0.0.1:6379",
    form: "URLs, separated by commas",
    group: CONNECTIONS,
    about:
      "The Redis server, with an ACL user as `redis://<user>:<password>@<host>`; `rediss:` is TLS. Several URLs, or the URL of a cluster node, select Redis Cluster.",
    secret: true,
  }),
  REDIS_CA_FILE: certificateFile({
    group: CONNECTIONS,
    about: "CA certificates that verify the Redis server, instead of the system's.",
  }),
  REDIS_CERT_FILE: certificateFile({ group: CONNECTIONS, about: "The client certificate presented to Redis." }),
  REDIS_KEY_FILE: keyFile({ group: CONNECTIONS, about: "The key of REDIS_CERT_FILE." }),
  REDIS_KEY_PREFIX: setting({
    parse: parseMatching(REDIS_KEY_PREFIX, REDIS_KEY_PREFIX_FORM),
    default: DEFAULT_REDIS_KEY_PREFIX,
    form: REDIS_KEY_PREFIX_FORM,
    group: CONNECTIONS,
    about: "Beginning of every Redis key, before a colon. Each Posthorn (each SUBJECT_PREFIX) that shares a Redis needs its own.",
  }),
  STARTUP_TIMEOUT: duration(
    "60s",
    {
      group: CONNECTIONS,
      about: "How long a start waits for NATS and Redis before it fails.",
    },
    1,
    LONGEST_WAIT_MS,
  ),
  SUBJECT_PREFIX: setting({
    parse: parseMatching(SUBJECT_PREFIX, SUBJECT_PREFIX_FORM),
    default: "app-platform",
    form: "subject token",
    group: CONNECTIONS,
    about: "First token of every subject; stream names and the registry bucket are derived from it.",
  }),
  STREAM_REPLICAS: integer(
    "1",
    { group: CONNECTIONS, about: "Replicas of the streams and the bucket that Posthorn creates (3 in a NATS cluster)." },
    1,
    5,
  ),
} as const;
