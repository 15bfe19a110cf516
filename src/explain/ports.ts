/** Where explain looks: the request log, the streams and the registry. Redis and the streams implement these. */
import type { ParkedDelivery, ParkedQueue } from "../delivery/ports.ts";
import type { CircuitState } from "../model/circuit-state.ts";
import type {
  DeliveryHistory,
  LocatedDelivery,
  NotedAddressee,
  RestOfEvent,
  StoredEvent,
  StreamLocation,
} from "../model/delivery-location.ts";

export interface RequestLogFilter {
  readonly app: string;
  readonly eventType: string | null;
  readonly errorsOnly: boolean;
  readonly organizationId: string | null;
  readonly start: number | null;
  readonly end: number | null;
}

/** What is read of a row here; all its members are passed on. */
export interface RequestLogRow {
  readonly date: string;
  readonly event_id: string;
  readonly event_type: string;
  readonly delivery_id: string;
  readonly webhook_url: string;
  readonly attempt: number;
  readonly response_code: number;
  readonly outcome: string;
  readonly duration_ms: number;
  readonly trace_id: string;
  readonly response_body?: string | null;
  readonly error?: string | null;
}

/** Rows newest first. @throws AppError REDIS_UNREACHABLE */
export type QueryRequestLog = (filter: RequestLogFilter) => Promise<RequestLogRow[]>;

/** Where events and deliveries are. What is read from Redis rejects with AppError REDIS_UNREACHABLE when it is away. */
export interface DeliverySources {
  readonly queryRequestLog: QueryRequestLog;
  readonly lookup: {
    /** Deliveries of all events with this id that were attempted or stored. */
    ofEvent(eventId: string): Promise<NotedAddressee[]>;
    /** @param apps the app of each, where it is known */
    find(deliveryIds: readonly string[], apps?: readonly string[]): Promise<Array<DeliveryHistory | null>>;
  };
  readonly events: {
    at(sequence: number): Promise<StoredEvent | null>;
    search(
      eventId: string,
      since: number | null,
      type: string | null,
    ): Promise<{
      readonly found: readonly StoredEvent[];
      readonly searched: number;
      readonly from: number | null;
      readonly complete: boolean;
    }>;
  };
  readonly streams: {
    at(deliveryId: string, place: StreamLocation): Promise<LocatedDelivery | null>;
    search(deliveryIds: ReadonlySet<string>, app: string | null): Promise<LocatedDelivery[]>;
    /** Dead letters of all events with this id, which outlive them in their stream. */
    deadLettersOf(eventId: string): Promise<LocatedDelivery[]>;
    restOf(eventSequence: number): Promise<RestOfEvent | null>;
    readonly looksAt: string;
  };
  circuitOf(app: string): CircuitState;
  oldestParked(queue: ParkedQueue): Promise<ParkedDelivery | null>;
}
