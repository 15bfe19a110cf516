/** The meaning of an error answer of JetStream, or of none. */
import { ErrorCode, NatsError } from "nats";
import { AppError, messageOf } from "../model/app-error.ts";
import { permissionText } from "./nats-refusal.ts";

/** 10039: not enabled for the account. 10076: not enabled on the server. */
const NOT_ENABLED: ReadonlySet<number> = new Set([10039, 10076]);

/** Answers of a cluster that is starting or has lost nodes, in addition to every answer with status 503. */
const UNAVAILABLE: Readonly<Record<number, string>> = {
  10005: "too few nodes of the cluster are up for POSTHORN_STREAM_REPLICAS",
  10008: "the cluster has elected no JetStream leader, or too few of its nodes are up",
  10009: "the cluster is electing a leader",
  10023: "the cluster has too few nodes or too little storage for POSTHORN_STREAM_REPLICAS",
  10118: "the stream is offline",
  10119: "the consumer is offline",
};

export const NO_ANSWER = "no answer; JetStream, the stream or the consumer has no leader, or too few nodes of the cluster are up";

const WITHOUT_ANSWER: Readonly<Record<string, string>> = {
  [ErrorCode.Timeout]: NO_ANSWER,
  [ErrorCode.NoResponders]: "no responders; JetStream is off, or the stream or the consumer has no leader",
  [ErrorCode.Disconnect]: "the connection was lost",
  [ErrorCode.ConnectionTimeout]: "the connection was lost",
};

/** Whether the server, or the account, has no JetStream. @param error of a call that every server with JetStream answers */
export function isJetStreamMissing(error: unknown): boolean {
  if (!(error instanceof NatsError)) return false;
  return error.api_error === undefined ? error.code === ErrorCode.NoResponders : NOT_ENABLED.has(error.api_error.err_code ?? 0);
}

const STREAM_NOT_FOUND = 10059;

export function isStreamMissing(error: unknown): boolean {
  return error instanceof NatsError && error.api_error?.err_code === STREAM_NOT_FOUND;
}

const SUBJECT_OVERLAP = 10065;

/** The answer to the creation of a stream that is being created, among other reasons. */
export function isSubjectOverlap(error: unknown): boolean {
  return error instanceof NatsError && error.api_error?.err_code === SUBJECT_OVERLAP;
}

/** Why a call may succeed later without anybody changing a setting; null when it won't. */
export function unavailability(error: unknown): string | null {
  if (error instanceof AppError) return error.code === "NATS_UNREACHABLE" ? error.message : null;
  if (!(error instanceof NatsError)) return null;
  const { api_error: answer, code } = error;
  if (answer === undefined) return WITHOUT_ANSWER[code] ?? null;
  const known = UNAVAILABLE[answer.err_code ?? 0];
  if (known !== undefined) return `${answer.description}: ${known}`;
  return answer.code === 503 && !isJetStreamMissing(error) ? answer.description : null;
}

/** The client library's codes in words. */
const REASONS: Readonly<Record<string, string>> = {
  [ErrorCode.Timeout]: "no answer in time",
  [ErrorCode.NoResponders]: "JetStream, or the stream, is not there",
  [ErrorCode.ConnectionClosed]: "not connected",
  [ErrorCode.ConnectionDraining]: "the service is stopping",
  [ErrorCode.Disconnect]: "not connected",
  [ErrorCode.PermissionsViolation]: "its user lacks a permission, see docs/security.md",
  [ErrorCode.AuthorizationViolation]: "the server refuses the user, its password, the token or the credentials",
  [ErrorCode.AuthenticationExpired]: "the user's credentials have expired",
  [ErrorCode.AccountExpired]: "the account's credentials have expired",
};

export function reasonOfCode(code: string): string {
  return REASONS[code] ?? code;
}

/** Why a request to NATS failed, in words: the client library's message is only a code. */
export function natsReason(error: unknown): string {
  if (!(error instanceof NatsError)) return messageOf(error);
  const { api_error: answer, permissionContext: refused } = error;
  if (refused !== undefined) return `${permissionText(refused)}, see docs/security.md`;
  return answer?.description ?? REASONS[error.code] ?? "the request failed";
}

/**
 * JSAccountResourcesExceeded, JSInsufficientResources (the server's limits), JSMemoryResourcesExceeded, JSStorageResourcesExceeded, and
 * JSStreamStoreFailed (the stream's limits) in errors.json of nats-server 2.9.10 and 2.15.
 */
const FULL: ReadonlySet<number> = new Set([10002, 10023, 10028, 10047, 10077]);
/** JSStreamStoreFailed, too, while the server stops or resets the stream. */
const CLOSED = "store is closed";

/** The server, the account or the stream has no room. */
export function isStoreFull(error: unknown): boolean {
  if (!(error instanceof NatsError) || error.api_error === undefined) return false;
  return FULL.has(error.api_error.err_code ?? 0) && error.api_error.description !== CLOSED;
}

/** @returns NATS_UNREACHABLE for a request that the server did not answer or refused; any other error unchanged */
export function unreachableOr(error: unknown): unknown {
  if (!(error instanceof NatsError)) return error;
  const answer = error.api_error;
  if (isStoreFull(error))
    return new AppError("STORE_FULL", `JetStream has no room left (${natsReason(error)})`, { retryable: true, cause: error });
  let why = `NATS does not answer (${natsReason(error)})`;
  if (isStreamMissing(error)) why = "a stream or the registry bucket is missing";
  else if (answer !== undefined) why = `JetStream refused the request (${answer.description})`;
  return new AppError("NATS_UNREACHABLE", why, { retryable: true, cause: error });
}

/** Null when the server answers "not found". */
export async function unlessNotFound<T>(reading: Promise<T>): Promise<T | null> {
  try {
    return await reading;
  } catch (error) {
    if (isNotFound(error)) return null;
    throw error;
  }
}

export function isNotFound(error: unknown): boolean {
  return error instanceof NatsError && error.api_error?.code === 404;
}

/** The server's code for every failed deletion; only the text says why. */
const MESSAGE_DELETE_FAILED = 10057;

/** The message to delete does not exist any more, for which servers from 2.9 to 2.15 have no code of its own. */
export function isDeletedAlready(error: unknown): boolean {
  if (isNotFound(error)) return true;
  if (!(error instanceof NatsError) || error.api_error?.err_code !== MESSAGE_DELETE_FAILED) return false;
  return error.api_error.description === "no message found";
}
