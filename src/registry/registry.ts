/**
 * Creates, changes and deletes apps and installations. Every change is a compare-and-set on the bucket's record and returns
 * once this replica's index has it. Members that this version does not know are kept.
 *
 * REGISTRY-1  If two replicas install one app in one organization at the same time, the record with the lower revision stays:
 *     once its own revision is in the index, each call looks for an earlier one and undoes its own change if there is one.
 * REGISTRY-2  An installation never outlives its app: a call that creates one checks the app again afterwards, and the deletion
 *     of an app removes the installations that are in the index once the deletion is.
 */
import { type AppRegistry, createAppRecords } from "./app-records.ts";
import { createInstallationRecords, type InstallationRegistry } from "./installation-records.ts";
import type { RegistryDependencies, RegistryOptions } from "./registry-dependencies.ts";

export type Registry = AppRegistry & InstallationRegistry;

export function createRegistry(dependencies: RegistryDependencies, options: RegistryOptions): Registry {
  return { ...createAppRecords(dependencies, options), ...createInstallationRecords(dependencies, options) };
}
