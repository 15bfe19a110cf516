/** What the API needs of the rest of Posthorn and may not import: the bus, storage and telemetry. */
import type { AttemptRecord } from "../delivery/ports.ts";
import type { InstallationStatus } from "../model/app.ts";
import type { BrokenReasonData } from "../model/status-event.ts";
import type { Precondition } from "../registry/record-tag.ts";

export interface OutgoingEvent {
  readonly resource: string;
  readonly action: string;
  readonly id: string;
  /** The Nats-Msg-Id. */
  readonly messageId: string;
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

/** Since when (RFC 3339) and why; null when it is not broken. */
export type BrokenOf = (installationUuid: string) => { readonly at: string; readonly reason: BrokenReasonData | null } | null;
