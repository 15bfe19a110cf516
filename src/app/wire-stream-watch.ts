/** Watches the streams and the registry bucket, and measures how far this machine's clock is off. */
import { createClockSkew } from "../jetstream/clock-skew.ts";
import { isServerSince } from "../jetstream/connection.ts";
import { createStreamWatch } from "../jetstream/stream-watch.ts";
import type { Foundation } from "./foundation.ts";
import type { RegistryParts } from "./wire-registry.ts";
import type { StreamParts } from "./wire-streams.ts";

/** A stream that does not answer within this time counts as one without a leader. */
const CHECK_TIMEOUT_MS = 2_000;

export type StreamWatchParts = Awaited<ReturnType<typeof wireStreamWatch>>;

export async function wireStreamWatch(given: Foundation & StreamParts & RegistryParts) {
  const { config, nats, names, connectionState, registryStore, wallClock, clock, logger } = given;
  const clockSkew = createClockSkew(registryStore, wallClock, logger);
  const streamWatch = createStreamWatch(
    {
      manager: await nats.jetstreamManager({ checkAPI: false, timeout: CHECK_TIMEOUT_MS }),
      canContinueSequences: () => isServerSince(nats, 2, 10),
      ...{ connectionState, names, bucket: registryStore, clockSkew, clock, logger },
    },
    { replicas: config.streamReplicas },
  );
  return { clockSkew, streamWatch };
}
