/** Apps, installations, and the event types that an app subscribes to. */
import type { RetryOn } from "./retry-on.ts";

export type AppStatus = "internal" | "unpublished" | "published";

/** A third-party or internal integration, as the delivery path sees it: secrets in the clear. */
export interface App {
  readonly slug: string;
  readonly name: string;
  readonly webhookUrl: string;
  readonly status: AppStatus;
  /** Patterns: `*`, `<resource>`, `<resource>.*`, `<resource>.<action>`. */
  readonly events: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  /** One deadline over connect, headers and body; null means POSTHORN_REQUEST_TIMEOUT. */
  readonly timeoutMs: number | null;
  /** Delays before the 2nd, 3rd, … attempt; null means POSTHORN_RETRY_SCHEDULE. */
  readonly retryScheduleMs: readonly number[] | null;
  /** The answers that are retried; null: as docs/design.md 3.5 says. */
  readonly retryOn: RetryOn | null;
  /** Concurrent attempts; null means POSTHORN_APP_MAX_IN_FLIGHT. */
  readonly maxInFlight: number | null;
  /** Null: none. */
  readonly rateLimit: RateLimit | null;
  readonly orderBy: OrderBy;
  /** Whether deliveries with the same order key continue or stop when one of them goes to dead letters. */
  readonly onExhausted: OnExhausted;
  readonly clientSecret: string;
  /** The secret before the last rotation, valid until `validUntil` (milliseconds since the epoch). */
  readonly previousSecret: { readonly value: string; readonly validUntil: number } | null;
  /**
   * Milliseconds since the epoch; null: a record of an early version. It distinguishes an app from a deleted app that had the same
   * slug.
   */
  readonly createdAt: number | null;
  readonly updatedAt: number | null;
}

/** A limit on attempts over all replicas: at most `perS` a second, and up to `burst` at once after a quiet time. */
export interface RateLimit {
  readonly perS: number;
  readonly burst: number;
}

/** By what deliveries keep their order; a JSON Pointer (`/issue/id`) is one into the event's data. */
export type OrderBy = "none" | "app" | "installation" | "project" | `/${string}`;

export const ON_EXHAUSTED = ["continue", "stop"] as const;

export type OnExhausted = (typeof ON_EXHAUSTED)[number];

export function isOrdered(app: App | undefined): boolean {
  return app !== undefined && app.orderBy !== "none";
}

/** Whether a dead letter of the app may stop an order key. */
export function mayStopKeys(app: App | undefined): app is App {
  return isOrdered(app) && app?.onExhausted === "stop";
}

export const INSTALLATION_STATUSES = ["active", "broken", "disabled"] as const;

export type InstallationStatus = (typeof INSTALLATION_STATUSES)[number];

/** An app installed in one organization. */
export interface Installation {
  readonly uuid: string;
  readonly app: string;
  readonly organizationId: string;
  /** Empty: all projects. */
  readonly projectIds: readonly string[];
  readonly status: InstallationStatus;
  /** Overrides the app's URL. */
  readonly webhookUrl: string | null;
  /** Milliseconds since the epoch; null: a record of an early version. */
  readonly createdAt: number | null;
  readonly updatedAt: number | null;
}

/** A subject token. Tokens that start with `_` are Posthorn's own. */
export const APP_SLUG = /^[a-z0-9][a-z0-9_-]{0,63}$/;
export const INSTALLATION_UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
export const EVENT_PATTERN = /^(\*|[a-z0-9_]{1,64}(\.(\*|[a-z0-9_]{1,64}))?)$/;

/** Whether a pattern of an app's `events` covers an event type. */
export function patternCovers(pattern: string, resource: string, type: string): boolean {
  return pattern === "*" || pattern === type || pattern === resource || pattern === `${resource}.*`;
}
