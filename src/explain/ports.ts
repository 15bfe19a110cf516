/** Where explain looks for an event and its deliveries. */
import type { ParkedDelivery, ParkedQueue } from "../delivery/ports.ts";
import type { ReadQueueSpan } from "../jetstream/queue-span.ts";
import type { StoredEvents } from "../jetstream/stored-events.ts";
import type { OrderBy } from "../model/app.ts";
import type { AppPace } from "../model/app-pace.ts";
import type { CircuitState } from "../model/circuit-state.ts";
import type { LocatedDelivery } from "../model/delivery-location.ts";
import type { AppStops, KeyStop } from "../model/key-stop.ts";
import type { Throttle } from "../model/throttle.ts";
import type { Registry } from "../registry/registry.ts";
import type { RegistryIndex } from "../registry/registry-index.ts";
import type { DeliveryLookup } from "../storage/delivery-lookup.ts";
import type { QueryRequestLog } from "../storage/request-log-query.ts";
import type { FindInStreams } from "./find-in-streams.ts";

export interface DeliverySources {
  readonly queryRequestLog: QueryRequestLog;
  readonly lookup: DeliveryLookup;
  readonly events: StoredEvents;
  readonly streams: FindInStreams;
  circuitOf(app: string): CircuitState;
  /** Null: the app is not throttled. */
  throttleOf(app: string): Throttle | null;
  /** The apps with stopped order keys, and null for an app of which it is not known; null: the owner of the queues does not answer. */
  stoppedApps(): Promise<ReadonlyMap<string, AppStops | null> | null>;
  /** The delivery that stops this one's order key, perhaps itself, if any does; null: it is not known. */
  stopOf(located: LocatedDelivery, orderBy: OrderBy): Promise<{ readonly stop: KeyStop | null } | null>;
  /** The limit that the app's attempts are at; null: none. */
  paceOf(app: string): AppPace | null;
  maxInFlightOf(app: string): number;
  queueSpan: ReadQueueSpan;
  oldestParked(queue: ParkedQueue): Promise<ParkedDelivery | null>;
}

export interface RegistrySources {
  readonly registry: Pick<Registry, "getApp" | "getInstallation">;
  readonly index: RegistryIndex;
}
