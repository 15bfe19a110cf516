/**
 * The composition root: builds all parts, each from the ones before it, and starts the components in an order in which every one finds
 * what it needs. They stop in reverse: first nothing new is taken, then the work in hand finishes, then buffers are written.
 */
import { randomUUID } from "node:crypto";
import { createSettableClock } from "../config/settable-clock.ts";
import type { Config } from "../config/settings.ts";
import { VERSION } from "../config/version.ts";
import { closeNats, connectNats } from "../jetstream/connection.ts";
import { AppError } from "../model/app-error.ts";
import { systemClock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { createServerClock } from "../model/server-clock.ts";
import { closeRedis, connectRedis } from "../storage/redis.ts";
import { createLog, type LogDestination, logOutput } from "../telemetry/logger.ts";
import { startSdk } from "../telemetry/sdk.ts";
import { createComponents } from "./components.ts";
import { natsOptions, redisOptions } from "./connections.ts";
import type { Foundation, Lifecycle, LifecycleState } from "./foundation.ts";
import { startParts } from "./start-parts.ts";

export interface Application {
  readonly logger: Logger;
  /** Writes log lines that are still buffered; for the end of the process. */
  flushLog(): void;
  /** Resolves when events are consumed and the API listens. After a failure everything is stopped again. @throws AppError */
  start(): Promise<void>;
  /** Also ends a start that is in progress. @returns whether all work in hand was finished */
  stop(): Promise<boolean>;
}

type Environment = Readonly<Record<string, string | undefined>>;

export async function createApp(config: Config, environment: Environment, output?: LogDestination): Promise<Application> {
  const log = createLog(config.logLevel, output ?? logOutput(config.logFormat));
  const { logger } = log;
  const wallClock =
    config.testClock === null
      ? systemClock
      : createSettableClock(config.testClock, (aheadMs) => logger.warn({ ahead_ms: aheadMs }, "POSTHORN_TEST_CLOCK has set the clock"));
  // A test that sets the clock sets it for all.
  const clock = config.testClock === null ? createServerClock(wallClock, () => performance.now()) : wallClock;
  const components = createComponents(clock, logger);
  const state: LifecycleState = { phase: "starting", isFinished: true };
  const stopping = new AbortController();
  const lifecycle: Lifecycle = { config, wallClock, clock, log, logger, components, state, signal: stopping.signal };
  let starting: Promise<void> | undefined;

  const stopComponents = async (): Promise<boolean> => {
    const failed = await components.stopAll(clock.now() + config.drainTimeout);
    return failed.length === 0 && state.isFinished;
  };
  return {
    logger,
    flushLog: log.flush,
    async start() {
      starting = connect(lifecycle, environment).then(startParts);
      try {
        await starting;
      } catch (error) {
        await stopComponents();
        throw error;
      }
    },
    async stop() {
      stopping.abort();
      await starting?.catch(() => {});
      state.phase = "stopping";
      const isClean = await stopComponents();
      logger.info({}, "stopped");
      return isClean;
    },
  };
}

/** Connects the servers, each as a component that is stopped when a later step fails. */
async function connect(lifecycle: Lifecycle, environment: Environment): Promise<Foundation> {
  const { config, clock, logger, components, signal } = lifecycle;
  const sdk = await startSdk(environment, VERSION, logger);
  await components.startAll([{ name: "telemetry export", stop: sdk.stop }]);
  const redis = await connectRedis({ ...redisOptions(config), signal }, clock, logger);
  await components.startAll([{ name: "Redis", stop: () => closeRedis(redis) }]);
  const nats = await connectNats({ ...natsOptions(config), signal }, clock, logger);
  await components.startAll([{ name: "NATS", stop: () => closeNats(nats, clock) }]);
  if (signal.aborted) throw new AppError("NATS_UNREACHABLE", "stopped while starting", { retryable: true });
  const dashboardUrl = (path: string): string | null => config.dashboardUrl && `${config.dashboardUrl.replace(/\/$/, "")}/#${path}`;
  return { ...lifecycle, sdk, redis, nats, dashboardUrl, replica: randomUUID() };
}
