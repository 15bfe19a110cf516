/** JetStream: the streams, what watches them, and what pull consumers share. */
import { createAckBatcher } from "../jetstream/ack-batcher.ts";
import { createClockSkew } from "../jetstream/clock-skew.ts";
import { type ConnectionState, createConnectionState, isServerSince, openJetStream } from "../jetstream/connection.ts";
import { createConsumerDeletions } from "../jetstream/consumer-deletions.ts";
import { createStartupWait } from "../jetstream/startup-wait.ts";
import { createStreamMetrics } from "../jetstream/stream-metrics.ts";
import { createStreamWatch } from "../jetstream/stream-watch.ts";
import { ensureTopology } from "../jetstream/streams.ts";
import { createSubjects } from "../jetstream/subjects.ts";
import type { Foundation } from "./foundation.ts";
import type { RegistryParts } from "./wire-registry.ts";

export type StreamParts = Awaited<ReturnType<typeof wireStreams>>;

/** The server's own default, until it has announced its limit. */
const DEFAULT_MAX_PAYLOAD_BYTES = 1024 * 1024;

export async function wireStreams({ config, nats, clock, logger, signal }: Foundation) {
  const names = createSubjects(config.subjectPrefix);
  const untilAvailable = createStartupWait({ startupTimeoutMs: config.startupTimeout, signal }, clock, logger);
  const manager = await untilAvailable("JetStream", () => openJetStream(nats));
  await untilAvailable("the streams", () => ensureTopology(manager, names, config.streamReplicas));
  const connectionState: ConnectionState = createConnectionState(nats);
  return {
    names,
    untilAvailable,
    manager,
    jetStream: nats.jetstream(),
    connectionState,
    acks: createAckBatcher(nats, connectionState, clock),
    consumerDeletions: createConsumerDeletions(nats, logger),
    streamMetrics: createStreamMetrics(manager, names, clock, logger),
    maxPayloadBytes: (): number => nats.info?.max_payload ?? DEFAULT_MAX_PAYLOAD_BYTES,
  };
}

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
