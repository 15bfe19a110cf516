/** Defines an HTTP route: Fastify registers it and /openapi.json describes it from the same value. */
import type { IncomingHttpHeaders } from "node:http";
import type { z } from "zod";
import type { TokenScope } from "../../model/token-scope.ts";

/** Scope of a caller's token. */
export type Scope = "admin" | "read";

export interface Caller {
  /** For the audit log: the name of the token. */
  readonly name: string;
  readonly scope: Scope;
  /** Actions on the data that the token covers. */
  readonly may: readonly TokenScope[];
  /** The app of an app token: the answer may not cover other apps. A `:slug` or `:uuid` is already checked. Null for other tokens. */
  readonly onlyApp: string | null;
  /** The organization of an organization token, likewise. */
  readonly onlyOrganization: string | null;
  /** Milliseconds since the epoch; null: the token does not expire. */
  readonly expiresAt: number | null;
}

/** `open`: no token required; `read`: a read or admin token; `admin`: an admin token. */
export type Access = "open" | "read" | "admin";

export interface Answer {
  readonly status: number;
  /** A string or stream is sent unchanged, with the given content-type; anything else as JSON; undefined: no body. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Describes an answer with a body; other answers are problems or have no body. */
export interface AnswerForm {
  readonly about: string;
  readonly body: z.ZodType;
  /** application/json by default. */
  readonly contentType?: string;
}

export interface Call<P, Q, B> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly headers: IncomingHttpHeaders;
  readonly caller: Caller;
  /** The caller's. */
  readonly onlyApp: string | null;
  readonly scope: Scope;
}

export interface Route {
  /** Verb and noun, as a generated client calls its method: `createOrReplaceApp`. */
  readonly operationId: string;
  readonly method: "GET" | "PUT" | "PATCH" | "POST" | "DELETE";
  /** Fastify's form: `/v1/apps/:slug`. */
  readonly url: string;
  readonly access: Access;
  /** Also accepts an app token of this scope, for data of its app; true: read for GET, act otherwise. */
  readonly forApp?: true | TokenScope;
  /** Also accepts an organization token of this scope, for its installations. */
  readonly forOrganization?: TokenScope;
  readonly summary: string;
  readonly params?: z.ZodType;
  readonly query?: z.ZodType;
  /** Headers that the call reads, for the document; the handler checks them. */
  readonly headers?: z.ZodType;
  readonly body?: z.ZodType;
  /** Media types besides application/json that the document describes → schema. */
  readonly otherBodies?: Readonly<Record<string, z.ZodType>>;
  /** Media types of the body; `application/json` alone when absent. */
  readonly accepts?: readonly string[];
  /** The handler gets the body as text. */
  readonly rawBody?: boolean;
  /** The body is validated, but passed on unchanged, because a merge patch distinguishes null from absent. */
  readonly rawPatch?: boolean;
  /** The call concerns one record: answers have an ETag, and If-Match and If-None-Match are supported. */
  readonly record?: boolean;
  /** Status code → meaning; the first one is the success. */
  readonly answers: Readonly<Record<number, string | AnswerForm>>;
  /** Example of the request's body. */
  readonly example?: unknown;
  readonly handle: (call: Call<never, never, never>) => Promise<Answer> | Answer;
}

interface RouteDefinition<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>
  extends Omit<Route, "params" | "query" | "body" | "handle"> {
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  readonly handle: (call: Call<z.output<P>, z.output<Q>, z.output<B>>) => Promise<Answer> | Answer;
}

/** Media types of a merge patch. */
export const PATCH_TYPES = ["application/merge-patch+json", "application/json"];

/** Meaning of 503 for calls that store a message in a stream. */
export const NOT_STORED = "the stream has not stored it within 5 s; the call can be repeated";

/** An answer with a body of this form. */
export function answer(about: string, body: z.ZodType, contentType?: string): AnswerForm {
  return { about, body, ...(contentType === undefined ? {} : { contentType }) };
}

/** An answer with JSON text. */
export function jsonText(body: string): Answer {
  return { status: 200, body, headers: { "content-type": "application/json; charset=utf-8" } };
}

/** The scope that an app's token needs; null: the call does not accept one. */
export function appScopeOf({ forApp, method }: Pick<Route, "forApp" | "method">): TokenScope | null {
  return forApp === true ? (method === "GET" ? "read" : "act") : (forApp ?? null);
}

/** Derives the handler's types from the schemas. */
export function route<P extends z.ZodType = z.ZodUndefined, Q extends z.ZodType = z.ZodUndefined, B extends z.ZodType = z.ZodUndefined>(
  definition: RouteDefinition<P, Q, B>,
): Route {
  return definition as unknown as Route;
}
