/** What the API needs of the rest of Posthorn and may not import: the bus, storage and telemetry. */
import type { AttemptRecord, CircuitState, ParkedDelivery, ParkedQueue } from "../delivery/ports.ts";
import type { InstallationStatus } from "../model/app.ts";
import type { ReplayProgress } from "../model/replay.ts";
import type { BrokenReasonData, StatusEvent } from "../model/status-event.ts";
import type { DeliveryTrail, LanePlace, LocatedDelivery, NotedDelivery, RestOfEvent, StoredEvent } from "../model/whereabouts.ts";
import type { Precondition } from "../registry/record-tag.ts";

export interface OutgoingEvent {
  readonly resource: string;
  readonly action: string;
  readonly id: string;
  /** The event's JSON text as it came. */
  readonly body: string;
  readonly contentType: string | null;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
}

/** @throws AppError PUBLISH_FAILED */
export type PublishEvent = (event: OutgoingEvent) => Promise<{
  readonly stream: string;
  readonly sequence: number;
  readonly duplicate: boolean;
}>;

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
export interface Whereabouts {
  readonly queryRequestLog: QueryRequestLog;
  readonly trails: {
    /** Its deliveries that were attempted or stored. */
    ofEvent(eventId: string): Promise<NotedDelivery[]>;
    /** @param apps the app of each, where it is known */
    find(deliveryIds: readonly string[], apps?: readonly string[]): Promise<Array<DeliveryTrail | null>>;
  };
  readonly events: {
    at(sequence: number): Promise<StoredEvent | null>;
    search(
      eventId: string,
      since: number | null,
    ): Promise<{
      readonly found: StoredEvent | null;
      readonly searched: number;
      readonly from: number | null;
      readonly complete: boolean;
    }>;
  };
  readonly lanes: {
    at(deliveryId: string, place: LanePlace): Promise<LocatedDelivery | null>;
    search(deliveryIds: ReadonlySet<string>, app: string | null): Promise<LocatedDelivery[]>;
    /** Dead letters of the event, which outlive it in its stream. */
    deadLettersOf(eventId: string): Promise<LocatedDelivery[]>;
    restOf(eventSequence: number): Promise<RestOfEvent | null>;
    readonly looksAt: string;
  };
  circuitOf(app: string): CircuitState;
  oldestParked(queue: ParkedQueue): Promise<ParkedDelivery | null>;
}

export interface DeadLetterFilter {
  readonly app: string | null;
  readonly eventType: string | null;
  readonly start: number | null;
  readonly end: number | null;
}

export interface DeadLetter {
  readonly sequence: number;
  readonly app: string | null;
  /** The stored JSON object's text. */
  readonly json: string;
}

export interface DeadLetters {
  /** @param before a sequence, or null for the last one and what is before it */
  listNewest(filter: DeadLetterFilter, before: number | null, limit: number): Promise<{ items: DeadLetter[]; next: number | null }>;
  list(filter: DeadLetterFilter, after: number, limit: number): Promise<{ items: DeadLetter[]; next: number | null }>;
  get(sequence: number): Promise<DeadLetter>;
  replayOne(sequence: number): Promise<void>;
  replayAll(filter: DeadLetterFilter, dryRun: boolean, onProgress: (progress: ReplayProgress) => void): Promise<ReplayProgress>;
}

/** Sends a delivery again from its event in the stream. @throws AppError NOT_FOUND @returns the resend's id. */
export type ResendDelivery = (deliveryId: string) => Promise<string>;

export interface TestCall {
  readonly app: string;
  readonly installationUuid: string | null;
  readonly eventType: string;
  /** JSON text of an object. */
  readonly dataJson: string;
}

/** One attempt right now. @throws AppError NOT_FOUND, CONFLICT when the app is installed nowhere. */
export type CallTest = (call: TestCall) => Promise<AttemptRecord>;

/** What a person does to an installation. @throws AppError NOT_FOUND, PRECONDITION_FAILED */
export interface StatusChanger {
  enable(installationUuid: string, precondition: Precondition): Promise<InstallationStatus>;
  disable(installationUuid: string, precondition: Precondition): Promise<InstallationStatus>;
  /**
   * Sends what is parked for the installation to dead letters, until it is active again.
   * @throws AppError CONFLICT when it is active
   * @returns how many, and how many were still being attempted.
   */
  discardBacklog(installationUuid: string, precondition: Precondition): Promise<{ readonly discarded: number; readonly inFlight: number }>;
}

export interface Check {
  readonly ok: boolean;
  /** False: shown, but the service works on without it. */
  readonly required: boolean;
  readonly detail: string;
}

export interface Readiness {
  checks(): Readonly<Record<string, Check>>;
}

export interface LaneCounts {
  /** App → deliveries in its queue and in those of its installations. */
  readonly parked: ReadonlyMap<string, number>;
  readonly parkedOfInstallation: ReadonlyMap<string, number>;
  /** App → dead letters. */
  readonly deadLetters: ReadonlyMap<string, number>;
  /** Dead letters that belong to no app. */
  readonly unreadable: number;
}

/** Since when (RFC 3339) and why; null when it is not broken. */
export type BrokenOf = (installationUuid: string) => { readonly at: string; readonly reason: BrokenReasonData | null } | null;

export type StatusTopic = "integration" | "circuit" | "delivery";

export interface StatusHistory {
  /** Newest first. @param before a sequence, or null for the newest. @returns `next` is what to give as `before`. */
  list(
    filter: { readonly app: string | null; readonly topics: readonly StatusTopic[] },
    before: number | null,
    limit: number,
  ): Promise<{ readonly items: ReadonlyArray<{ readonly sequence: number; readonly event: StatusEvent }>; readonly next: number | null }>;
  /** Events from now on. @returns ends it. */
  follow(listener: (event: StatusEvent) => void): () => void;
}
