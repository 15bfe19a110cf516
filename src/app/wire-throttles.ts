/** The apps' throttles, which all replicas share in the registry bucket. */
import { createThrottles } from "../delivery/throttle/throttles.ts";
import { THROTTLES } from "../registry/record-kinds.ts";
import { createOutboxRelay } from "../status/outbox-relay.ts";
import { createThrottleStore, throttleName } from "../status/throttle-store.ts";
import type { Foundation } from "./foundation.ts";
import type { LatePorts } from "./late-ports.ts";
import type { CircuitParts } from "./wire-circuits.ts";
import type { RegistryParts } from "./wire-registry.ts";
import type { StatusParts } from "./wire-status.ts";

export type ThrottleParts = ReturnType<typeof wireThrottles>;

export function wireThrottles(given: Foundation & RegistryParts & StatusParts & CircuitParts & LatePorts) {
  const { config, index, registryStore, outboxOf, circuitOpen, dashboardUrl, wakeQueues, wakeProbes, clock, logger } = given;
  const outbox = outboxOf(registryStore.recordsOf(THROTTLES), throttleName);
  const throttles = createThrottles(
    {
      store: createThrottleStore(outbox, clock, { prefix: config.subjectPrefix, dashboardUrl }),
      isKnown: (app) => index.app(app) !== undefined,
      clock,
      logger,
      onReleased(app) {
        wakeQueues("throttle", app);
        wakeProbes();
      },
    },
    { maxThrottleMs: config.maxThrottle },
  );
  registryStore.onReopen(throttles.forgetRevisions);
  return {
    throttles,
    throttleOutboxRelay: createOutboxRelay(outbox, clock, logger),
    /** Whether the app's throttle or circuit rejects attempts. May claim the circuit's probe. */
    isHeldBack: (app: string): boolean => throttles.isThrottled(app) || circuitOpen(app),
  };
}
