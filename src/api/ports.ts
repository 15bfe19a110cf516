/** Operations that the application composes for the API from several components. */

import type { Discarded } from "../dead-letters/discard.ts";
import type { AttemptRecord } from "../delivery/ports.ts";
import type { TestCallRequest } from "../delivery/test-call.ts";
import type { InstallationStatus } from "../model/app.ts";
import type { BrokenReasonData } from "../model/status-event.ts";
import type { Precondition } from "../registry/record-tag.ts";

/** Makes one attempt now. @throws AppError NOT_FOUND, CONFLICT when the app is not installed anywhere, BUSY */
export type CallTest = (call: TestCallRequest) => Promise<AttemptRecord>;

/** Changes of status that a person asks for. @throws AppError NOT_FOUND, PRECONDITION_FAILED */
export interface StatusChanger {
  enable(installationUuid: string, precondition: Precondition): Promise<InstallationStatus>;
  disable(installationUuid: string, precondition: Precondition): Promise<InstallationStatus>;
  /** Sends the installation's backlog to dead letters, unless it becomes active meanwhile. @throws AppError CONFLICT when it is active */
  discardBacklog(installationUuid: string, precondition: Precondition): Promise<Discarded>;
}

/** @returns how many deliveries of the app waited for a retry. @throws AppError NOT_FOUND, NATS_UNREACHABLE, STREAM_REFUSED */
export type RetryNow = (app: string) => Promise<number>;

/** @throws AppError NATS_UNREACHABLE, STORE_FULL */
export type CloseCircuit = (app: string) => Promise<void>;

export interface Check {
  readonly ok: boolean;
  /** False: a failure is shown, but does not make the service unready. */
  readonly required: boolean;
  readonly detail: string;
}

export interface Readiness {
  checks(): Readonly<Record<string, Check>>;
}

/** Since when (RFC 3339) and why an installation is broken; null when it is not. */
export type BrokenOf = (installationUuid: string) => { readonly at: string; readonly reason: BrokenReasonData | null } | null;
