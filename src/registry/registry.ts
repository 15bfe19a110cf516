/**
 * Apps and installations: what people and the API do with them. Every change is a compare-and-set on the bucket's record
 * and returns once this replica's index has it. Members that this version does not know are kept.
 *
 * REGISTRY-2  Of two installations of one app in one organization, made at the same time on any replicas, the one whose record has
 *     the lower revision stays: each call looks, once its index has its own revision, for one that came before, and takes its own
 *     change back if there is one.
 * REGISTRY-3  An installation never outlives its app: a call that makes one looks for the app again afterwards, and the removal
 *     of an app removes the installations that its index has once it has the removal.
 */
import { type AppRegistry, createAppRecords } from "./app-records.ts";
import { createInstallationRecords, type InstallationRegistry } from "./installation-records.ts";
import type { RegistryDependencies, RegistryOptions } from "./registry-dependencies.ts";

export type Registry = AppRegistry & InstallationRegistry;

export function createRegistry(dependencies: RegistryDependencies, options: RegistryOptions): Registry {
  return { ...createAppRecords(dependencies, options), ...createInstallationRecords(dependencies, options) };
}
