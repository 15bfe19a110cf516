/**
 * Probes broken integrations: after each interval the oldest parked delivery of each is attempted once, by one replica.
 * A success recovers the integration (health-watch.ts sees it) and takes the delivery out of its queue; a failure leaves
 * it where it is, with no attempt of its schedule spent.
 */

import type { Installation } from "../model/app.ts";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import type { IntegrationStatus } from "./integration-status.ts";

export interface Prober {
  start(): void;
  stop(): Promise<void>;
  /** When the integration was last probed, or broke, as the registry says; null when it is not broken. */
  update(installationUuid: string, probedAt: number | null): void;
  /** Integrations that are broken. */
  broken(): number;
}

export interface ProberDependencies {
  readonly installation: (uuid: string) => Installation | undefined;
  readonly status: IntegrationStatus;
  /** Whether something waits for the installation. */
  readonly hasParked: (installation: Installation) => Promise<boolean>;
  /** Attempts the oldest parked delivery of the installation. */
  readonly probe: (installation: Installation) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ProberOptions {
  readonly intervalMs: number;
}

const LONGEST_TICK_MS = 5_000;
const SHORTEST_TICK_MS = 50;

export function createProber(
  { installation, status, hasParked, probe, clock, logger }: ProberDependencies,
  { intervalMs }: ProberOptions,
): Prober {
  const brokenSince = new Map<string, number>();
  const tickMs = Math.min(LONGEST_TICK_MS, Math.max(SHORTEST_TICK_MS, intervalMs / 10));
  let stopped = true;
  let cancel = (): void => {};
  let running: Promise<void> = Promise.resolve();

  const probeOne = async (uuid: string): Promise<void> => {
    const found = installation(uuid);
    if (found === undefined || !(await hasParked(found))) return;
    if (!(await status.claimProbe(uuid, intervalMs))) return;
    logger.info({ installation_uuid: uuid, app: found.app }, "probing a broken integration");
    await probe(found);
  };

  const tick = async (): Promise<void> => {
    for (const [uuid, probedAt] of brokenSince) {
      if (stopped) return;
      if (clock.now() - probedAt < intervalMs) continue;
      try {
        await probeOne(uuid);
      } catch (error) {
        logger.warn({ installation_uuid: uuid, error: messageOf(error) }, "probe could not be made");
      }
    }
  };

  const schedule = (): void => {
    cancel = clock.after(tickMs, () => {
      running = tick().finally(() => {
        if (!stopped) schedule();
      });
    });
  };

  return {
    start() {
      stopped = false;
      schedule();
    },
    async stop() {
      stopped = true;
      cancel();
      await running;
    },
    update(uuid, probedAt) {
      if (probedAt === null) brokenSince.delete(uuid);
      else brokenSince.set(uuid, probedAt);
    },
    broken: () => brokenSince.size,
  };
}
