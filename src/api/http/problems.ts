/** Errors as RFC 9457 `application/problem+json`, with a stable code and without a stack trace. */
import { AppError, type ErrorCode } from "../../model/app-error.ts";
import type { RecordProblem } from "../../registry/record-problem.ts";
import { RecordInvalid } from "../../registry/records.ts";
import { problemType } from "./errors-page.ts";

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly errors?: readonly RecordProblem[];
}

const STATUS_OF: Partial<Record<ErrorCode, number>> = {
  RECORD_INVALID: 400,
  PUBLISH_INVALID: 400,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  CONFLICT: 409,
  PRECONDITION_FAILED: 412,
  TOO_LARGE: 413,
  RATE_LIMITED: 429,
  BUSY: 429,
  PUBLISH_FAILED: 503,
  NATS_UNREACHABLE: 503,
  REDIS_UNREACHABLE: 503,
  REDIS_KEY_INVALID: 503,
  STREAM_REFUSED: 503,
  STORE_FULL: 503,
};

const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  412: "Precondition Failed",
  413: "Content Too Large",
  414: "URI Too Long",
  415: "Unsupported Media Type",
  417: "Expectation Failed",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/** Codes of problems that have no other. */
const CODES: Partial<Record<number, ErrorCode>> = {
  404: "NOT_FOUND",
  405: "METHOD_NOT_ALLOWED",
  408: "REQUEST_TIMEOUT",
  413: "TOO_LARGE",
  414: "TOO_LARGE",
  415: "UNSUPPORTED_TYPE",
  431: "TOO_LARGE",
  500: "INTERNAL",
};

const WHEN_READY = "/readyz says what is wrong; repeat the call when it is over";

/** The remedy of a code whose messages name none. */
const REMEDIES: Partial<Record<ErrorCode, string>> = {
  STORE_FULL: "raise nats-server's max_file_store or the limits of the stream or account, or delete dead letters, and repeat the call",
  STREAM_REFUSED: "repeat the call",
  NATS_UNREACHABLE: WHEN_READY,
  REDIS_UNREACHABLE: WHEN_READY,
  PUBLISH_FAILED: WHEN_READY,
};

function detailOf({ code, message, retryable }: AppError): string {
  const remedy = REMEDIES[code] ?? (code === "CONFLICT" && retryable ? "repeat the call" : undefined);
  return remedy === undefined ? message : `${message}; ${remedy}`;
}

/** @param contentType the call's Content-Type @param accepts the types that the call takes; both for a 415 */
export function problemOf(error: unknown, contentType?: string, accepts: readonly string[] = []): Problem {
  if (error instanceof AppError) {
    const status = STATUS_OF[error.code] ?? (error.retryable ? 503 : 500);
    return {
      ...problem(status, status === 500 ? "the call failed; the log says why" : detailOf(error), error.code),
      ...(error instanceof RecordInvalid ? { errors: error.problems } : {}),
    };
  }
  const { statusCode, code = "", message = "" } = error as { statusCode?: number; code?: string; message?: string };
  if (code === "FST_ERR_CTP_INVALID_MEDIA_TYPE") return problem(415, refusedType(contentType, accepts));
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) return problem(statusCode, REJECTIONS[code] ?? message);
  return problem(500, "the call failed; the log says why");
}

export function refusedType(found: string | undefined, accepts: readonly string[]): string {
  const wanted = [accepts.slice(0, -1).join(", "), ...accepts.slice(-1)].filter(Boolean).join(" or ");
  return `Content-Type: found ${found ? JSON.stringify(found) : "nothing"}, wanted ${wanted}`;
}

/** Messages for rejections by the framework. */
const REJECTIONS: Readonly<Record<string, string>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: "body: larger than POSTHORN_HTTP_MAX_BODY_SIZE",
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: "body: its length differs from Content-Length",
  FST_ERR_BAD_URL: "path: found a percent sign that does not encode a character",
  FST_ERR_MAX_PARAM_LENGTH: "path: a name in it is too long",
};

export function problem(status: number, detail: string, code = CODES[status] ?? "REQUEST_INVALID"): Problem {
  return { type: problemType(code), title: TITLES[status] ?? "Error", status, detail, code };
}
