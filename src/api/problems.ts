/** Every error leaves as RFC 9457 `application/problem+json`, with a stable code and never with a stack trace. */
import { AppError, type ErrorCode } from "../model/app-error.ts";
import { RecordInvalid, type RecordProblem } from "../registry/records.ts";

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code?: string;
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
  PUBLISH_FAILED: 503,
  NATS_UNREACHABLE: 503,
  REDIS_UNREACHABLE: 503,
  LANE_REFUSED: 503,
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
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

export function problemOf(error: unknown): Problem {
  if (error instanceof AppError) {
    const status = STATUS_OF[error.code] ?? (error.retryable ? 503 : 500);
    return {
      ...problem(status, status === 500 ? "the call failed; the log says why" : error.message),
      code: error.code,
      ...(error instanceof RecordInvalid ? { errors: error.problems } : {}),
    };
  }
  const { statusCode, message } = error as { statusCode?: number; message?: string };
  // Fastify's own refusals (malformed JSON, too large, …) say what is wrong in their message.
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) return problem(statusCode, message ?? "");
  return problem(500, "the call failed; the log says why");
}

export function problem(status: number, detail: string): Problem {
  return { type: "about:blank", title: TITLES[status] ?? "Error", status, detail };
}
