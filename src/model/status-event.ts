/**
 * Status events: CloudEvents 1.0 in JSON (docs/design.md 3.7), snake_case as on the wire. Only the functions below create them. The
 * id is `<uuid or slug>:<n>` for changes of an integration or a circuit, `<slug>:health:<n>` for an app's health,
 * `<delivery id>:<generation>:<change>` for deliveries that were given up, and `<slug>:suppressed:<time>` for events that were
 * suppressed, so that a second publish has the same id.
 */
import type { InstallationStatus } from "./app.ts";
import type { CircuitStateName } from "./circuit-state.ts";
import type { DeadLetterReason } from "./delivery.ts";
import type { Outcome } from "./outcome.ts";

interface CloudEvent<Type extends string, Data> {
  readonly specversion: "1.0";
  readonly id: string;
  readonly source: string;
  readonly type: Type;
  /** RFC 3339. */
  readonly time: string;
  /** The installation's uuid, the app's slug or the delivery's id. */
  readonly subject: string;
  readonly datacontenttype: "application/json";
  readonly data: Data;
}

/** The parts of the health rule (status/health-rule.ts). */
export const BROKEN_RULES = ["fatal", "failing_days", "timeouts"] as const;

export type BrokenRule = (typeof BROKEN_RULES)[number];

/** Why an integration is broken: the rule and the counters that it used. */
export interface BrokenReasonData {
  readonly rule: BrokenRule;
  readonly window_days: number;
  /** UTC days, oldest first. */
  readonly days: readonly string[];
  readonly success: number;
  readonly error: number;
  readonly timeout: number;
  readonly fatal: number;
  readonly last_response_code: number | null;
  readonly last_error: string | null;
}

export interface IntegrationData {
  readonly app: string;
  readonly installation_uuid: string;
  readonly organization_id: string;
  readonly webhook_url: string;
  readonly previous_status: InstallationStatus;
  readonly status: InstallationStatus;
  readonly dashboard_url: string | null;
}

export interface BrokenData extends IntegrationData {
  readonly reason: BrokenReasonData;
}

export interface StatusChangedData extends IntegrationData {
  /** `probe`: a first success. `person`: a call of the API. */
  readonly reason: { readonly by: "probe" | "person" };
}

export interface CircuitData {
  readonly app: string;
  readonly previous_state: CircuitStateName;
  readonly state: "closed" | "open";
  /** Null when it closed. */
  readonly reason: {
    readonly window_s: number;
    readonly attempts: number;
    readonly failures: number;
    readonly failure_percent: number;
  } | null;
  /** RFC 3339 of the first probe; null when it closed. */
  readonly open_until: string | null;
  readonly dashboard_url: string | null;
}

export interface ThrottledData {
  readonly app: string;
  /** RFC 3339. Nothing of the app is attempted before; a further answer may move it. */
  readonly until: string;
  readonly response_code: number;
  readonly dashboard_url: string | null;
}

export interface ReleasedData {
  readonly app: string;
  /** RFC 3339; when the app was throttled. */
  readonly throttled_at: string;
  readonly dashboard_url: string | null;
}

export interface GivenUpData {
  readonly app: string;
  readonly installation_uuid: string;
  readonly organization_id: string;
  readonly delivery_id: string;
  readonly event_id: string;
  readonly event_type: string;
  readonly attempts: number;
  readonly reason: DeadLetterReason;
  readonly last_outcome: Outcome | null;
  readonly last_response_code: number | null;
  readonly last_error: string | null;
  readonly dashboard_url: string | null;
}

/** The app's attempts of the last 15 minutes. */
export interface AppHealthData {
  readonly app: string;
  /** RFC 3339: when the app began to fail. */
  readonly since: string;
  readonly attempts: number;
  /** Attempts that were not delivered. */
  readonly failures: number;
  /** RFC 3339; null: none is known. */
  readonly last_success_at: string | null;
  /** Response code → failures; "0": no response. */
  readonly by_code: Readonly<Record<string, number>>;
  readonly dashboard_url: string | null;
}

