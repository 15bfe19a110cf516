/**
 * Apps and installations that are logged in detail, and until when: records `debug.app.<slug>` and
 * `debug.installation.<uuid>` in the registry bucket, so that one call reaches all replicas and survives a restart.
 * Expired records are ignored, and removed when the next one is switched on.
 */

import { z } from "zod";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import type { RecordKind } from "../model/record-kind.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { parseStored } from "./record-kinds.ts";
import type { RegistryStore } from "./store.ts";

export type DebugTarget = { readonly app: string } | { readonly installationUuid: string };

export interface Debugged {
  readonly target: DebugTarget;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

export interface DebugLog {
  isOn(app: string, installationUuid: string): boolean;
  /** The targets that are on. */
  list(): Debugged[];
  switchOn(target: DebugTarget, until: number): Promise<void>;
  switchOff(target: DebugTarget): Promise<void>;
}

export interface DebugLogDependencies {
  readonly store: Pick<RegistryStore, "onRecord" | "putRecord" | "deleteRecord" | "reached">;
  readonly clock: Clock;
  readonly logger: Logger;
}

const APP = "debug.app.";
const INSTALLATION = "debug.installation.";
const stored = z.looseObject({ until: z.string().refine((text) => !Number.isNaN(epochMsOf(text)), "wanted a time") });

const DEBUGGED: RecordKind<{ readonly until: string }> = {
  prefix: "debug.",
  parse: (_name, value) => parseStored<{ until: string }>(stored, value),
};

/** Call before the store starts. */
export function createDebugLog({ store, clock, logger }: DebugLogDependencies): DebugLog {
  /** Key → end of the detailed logging, milliseconds since the epoch. */
  const untilOf = new Map<string, number>();

  store.onRecord(DEBUGGED, (key, record) => {
    if (record === null) {
      if (untilOf.delete(key)) logger.info({ ...shownTarget(key) }, "detailed logging is off");
      return;
    }
    const until = epochMsOf(record.until);
    untilOf.set(key, until);
    if (until > clock.now()) logger.info({ ...shownTarget(key), until: toRfc3339(until) }, "detailed logging is on");
  });

  const isActive = (key: string): boolean => (untilOf.get(key) ?? 0) > clock.now();

  const remove = async (key: string): Promise<void> => store.reached(await store.deleteRecord(key));

  return {
    // Called for every attempt; nearly always the map is empty.
    isOn: (app, installationUuid) => untilOf.size > 0 && (isActive(APP + app) || isActive(INSTALLATION + installationUuid)),

    list: () => [...untilOf].filter(([key]) => isActive(key)).map(([key, until]) => ({ target: targetOf(key), until })),

    async switchOn(target, until) {
      for (const key of untilOf.keys()) if (!isActive(key)) await remove(key);
      await store.reached(await store.putRecord(keyOf(target), JSON.stringify({ until: toRfc3339(until) })));
    },

    switchOff: (target) => remove(keyOf(target)),
  };
}

function keyOf(target: DebugTarget): string {
  return "app" in target ? APP + target.app : INSTALLATION + target.installationUuid;
}

function targetOf(key: string): DebugTarget {
  return key.startsWith(APP) ? { app: key.slice(APP.length) } : { installationUuid: key.slice(INSTALLATION.length) };
}

function shownTarget(key: string): { app: string } | { installation_uuid: string } {
  const target = targetOf(key);
  return "app" in target ? target : { installation_uuid: target.installationUuid };
}
