/**
 * Probes broken integrations: after each interval one parked delivery of each is attempted once, by one replica. A success
 * recovers the integration; a failure leaves the delivery where it is, with no attempt of its schedule spent.
 */

import type { Installation } from "../model/app.ts";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import type { IntegrationStatus } from "./integration-status.ts";

export interface ProbeSchedule {
  start(): void;
  /** Resolves when no probe is under way. */
  stop(): Promise<void>;
  /** When the integration was last probed, or broke, as the registry says; null when it is not broken. */
  update(installationUuid: string, probedAt: number | null): void;
  /** What kept a probe waiting may be over. */
  wake(): void;
}

/** Attempts a delivery; when it was delivered it is out of its queue. `held`: something kept it from being attempted. */
export type Probe = () => Promise<"delivered" | "failed" | "held">;

export interface ProbeScheduleDependencies {
  readonly installation: (uuid: string) => Installation | undefined;
  readonly status: Pick<IntegrationStatus, "claimProbe" | "recover">;
  /** Whether a probe can be made now. While nothing waits for the installation it can't: what is parked next is probed with. */
  readonly canProbe: (installation: Installation) => boolean;
  /** Null when it can't be made any more. */
  readonly nextProbe: (installation: Installation) => Promise<Probe | null>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ProbeScheduleOptions {
  readonly intervalMs: number;
}

const LONGEST_TICK_MS = 5_000;
const SHORTEST_TICK_MS = 50;
/** Receivers that hang must not keep the probes of others waiting. */
const PROBES_AT_ONCE = 32;

export function createProbeSchedule(
  { installation, status, canProbe, nextProbe, clock, logger }: ProbeScheduleDependencies,
  { intervalMs }: ProbeScheduleOptions,
): ProbeSchedule {
  /** The one that was probed last comes last: with more than may be probed at once each has its turn. */
  const probedAts = new Map<string, number>();
  /** Had a success, and could not be made active yet. */
  const delivered = new Set<string>();
  /** Claimed, and not made yet. */
  const held = new Set<string>();
  const underWay = new Map<string, Promise<void>>();
  const tickMs = Math.min(LONGEST_TICK_MS, Math.max(SHORTEST_TICK_MS, intervalMs / 10));
  let stopped = true;
  let cancel = (): void => {};

  const probe = async (uuid: string): Promise<void> => {
    if (!delivered.has(uuid)) {
      const found = installation(uuid);
      const attempt = found === undefined ? null : await nextProbe(found);
      if (attempt === null || !(held.has(uuid) || (await status.claimProbe(uuid, intervalMs)))) return;
      logger.info({ installation_uuid: uuid, app: found?.app }, "probing a broken integration");
      held.delete(uuid);
      const result = await attempt();
      if (result === "held") held.add(uuid);
      if (result !== "delivered") return;
      delivered.add(uuid);
    }
    if (await status.recover(uuid)) logger.info({ installation_uuid: uuid }, "integration has recovered");
    delivered.delete(uuid);
  };

  const isDue = (uuid: string, probedAt: number): boolean => {
    if (delivered.has(uuid)) return true;
    if (!held.has(uuid) && clock.now() - probedAt < intervalMs) return false;
    const found = installation(uuid);
    return found !== undefined && canProbe(found);
  };

  const probeDue = (): void => {
    for (const [uuid, probedAt] of probedAts) {
      if (underWay.size >= PROBES_AT_ONCE) break;
      if (underWay.has(uuid) || !isDue(uuid, probedAt)) continue;
      probedAts.delete(uuid);
      probedAts.set(uuid, probedAt);
      const probing = probe(uuid)
        .catch((error: unknown) => logger.warn({ installation_uuid: uuid, error: messageOf(error) }, "probe could not be made"))
        .finally(() => underWay.delete(uuid));
      underWay.set(uuid, probing);
    }
  };

  const tick = (): void => {
    probeDue();
    if (!stopped) cancel = clock.after(tickMs, tick);
  };

  return {
    start() {
      stopped = false;
      cancel = clock.after(tickMs, tick);
    },
    async stop() {
      stopped = true;
      cancel();
      await Promise.all(underWay.values());
    },
    update(uuid, probedAt) {
      if (probedAt === null) {
        probedAts.delete(uuid);
        delivered.delete(uuid);
        held.delete(uuid);
      } else probedAts.set(uuid, probedAt);
    },
    wake() {
      if (!stopped) probeDue();
    },
  };
}
