/** The apps' circuits, which all replicas share: their state in the registry bucket, their counts over plain NATS. */

import { createCircuitBreakers } from "../delivery/circuit/circuit-breakers.ts";
import { createFailureExchange } from "../jetstream/failure-exchange.ts";
import { createCircuitStore } from "../status/circuit-store.ts";
import type { Foundation } from "./foundation.ts";
import type { LatePorts } from "./late-ports.ts";
import type { RegistryParts } from "./wire-registry.ts";
import type { StatusParts } from "./wire-status.ts";
import type { StreamParts } from "./wire-streams.ts";

export type CircuitParts = ReturnType<typeof wireCircuits>;

/** A probe's lease outlasts its attempt by this time. */
const PROBE_LEASE_EXTRA_MS = 5_000;

export function wireCircuits(given: Foundation & StreamParts & RegistryParts & StatusParts & LatePorts) {
  const { config, nats, connectionState, names, index, registryStore, circuitOutbox, replica, dashboardUrl, clock, logger } = given;
  const { wakeQueues, wakeProbes } = given;
  const exchange = createFailureExchange(nats, connectionState, names, replica, logger);
  const circuits = createCircuitBreakers(
    {
      broadcast: exchange.broadcast,
      isKnown: (app) => index.app(app) !== undefined,
      store: createCircuitStore(circuitOutbox, clock, { prefix: config.subjectPrefix, dashboardUrl }),
      clock,
      logger,
      onAdmitting(app) {
        wakeQueues("circuit", app);
        wakeProbes();
      },
    },
    {
      windowMs: config.circuitWindow,
      minAttempts: config.circuitMinAttempts,
      failurePercent: config.circuitFailurePercent,
      openTimeMs: config.circuitOpenTime,
      maxOpenTimeMs: config.circuitMaxOpenTime,
      probeLeaseMs: (app) => (index.app(app)?.timeoutMs ?? config.requestTimeout) + PROBE_LEASE_EXTRA_MS,
      replica,
    },
  );
  exchange.subscribe(circuits.receive);
  registryStore.onReopen(circuits.forgetRevisions);
  const circuitOpen = (app: string): boolean => circuits.isOpen(app) && !circuits.tryAcquireProbe(app);
  return { circuits, circuitOpen };
}
