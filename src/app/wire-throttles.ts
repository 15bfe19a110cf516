/** The apps' throttles, which all replicas share in the registry bucket, and the turns of their attempts. */
import { createTakeTokens } from "../delivery/throttle/rate-limit.ts";
import { createThrottles } from "../delivery/throttle/throttles.ts";
import { createTurns } from "../delivery/throttle/turns.ts";
import { type AppPace, appPace } from "../model/app-pace.ts";
import { THROTTLES } from "../registry/record-kinds.ts";
import { createOutboxRelay } from "../status/outbox-relay.ts";
import { createThrottleStore, throttleName } from "../status/throttle-store.ts";
import { createLeaseTokens } from "../storage/rate-limit-tokens.ts";
import type { Foundation } from "./foundation.ts";
import type { LatePorts } from "./late-ports.ts";
import type { CircuitParts } from "./wire-circuits.ts";
import type { RegistryParts } from "./wire-registry.ts";
import type { StatusParts } from "./wire-status.ts";

export type ThrottleParts = ReturnType<typeof wireThrottles>;

export function wireThrottles(given: Foundation & RegistryParts & StatusParts & CircuitParts & LatePorts) {
  const { config, index, registryStore, outboxOf, circuitOpen, dashboardUrl, wakeQueues, wakeProbes } = given;
  const { redis, replicas, clock, logger } = given;
  const maxInFlightOf = (app: string): number => index.app(app)?.maxInFlight ?? config.appMaxInFlight;
  /** Half is for direct attempts; with 0 all of the app's deliveries go through its queue. */
  const directLimit = (app: string): number => Math.floor(maxInFlightOf(app) / 2);
  const shareOf = (app: string): number => Math.max(1, directLimit(app));
  const outbox = outboxOf(registryStore.recordsOf(THROTTLES), throttleName);
  const turns = createTurns({
    takeTokens: createTakeTokens({ lease: createLeaseTokens(redis), replicas: replicas.count, clock, random: Math.random, logger }),
    rateLimitOf: (app) => index.app(app)?.rateLimit ?? null,
    shareOf,
    clock,
  });
  const throttles = createThrottles(
    {
      store: createThrottleStore(outbox, clock, { prefix: config.subjectPrefix, dashboardUrl }),
      isKnown: (app) => index.app(app) !== undefined,
      clock,
      logger,
      onReleased(app) {
        turns.released(app);
        wakeQueues("throttle", app);
        wakeProbes();
      },
    },
    { maxThrottleMs: config.maxThrottle },
  );
  registryStore.onReopen(throttles.forgetRevisions);
  /** The limit that the app's attempts are at, over all replicas; null: none. */
  const paceOf = (app: string): AppPace | null => {
    const others = replicas.all().slice(1);
    const paces = [turns.paceOf(app), ...others.map(({ load }) => load?.paces?.[app])];
    return appPace(
      index.app(app)?.rateLimit?.perS ?? null,
      paces.filter((pace) => pace != null),
    );
  };
  return {
    ...{ throttles, turns, maxInFlightOf, directLimit, shareOf, paceOf },
    throttleOutboxRelay: createOutboxRelay(outbox, clock, logger),
    /** Whether the app's throttle or circuit rejects attempts. May claim the circuit's probe. */
    isHeldBack: (app: string): boolean => throttles.isThrottled(app) || circuitOpen(app),
  };
}
