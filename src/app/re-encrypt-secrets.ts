/** What is done to a Posthorn's data by hand: each call connects, works, and ends. */
import type { Config } from "../config/settings.ts";
import { connectNats, createConnectionState } from "../jetstream/connection.ts";
import { systemClock } from "../model/clock.ts";
import { reEncrypt } from "../registry/re-encrypt.ts";
import { createSecretBox } from "../registry/secret-box.ts";
import { createRegistryStore } from "../registry/store.ts";
import { createLog, logOutput } from "../telemetry/logger.ts";
import { natsOptions } from "./connections.ts";

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
    if (invalid.length > 0) logger.warn({ keys: invalid.slice(0, 100) }, "records that can't be read were left as they are");
    logger.info({ records, changed, key: config.encryptionKey?.id ?? null }, "stored secrets are under the current key");
  } finally {
    await connection.close();
    flush();
  }
}
