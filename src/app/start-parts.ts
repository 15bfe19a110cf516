/** Builds the parts of the process in the order of their dependencies, and starts them. */
import { VERSION } from "../config/version.ts";
import type { Component } from "./components.ts";
import { createExpiry } from "./expiry.ts";
import type { Foundation } from "./foundation.ts";
import { createLatePorts } from "./late-ports.ts";
import { createReadiness } from "./readiness.ts";
import { createShutdown } from "./shutdown.ts";
import { wireApi } from "./wire-api.ts";
import { wireCircuits } from "./wire-circuits.ts";
import { wireDelivery } from "./wire-delivery.ts";
import { wireMetrics } from "./wire-metrics.ts";
import { wireRecords } from "./wire-records.ts";
import { loadRegistry, wireRegistry } from "./wire-registry.ts";
import { wireReplays } from "./wire-replays.ts";
import { wireStatus } from "./wire-status.ts";
import { wireStreamWatch } from "./wire-stream-watch.ts";
import { wireStreams } from "./wire-streams.ts";
import { wireSubscribers } from "./wire-subscribers.ts";
import { wireTelemetry } from "./wire-telemetry.ts";
import { wireThrottles } from "./wire-throttles.ts";

export async function startParts(foundation: Foundation): Promise<void> {
  const parts = await buildParts(foundation);
  const { config, components, state, logger } = foundation;
  await components.startAll(componentsOf(parts));
  state.phase = "ready";
  const { url } = parts.listening;
  const dashboard = `${config.dashboardUrl ?? url}/`.replace(/\/+$/, "/");
  logger.info({ url, version: VERSION, prefix: config.subjectPrefix, dashboard }, "Posthorn is ready");
}

type Parts = Awaited<ReturnType<typeof buildParts>>;

async function buildParts(foundation: Foundation) {
  const late = createLatePorts();
  const streams = { ...foundation, ...late, ...(await wireStreams(foundation)) };
  const registry = { ...streams, ...wireRegistry(streams) };
  const telemetry = { ...registry, ...wireTelemetry(registry) };
  const status = { ...telemetry, ...wireStatus(telemetry) };
  const circuits = { ...status, ...wireCircuits(status) };
  const throttles = { ...circuits, ...wireThrottles(circuits) };
  const delivery = { ...throttles, ...wireDelivery(throttles) };
  const subscribers = { ...delivery, ...wireSubscribers(delivery) };
  late.bind(subscribers);
  wireRecords(subscribers);
  const replays = { ...subscribers, ...wireReplays(subscribers) };
  const watched = { ...replays, ...(await wireStreamWatch(replays)) };
  const api = { ...watched, readiness: createReadiness(watched) };
  wireMetrics(api);
  return {
    ...api,
    ...wireApi(api),
    ...createShutdown(api),
    expiry: createExpiry(api),
    /** The API's address, once it listens. */
    listening: { url: "" },
  };
}

/** In start order. */
function componentsOf(parts: Parts): Component[] {
  const { acks, metrics, nameResolver, sender, registryStore, replicas, healthWatch, outboxRelay, circuitOutboxRelay } = parts;
  const { appHealth, healthOutboxRelay, suppressedReports, throttleOutboxRelay } = parts;
  const { ackFloor, redisHealth, streamWatch, streamMetrics, expiry, writeLog, finishDeliveries } = parts;
  return [
    { name: "metrics", stop: metrics.stop },
    { name: "acknowledgements", stop: acks.flush },
    { name: "name look-ups", stop: nameResolver.close },
    { name: "webhook connections", stop: sender.close },
    { name: "registry", start: () => loadRegistry(parts), stop: registryStore.stop },
    { name: "replicas", start: replicas.start, stop: replicas.stop },
    apiComponent(parts),
    { name: "health rule", stop: healthWatch.idle },
    { name: "app health", start: appHealth.start, stop: appHealth.stop },
    { name: "request log", stop: writeLog },
    { name: "deliveries in hand", stop: finishDeliveries },
    subscribersComponent(parts),
    { name: "outbox relay", stop: outboxRelay.stop },
    { name: "outbox relay of circuits", stop: circuitOutboxRelay.stop },
    { name: "suppressed events", start: suppressedReports.startLater, stop: suppressedReports.stop },
    { name: "outbox relay of app health", stop: healthOutboxRelay.stop },
    { name: "outbox relay of throttles", stop: throttleOutboxRelay.stop },
    { name: "ack floor", start: ackFloor.start, stop: ackFloor.stop },
    { name: "Redis health", start: redisHealth.start, stop: redisHealth.stop },
    { name: "stream watch", start: streamWatch.start, stop: streamWatch.stop },
    { name: "stream metrics", start: streamMetrics.start, stop: streamMetrics.stop },
    { name: "audit log", start: parts.auditLog.start, stop: parts.auditLog.stop },
    { name: "expiry", start: expiry.startLater, stop: expiry.stop },
  ];
}

function apiComponent({ config, api, liveOverview, ownAddress, listening }: Parts): Component {
  return {
    name: "HTTP API",
    async start() {
      listening.url = await api.start();
      ownAddress.listensAt(config.httpHost, Number(new URL(listening.url).port));
    },
    stop() {
      liveOverview.stop();
      return api.stop();
    },
  };
}

function subscribersComponent(parts: Parts): Component {
  const { config, parkedQueues, retries, fanOut, events, queueOwner, replayRunner, probeSchedule, bulkhead, turns, untilAvailable } = parts;
  return {
    name: "subscribers",
    async start() {
      for (const { start } of [parkedQueues, retries, fanOut, events]) await untilAvailable("the consumers", start);
      queueOwner.start();
      replayRunner.start();
      if (config.brokenAction === "park") probeSchedule.start();
    },
    stop() {
      const stopped = Promise.all(
        [events, retries, fanOut, parkedQueues, replayRunner, queueOwner, probeSchedule].map((part) => part.stop()),
      );
      // Deliveries that wait for a place are parked or given back at once, for another replica.
      bulkhead.close();
      turns.close();
      return stopped;
    },
  };
}
