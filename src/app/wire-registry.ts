/** The registry: apps and installations in the KV bucket, the index of what is known of them, and which targets they may name. */

import { createAudited } from "../api/http/audited.ts";
import type { Config } from "../config/settings.ts";
import { wideNetworks } from "../config/values.ts";
import { VERSION } from "../config/version.ts";
import { createAddressGuard } from "../delivery/http/address-guard.ts";
import { createNameResolver } from "../delivery/http/name-resolver.ts";
import { createOwnAddress } from "../delivery/http/own-address.ts";
import { createTargetCheck } from "../delivery/http/target-check.ts";
import { createConfirmations } from "../jetstream/confirmations.ts";
import { createReplicas } from "../jetstream/replicas.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { awaitRestore } from "../registry/await-restore.ts";
import { createDebugLog } from "../registry/debug-log.ts";
import { feedIndex } from "../registry/index-feed.ts";
import { createRegistryKinds } from "../registry/record-kinds.ts";
import type { RecordLimits } from "../registry/record-limits.ts";
import { refuseWrongKey } from "../registry/refuse-wrong-key.ts";
import { createRegistry, type Registry } from "../registry/registry.ts";
import { createRegistryIndex } from "../registry/registry-index.ts";
import { createSecretBox } from "../registry/secret-box.ts";
import { createSigningKey } from "../registry/signing-key.ts";
import { createRegistryStore, type RegistryStore } from "../registry/store.ts";
import type { Foundation } from "./foundation.ts";
import type { StreamParts } from "./wire-streams.ts";

export type RegistryParts = ReturnType<typeof wireRegistry>;

export function wireRegistry({ config, nats, connectionState, names, replica, clock, logger }: Foundation & StreamParts) {
  const index = createRegistryIndex();
  const registryStore = createRegistryStore(
    {
      ...{ connection: nats, onReconnect: connectionState.onReconnect, clock, logger },
      seenByOthers: (revision) => confirmations.haveSeen(revision),
    },
    { prefix: config.subjectPrefix, replicas: config.streamReplicas },
  );
  const { seen, seenHere } = registryStore;
  const replicas = createReplicas({ connection: nats, connectionState, names, seen, clock, logger }, { id: replica, version: VERSION });
  const confirmations = createConfirmations({ replicas, reached: seenHere, clock, logger });
  const ownAddress = createOwnAddress();
  const addressGuard = createAddressGuard(config.targetAllow, {
    schemes: config.targetSchemes,
    ports: config.targetPorts,
    deny: config.targetDeny,
    isOwn: ownAddress.is,
  });
  const nameResolver = createNameResolver({ timeoutMs: config.connectTimeout, servers: config.targetDnsServers });
  const secretBox = createSecretBox(config.encryptionKey, config.encryptionKeyPrevious);
  const kinds = createRegistryKinds(secretBox);
  const refusesUrl = createTargetCheck(addressGuard, nameResolver, { hasProxy: config.targetProxy !== null });
  const registryOf = (store: RegistryStore, options: { readonly checksKnownUrls: boolean }): Registry =>
    createRegistry(
      { store, kinds, index, secretBox, clock, refusesUrl },
      { secretOverlapMs: config.secretOverlap, limits: recordLimits(config), ...options },
    );
  return {
    index,
    registryStore,
    replicas,
    ownAddress,
    addressGuard,
    nameResolver,
    secretBox,
    kinds,
    registry: registryOf(registryStore, { checksKnownUrls: true }),
    /** For the apps file, which may name very many records that have not changed. */
    bulkRegistry: () => registryOf(registryStore.memoryFirst(), { checksKnownUrls: false }),
    indexFeed: feedIndex({ store: registryStore, kinds, index, secretBox, logger }),
    installationRecords: registryStore.recordsOf(kinds.installations),
    signingKey: createSigningKey(registryStore, secretBox),
    debugLog: createDebugLog({ store: registryStore, clock, logger }),
    appCreatedAt: (slug: string): number | null => index.app(slug)?.createdAt ?? null,
  };
}

/** Reads the bucket, checks its encryption, and loads POSTHORN_APPS_FILE. */
export async function loadRegistry(given: Foundation & StreamParts & RegistryParts): Promise<void> {
  const { config, names, manager, registryStore, indexFeed, untilAvailable, clock, logger } = given;
  await untilAvailable("the registry bucket", registryStore.start);
  const createdAt = async (stream: string): Promise<number> => epochMsOf((await manager.streams.info(stream)).created);
  const [events, bucket] = await untilAvailable("the streams", () =>
    Promise.all([createdAt(names.streams.events), createdAt(names.registryStream)]),
  );
  await awaitRestore({ store: registryStore, clock, logger }, { events, bucket });
  refuseWrongKey(registryStore.invalid(), indexFeed.decrypted());
  if (config.encryptionKey === null)
    logger.warn({}, "POSTHORN_ENCRYPTION_KEY is not set: client secrets, header values and webhook URLs are stored in the clear");
  else if (indexFeed.outdated() > 0)
    logger.warn({ records: indexFeed.outdated() }, "records are not encrypted with POSTHORN_ENCRYPTION_KEY: run posthorn re-encrypt");
  for (const network of wideNetworks(config.targetAllow))
    logger.warn(
      { network },
      "POSTHORN_TARGET_ALLOW opens a very wide network, or one with a cloud's metadata service in it, to every webhook",
    );
  const { appsFile } = config;
  if (appsFile === null) return;
  const { loadAppsFile } = await import("../registry/apps-file.ts");
  const loaded = await untilAvailable("the registry bucket", () => loadAppsFile(appsFile, auditedRegistry(given), logger));
  logger.info(loaded, "apps file loaded");
}

/** Changes by the apps file are in the audit log, too. */
function auditedRegistry({ bulkRegistry, index, auditLog }: StreamParts & RegistryParts): Registry {
  const registry = bulkRegistry();
  const audited = createAudited(auditLog, index);
  const who = "POSTHORN_APPS_FILE";
  return {
    ...registry,
    putApp: (slug, ...rest) =>
      audited.run({ who, action: "createOrReplaceApp", target: `/v1/apps/${slug}` }, { app: slug, installationUuid: null }, () =>
        registry.putApp(slug, ...rest),
      ),
    putInstallation: (uuid, ...rest) =>
      audited.run(
        { who, action: "createOrReplaceInstallation", target: `/v1/installations/${uuid}` },
        { app: null, installationUuid: uuid },
        () => registry.putInstallation(uuid, ...rest),
      ),
  };
}

function recordLimits(config: Config): RecordLimits {
  return {
    maxNameLength: config.maxNameLength,
    maxUrlLength: config.maxUrlLength,
    maxIdLength: config.maxIdLength,
    maxEvents: config.maxAppEvents,
    maxHeaders: config.maxAppHeaders,
    maxHeaderLength: config.maxAppHeaderLength,
    maxRetries: config.maxAppRetries,
    maxProjects: config.maxProjects,
  };
}
