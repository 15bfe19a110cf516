/** The registry of one replica on a real nats-server. */
import { connect, type NatsConnection } from "nats";
import { createConnectionState } from "../../src/jetstream/connection.ts";
import type { Clock } from "../../src/model/clock.ts";
import { systemClock } from "../../src/model/clock.ts";
import { feedIndex, type IndexFeed } from "../../src/registry/index-feed.ts";
import { createRegistryKinds } from "../../src/registry/record-kinds.ts";
import { createRegistry, type Registry } from "../../src/registry/registry.ts";
import { createRegistryIndex, type RegistryIndex } from "../../src/registry/registry-index.ts";
import { createSecretBox, type EncryptionKey } from "../../src/registry/secret-box.ts";
import { createSigningKey, type SigningKey } from "../../src/registry/signing-key.ts";
import { createRegistryStore, type RegistryStore } from "../../src/registry/store.ts";
import { RECORD_LIMITS } from "./builders.ts";
import { silentLogger } from "./silent-logger.ts";

export interface Replica {
  readonly feed: IndexFeed;
  readonly signingKey: SigningKey;
  readonly registry: Registry;
  /** The registry of the apps file. */
  readonly bulkRegistry: Registry;
  readonly index: RegistryIndex;
  readonly store: RegistryStore;
  readonly connection: NatsConnection;
}

export function storeOf(prefix: string, connection: NatsConnection): RegistryStore {
  return createRegistryStore(
    { connection, onReconnect: createConnectionState(connection).onReconnect, clock: systemClock, logger: silentLogger },
    { prefix, replicas: 1 },
  );
}

export interface ReplicaOptions {
  readonly encryptionKey?: EncryptionKey | null;
  readonly previous?: readonly EncryptionKey[];
  readonly clock?: Clock;
}

/** Its connection is the caller's to close. */
export async function startReplica(url: string, prefix: string, options: ReplicaOptions = {}): Promise<Replica> {
  const { encryptionKey = null, previous = [], clock = systemClock } = options;
  const connection = await connect({ servers: url, reconnectTimeWait: 100, maxReconnectAttempts: -1 });
  const index = createRegistryIndex();
  const store = storeOf(prefix, connection);
  const secretBox = createSecretBox(encryptionKey, previous);
  const kinds = createRegistryKinds(secretBox);
  const feed = feedIndex({ store, kinds, index, secretBox, logger: silentLogger });
  const signingKey = createSigningKey(store, secretBox);
  await store.start();
  const refusesUrl = async (target: string) => (target.startsWith("https:") ? null : "not https");
  const registryOf = (ofStore: RegistryStore, checksKnownUrls: boolean): Registry =>
    createRegistry(
      { store: ofStore, kinds, index, secretBox, refusesUrl, clock },
      { secretOverlapMs: 24 * 3_600_000, limits: RECORD_LIMITS, checksKnownUrls },
    );
  const [registry, bulkRegistry] = [registryOf(store, true), registryOf(store.memoryFirst(), false)];
  return { feed, signingKey, registry, bulkRegistry, index, store, connection };
}
