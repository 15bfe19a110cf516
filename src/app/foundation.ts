/** What every part of the process is built on. */
import type { NatsConnection } from "nats";
import type { Config } from "../config/settings.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import type { ServerClock } from "../model/server-clock.ts";
import type { RedisClient } from "../storage/redis.ts";
import type { Log } from "../telemetry/logger.ts";
import type { Sdk } from "../telemetry/sdk.ts";
import type { Components } from "./components.ts";

export interface LifecycleState {
  phase: "starting" | "ready" | "stopping";
  /** Whether the stop so far has finished all work in hand. */
  isFinished: boolean;
}

export interface Lifecycle {
  readonly config: Config;
  /** This machine's time, which receivers compare with theirs. */
  readonly wallClock: Clock;
  /** The NATS server's time. */
  readonly clock: Clock & Partial<ServerClock>;
  readonly log: Log;
  readonly logger: Logger;
  readonly components: Components;
  readonly state: LifecycleState;
  /** Ends a start that is still in progress. */
  readonly signal: AbortSignal;
}

/** The servers are connected. */
export interface Foundation extends Lifecycle {
  readonly sdk: Sdk;
  readonly redis: RedisClient;
  readonly nats: NatsConnection;
  /** The page's address of a path; null: POSTHORN_DASHBOARD_URL is not set. */
  readonly dashboardUrl: (path: string) => string | null;
  /** Names this replica. */
  readonly replica: string;
}
