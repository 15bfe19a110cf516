/** The codes of all faults that Posthorn raises. docs/errors.md is generated from this table. */
export const ERROR_CODES = {
  CONFIG_INVALID:
    "One or more settings are wrong or unknown (every problem is listed), or NATS or Redis refuses them: the message names the setting, what was found and what is wanted.",
  APPS_FILE_INVALID: "POSTHORN_APPS_FILE can't be read or an entry in it is invalid.",
  NATS_UNREACHABLE: "NATS did not answer within POSTHORN_STARTUP_TIMEOUT at the start, or during a request.",
  REDIS_UNREACHABLE: "Redis did not answer within POSTHORN_STARTUP_TIMEOUT at the start, or during a read.",
  REDIS_KEY_INVALID: "A Redis key that belongs to Posthorn holds another type of value; the message names it.",
  JETSTREAM_UNAVAILABLE:
    "The NATS server or account has no JetStream, or it could not be used within POSTHORN_STARTUP_TIMEOUT; the message says why.",
  HTTP_UNAVAILABLE:
    "Posthorn can't listen on POSTHORN_HTTP_HOST and POSTHORN_HTTP_PORT: in use, not an address of this machine, or not permitted.",
  STREAM_MISMATCH: "A stream or consumer exists with settings that Posthorn can't work with.",
  SECRET_UNREADABLE: "A stored client secret can't be decrypted with POSTHORN_ENCRYPTION_KEY.",
  STREAM_REFUSED:
    "JetStream did not store a message. Its source stays unacknowledged and is redelivered; a call of the API can be repeated.",
  STORE_FULL:
    "JetStream has no room left. Raise max_file_store or a stream's limits, or delete dead letters. Waiting deliveries are still attempted.",
  REQUEST_INVALID: "The request is not valid HTTP or its body is not valid JSON.",
  REQUEST_TIMEOUT: "The request did not arrive within POSTHORN_HTTP_REQUEST_TIMEOUT.",
  METHOD_NOT_ALLOWED: "The path exists, but not with this method; the `Allow` header lists its methods.",
  UNSUPPORTED_TYPE: "The call does not accept the body's Content-Type or Content-Encoding.",
  INTERNAL: "Posthorn failed; its log says why.",
  RECORD_INVALID: "An app, an installation or an event has a member that is missing or invalid.",
  TOO_LARGE:
    "A body, the headers, a path or an event is larger than the setting that the message names allows, or a message larger than its stream or the NATS server accepts.",
  NOT_FOUND: "No such app, installation, delivery or dead letter.",
  CONFLICT: "Another client changed the record in the meantime, or another record conflicts with it.",
  PRECONDITION_FAILED: "The record does not have the state that If-Match or If-None-Match requires.",
  UNAUTHORIZED: "No bearer token, or an unknown one.",
  FORBIDDEN: "The bearer token does not cover this call.",
  RATE_LIMITED: "Too many calls with this token or from this address; Retry-After says when to try again.",
  BUSY: "No slot for a test call: too many of the app are running, or its destination or the process has none free. Try again after a second.",
  PUBLISH_INVALID: "The client library rejected an event before publishing it, or an option of a subscription before subscribing.",
  PUBLISH_FAILED: "JetStream did not acknowledge a published event.",
  API_UNREACHABLE: "`posthorn/api` got no answer from the service.",
  API_REFUSED: "The service rejected a call of `posthorn/api` without a code; the status says why.",
  WEBHOOK_INVALID: "A received webhook's signature or timestamp is missing or wrong.",
} as const satisfies Record<string, string>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** A fault with a stable code. Expected outcomes (a 500 from a receiver, say) are values, never this. */
export class AppError extends Error {
  readonly code: ErrorCode;
  /** Whether the same call may succeed later without a change. */
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: { retryable?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AppError";
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

/** The message of any thrown value. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Whether a message is larger than its stream or the server accepts: to store it again fails again. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof AppError && error.code === "TOO_LARGE";
}

/** @returns whether it was stored; false: it is too large, in the sense of `isTooLarge` */
export function unlessTooLarge(stored: Promise<unknown>): Promise<boolean> {
  return stored.then(
    () => true,
    (error: unknown) => {
      if (!isTooLarge(error)) throw error;
      return false;
    },
  );
}

/** Whether a stream has not taken a message, but may take it later. */
export function isRefusedForNow(error: unknown): boolean {
  return error instanceof AppError && error.retryable && (error.code === "STREAM_REFUSED" || error.code === "STORE_FULL");
}
