/** All routes in the order of the reference page. */

import type { Resend } from "../../dead-letters/resend.ts";
import type { Explain } from "../../explain/explain.ts";
import type { PublishEvent } from "../../jetstream/event-publisher.ts";
import type { StatusHistory } from "../../jetstream/status-history.ts";
import type { EventLimits } from "../../model/event-reader.ts";
import type { ReadSystem } from "../../overview/read-system.ts";
import { withDocument } from "../http/openapi.ts";
import type { Route } from "../http/route.ts";
import type { Readiness } from "../ports.ts";
import { type AppActionRoutesDependencies, appActionRoutes } from "./app-actions.ts";
import { type AppSecretRoutesDependencies, appSecretRoutes } from "./app-secrets.ts";
import { type AppRoutesDependencies, appRoutes } from "./apps.ts";
import { type AuditRoutesDependencies, auditRoutes } from "./audit.ts";
import { type DeadLetterReplayRoutesDependencies, deadLetterReplayRoutes } from "./dead-letter-replays.ts";
import { type DeadLetterRoutesDependencies, deadLetterRoutes } from "./dead-letters.ts";
import { type DebugLogRoutesDependencies, debugLogRoutes } from "./debug-log.ts";
import { deliveryRoutes } from "./deliveries.ts";
import { eventListRoutes } from "./event-lists.ts";
import { type EventTypesDependencies, eventTypesRoutes } from "./event-types.ts";
import { eventRoutes } from "./events.ts";
import { findRoutes } from "./find.ts";
import { type InstallationStatusRoutesDependencies, installationStatusRoutes } from "./installation-status.ts";
import { type InstallationRoutesDependencies, installationRoutes } from "./installations.ts";
import { type InvalidRecordsDependencies, invalidRecordsRoutes } from "./invalid-records.ts";
import { operationRoutes } from "./operations.ts";
import { type OverviewRoutesDependencies, overviewRoutes } from "./overview.ts";
import { type ReplayRoutesDependencies, replayRoutes } from "./replays.ts";
import { type RequestLogRoutesDependencies, requestLogRoutes } from "./request-log.ts";
import { type SessionOptions, sessionRoutes } from "./session.ts";
import { type StatsRoutesDependencies, statsRoutes } from "./stats.ts";
import { statusEventRoutes } from "./status-events.ts";
import { systemRoutes } from "./system.ts";
import { type TokenRoutesDependencies, tokenRoutes } from "./tokens.ts";

export type RoutesDependencies = AppRoutesDependencies &
  AppActionRoutesDependencies &
  AppSecretRoutesDependencies &
  AuditRoutesDependencies &
  TokenRoutesDependencies &
  InstallationRoutesDependencies &
  InstallationStatusRoutesDependencies &
  DebugLogRoutesDependencies &
  EventTypesDependencies &
  InvalidRecordsDependencies &
  RequestLogRoutesDependencies &
  StatsRoutesDependencies &
  OverviewRoutesDependencies &
  DeadLetterRoutesDependencies &
  DeadLetterReplayRoutesDependencies &
  ReplayRoutesDependencies & {
    readonly publish: PublishEvent;
    readonly eventLimits: EventLimits;
    readonly explain: Explain;
    readonly resend: Resend;
    readonly statusHistory: StatusHistory;
    readonly session: SessionOptions;
    readonly readiness: Readiness;
    readonly readSystem: ReadSystem;
    readonly renderMetrics: () => string | Promise<string>;
  };

export function allRoutes(dependencies: RoutesDependencies): Route[] {
  return [
    ...appRoutes(dependencies),
    ...appSecretRoutes(dependencies),
    ...appActionRoutes(dependencies),
    ...tokenRoutes(dependencies),
    ...installationRoutes(dependencies),
    ...installationStatusRoutes(dependencies),
    ...eventRoutes(dependencies.publish, dependencies.eventLimits),
    ...eventListRoutes(dependencies),
    ...eventTypesRoutes(dependencies),
    ...findRoutes(dependencies),
    ...requestLogRoutes(dependencies),
    ...deliveryRoutes(dependencies),
    ...statsRoutes(dependencies),
    ...deadLetterRoutes(dependencies),
    ...deadLetterReplayRoutes(dependencies),
    ...replayRoutes(dependencies),
    ...statusEventRoutes(dependencies),
    ...auditRoutes(dependencies),
    ...overviewRoutes(dependencies),
    ...systemRoutes(dependencies),
    ...sessionRoutes(dependencies.session),
    ...debugLogRoutes(dependencies),
    ...invalidRecordsRoutes(dependencies),
    ...operationRoutes(dependencies),
  ];
}

/** The routes for their documentation only: their handlers can't be called. */
export function documentedRoutes(): Route[] {
  return withDocument(allRoutes({ maxPageSize: 1000, session: {} } as RoutesDependencies), "0.0.0");
}
