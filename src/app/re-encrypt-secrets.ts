/** `posthorn re-encrypt`: connects, re-encrypts all records, and ends. */
import type { NatsConnection } from "nats";
import { createAuditLog } from "../audit/audit-log.ts";
import type { Config } from "../config/settings.ts";
import { createAuditStream } from "../jetstream/audit-stream.ts";
import { connectNats, createConnectionState, openJetStream } from "../jetstream/connection.ts";
import { createPipelinedPublish } from "../jetstream/pipelined-publish.ts";
import { createSubjects } from "../jetstream/subjects.ts";
import { systemClock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { reEncrypt } from "../registry/re-encrypt.ts";
import { createSecretBox } from "../registry/secret-box.ts";
import { createRegistryStore } from "../registry/store.ts";
import { createLog, logOutput } from "../telemetry/logger.ts";
import { natsOptions } from "./connections.ts";

async function record(config: Config, nats: NatsConnection, changed: number, logger: Logger): Promise<void> {
  const names = createSubjects(config.subjectPrefix);
  const manager = await openJetStream(nats);
  const publish = createPipelinedPublish(nats, systemClock);
  const stream = createAuditStream({ nats, manager, publish, names }, config.streamReplicas);
  await createAuditLog(stream, systemClock, logger).record({
    ...{ who: "posthorn re-encrypt", action: "reEncryptSecrets", app: null, installation_uuid: null, target: "registry" },
    ...{ before: null, after: { records: changed, key: config.encryptionKey?.id ?? null } },
  });
}

/** `posthorn re-encrypt`. @throws AppError */
export async function reEncryptSecrets(config: Config): Promise<void> {
  const { logger, flush } = createLog(config.logLevel, logOutput(config.logFormat));
  const connection = await connectNats(natsOptions(config), systemClock, logger);
  try {
    const store = createRegistryStore(
      { connection, onReconnect: createConnectionState(connection).onReconnect, clock: systemClock, logger },
      { prefix: config.subjectPrefix, replicas: config.streamReplicas },
    );
    const { records, changed, invalid } = await reEncrypt(store, createSecretBox(config.encryptionKey, config.encryptionKeyPrevious));
    await store.stop();
    if (changed > 0) await record(config, connection, changed, logger);
    if (invalid.length > 0) logger.warn({ keys: invalid.slice(0, 100) }, "records that can't be read were left as they are");
    logger.info({ records, changed, key: config.encryptionKey?.id ?? null }, "stored secrets are under the current key");
  } finally {
    await connection.close();
    flush();
  }
}
