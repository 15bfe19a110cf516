/** What the API needs of the rest of Posthorn and may not import: the bus, storage and telemetry. */
import type { AttemptRecord } from "../delivery/ports.ts";
import type { InstallationStatus } from "../model/app.ts";

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

/** Rows newest first. */
export type QueryRequestLog = (filter: RequestLogFilter) => Promise<object[]>;

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

export interface ReplayProgress {
  readonly matched: number;
  readonly replayed: number;
  readonly skipped: number;
}

export interface DeadLetters {
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

/** What a person does to an installation. @throws AppError NOT_FOUND */
export interface StatusChanger {
  enable(installationUuid: string): Promise<InstallationStatus>;
  disable(installationUuid: string): Promise<InstallationStatus>;
  /** Sends what is parked for the installation to dead letters. @returns how many. */
  discardBacklog(installationUuid: string): Promise<number>;
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
