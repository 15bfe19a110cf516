/** JetStream: the streams, and what pull consumers share. */
import { createAuditLog } from "../audit/audit-log.ts";
import { createAckBatcher } from "../jetstream/ack-batcher.ts";
import { createAuditStream } from "../jetstream/audit-stream.ts";
import { createConnectionState, openJetStream } from "../jetstream/connection.ts";
import { createConsumerDeletions } from "../jetstream/consumer-deletions.ts";
import { createPipelinedPublish } from "../jetstream/pipelined-publish.ts";
import { createStartupWait } from "../jetstream/startup-wait.ts";
import { createStreamMetrics } from "../jetstream/stream-metrics.ts";
import { ensureTopology } from "../jetstream/streams.ts";
import { createSubjects } from "../jetstream/subjects.ts";
import type { Foundation } from "./foundation.ts";

export type StreamParts = Awaited<ReturnType<typeof wireStreams>>;

export async function wireStreams({ config, nats, clock, logger, signal }: Foundation) {
  const names = createSubjects(config.subjectPrefix);
  const connectionState = createConnectionState(nats);
  const untilAvailable = createStartupWait(
    { startupTimeoutMs: config.startupTimeout, signal, permissions: connectionState },
    clock,
    logger,
  );
  const manager = await untilAvailable("JetStream", () => openJetStream(nats));
  await untilAvailable("the streams", () => ensureTopology(manager, names, config.streamReplicas));
  const jetStream = nats.jetstream();
  const pipelinedPublish = createPipelinedPublish(nats, clock);
  const auditStream = createAuditStream({ nats, manager, publish: pipelinedPublish, names }, config.streamReplicas);
  return {
    pipelinedPublish,
    auditStream,
    auditLog: createAuditLog(auditStream, clock, logger),
    names,
    untilAvailable,
    manager,
    jetStream,
    connectionState,
    acks: createAckBatcher(nats, connectionState, clock),
    consumerDeletions: createConsumerDeletions(nats, logger),
    streamMetrics: createStreamMetrics(nats, manager, names, clock, logger),
  };
}