export interface SuppressedData {
  readonly app: string;
  /** Number of `delivery.*` events that were not published. */
  readonly count: number;
  /** RFC 3339: the minute of the events. */
  readonly since: string;
  readonly until: string;
  readonly dashboard_url: string | null;
}

interface DataOf {
  readonly "integration.broken": BrokenData;
  readonly "integration.recovered": StatusChangedData;
  readonly "integration.disabled": StatusChangedData;
  readonly "integration.enabled": StatusChangedData;
  readonly "circuit.opened": CircuitData;
  readonly "circuit.closed": CircuitData;
  readonly "app.throttled": ThrottledData;
  readonly "app.released": ReleasedData;
  readonly "delivery.exhausted": GivenUpData;
  readonly "delivery.rejected": GivenUpData;
  readonly "delivery.suppressed": SuppressedData;
  readonly "app.failing": AppHealthData;
  readonly "app.healthy": AppHealthData;
}

export type StatusEventType = keyof DataOf;
/** The events of some types: a union with the discriminant `type`. */
export type StatusEventOf<Type extends StatusEventType> = { readonly [T in Type]: CloudEvent<T, DataOf[T]> }[Type];
export type StatusEvent = StatusEventOf<StatusEventType>;

export const STATUS_EVENT_TYPES: readonly StatusEventType[] = [
  "integration.broken",
  "integration.recovered",
  "integration.disabled",
  "integration.enabled",
  "circuit.opened",
  "circuit.closed",
  "app.throttled",
  "app.released",
  "delivery.exhausted",
  "delivery.rejected",
  "delivery.suppressed",
  "app.failing",
  "app.healthy",
];

/** The first part of an event's type. */
export const STATUS_TOPICS = ["integration", "circuit", "delivery", "app"] as const;

export type StatusTopic = (typeof STATUS_TOPICS)[number];

/** Whether events of the type concern an app and no single installation. */
export function concernsApp(type: string): boolean {
  return /^(?:app|circuit)\.|^delivery\.suppressed$/.test(type);
}

/** The members of a status event other than its data. */
export interface StatusEventFacts {
  readonly id: string;
  /** RFC 3339. */
  readonly time: string;
  /** The subject prefix of the platform. */
  readonly prefix: string;
}

export function integrationBroken(facts: StatusEventFacts, data: BrokenData): StatusEvent {
  return cloudEvent(facts, "integration.broken", data.installation_uuid, data);
}

export function integrationChanged(
  facts: StatusEventFacts,
  change: "recovered" | "disabled" | "enabled",
  data: StatusChangedData,
): StatusEvent {
  return cloudEvent(facts, `integration.${change}`, data.installation_uuid, data);
}

export function circuitChanged(facts: StatusEventFacts, change: "opened" | "closed", data: CircuitData): StatusEvent {
  return cloudEvent(facts, `circuit.${change}`, data.app, data);
}

export function appThrottled(facts: StatusEventFacts, data: ThrottledData): StatusEvent {
  return cloudEvent(facts, "app.throttled", data.app, data);
}

export function appReleased(facts: StatusEventFacts, data: ReleasedData): StatusEvent {
  return cloudEvent(facts, "app.released", data.app, data);
}

export function deliveryGivenUp(facts: StatusEventFacts, change: "exhausted" | "rejected", data: GivenUpData): StatusEvent {
  return cloudEvent(facts, `delivery.${change}`, data.delivery_id, data);
}

export function deliveriesSuppressed(facts: StatusEventFacts, data: SuppressedData): StatusEvent {
  return cloudEvent(facts, "delivery.suppressed", data.app, data);
}

export function appHealthChanged(facts: StatusEventFacts, change: "failing" | "healthy", data: AppHealthData): StatusEvent {
  return cloudEvent(facts, `app.${change}`, data.app, data);
}

function cloudEvent<Type extends StatusEventType>(
  facts: StatusEventFacts,
  type: Type,
  subject: string,
  data: DataOf[Type],
): StatusEventOf<Type> {
  return {
    specversion: "1.0",
    id: facts.id,
    source: `/posthorn/${facts.prefix}`,
    type,
    time: facts.time,
    subject,
    datacontenttype: "application/json",
    data,
  };
}
