/** One HTTP route: what Fastify registers and what /openapi.json describes come from the same value. */
import type { IncomingHttpHeaders } from "node:http";
import type { z } from "zod";

/** What a caller's token covers. */
export type Scope = "admin" | "read";

/** Who may call: nobody is asked, a read token or an admin token, an admin token. */
export type Access = "open" | "read" | "admin";

export interface Answer {
  readonly status: number;
  /** A string or a stream is sent as it is (with the content-type given), anything else as JSON; undefined: no body. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer that has a body of its own; every other one is a problem, or has none. */
export interface AnswerForm {
  readonly about: string;
  readonly body: z.ZodType;
  /** application/json when not given. */
  readonly contentType?: string;
}

export interface Call<P, Q, B> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly headers: IncomingHttpHeaders;
  /** Set when an app's own token calls: nothing of another app may be shown or done. A `:slug` is checked already. */
  readonly onlyApp: string | null;
  readonly scope: Scope;
}

export interface Route {
  readonly method: "GET" | "PUT" | "PATCH" | "POST" | "DELETE";
  /** Fastify's form: `/v1/apps/:slug`. */
  readonly url: string;
  readonly access: Access;
  /** An app's own token may be used too, for what belongs to the app. */
  readonly forApp?: boolean;
  readonly summary: string;
  readonly params?: z.ZodType;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  /** Media type → its schema, for what is taken beside application/json. */
  readonly otherBodies?: Readonly<Record<string, z.ZodType>>;
  /** The body is handed on as the text it came as. */
  readonly rawBody?: boolean;
  /** The body is checked by its schema and handed on as it came: a merge patch tells null from absent. Takes its media type, too. */
  readonly rawPatch?: boolean;
  /** The call is about a record: its answers carry an ETag, and If-Match and If-None-Match make it conditional. */
  readonly record?: boolean;
  /** Status code → what it means; the first is the one of success. */
  readonly answers: Readonly<Record<number, string | AnswerForm>>;
  /** Of the request's body. */
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

/** Of a call that stores something in a stream. */
export const NOT_STORED = "its stream has not stored it within 5 s; the call can be made again";

/** An answer with a body of this form. */
export function answer(about: string, body: z.ZodType, contentType?: string): AnswerForm {
  return { about, body, ...(contentType === undefined ? {} : { contentType }) };
}

/** An answer whose JSON text is there already. */
export function jsonText(body: string): Answer {
  return { status: 200, body, headers: { "content-type": "application/json; charset=utf-8" } };
}

/** Ties the handler's types to the schemas. */
export function route<P extends z.ZodType = z.ZodUndefined, Q extends z.ZodType = z.ZodUndefined, B extends z.ZodType = z.ZodUndefined>(
  definition: RouteDefinition<P, Q, B>,
): Route {
  return definition as unknown as Route;
}
