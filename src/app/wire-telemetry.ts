/** Metrics, traces and log lines of deliveries. */
import { VERSION } from "../config/version.ts";
import { evidence } from "../storage/log-row.ts";
import { createDeliveryObserver } from "../telemetry/delivery-observer.ts";
import { createMeter, createMetrics } from "../telemetry/metrics.ts";
import { createTracing } from "../telemetry/tracing.ts";
import type { Foundation } from "./foundation.ts";
import type { RegistryParts } from "./wire-registry.ts";
import type { StreamParts } from "./wire-streams.ts";

export type TelemetryParts = ReturnType<typeof wireTelemetry>;

export function wireTelemetry({ config, log, sdk, redis, nats, names, debugLog }: Foundation & StreamParts & RegistryParts) {
  const metrics = createMetrics(createMeter(VERSION));
  const observer = createDeliveryObserver(
    { log, metrics, isDebugged: debugLog.isOn, evidenceOf: evidence },
    { metricsApps: config.metricsApps, logDeliveredPercent: config.logDeliveredPercent },
  );
  const redisUrl = redis.isCluster ? null : config.redisUrl;
  const tracing = createTracing(
    sdk.tracer === null ? null : { tracer: sdk.tracer, subjectTemplate: names.template, natsServer: () => nats.getServer(), redisUrl },
  );
  return { metrics, observer, tracing };
}
