/** Calls the HTTP API: `client.call("GET /v1/apps/{slug}", { path: { slug } })`, with types from the OpenAPI document. */
import { AppError, ERROR_CODES, type ErrorCode, messageOf } from "../model/app-error.ts";
import type { Calls } from "./api-types.generated.ts";

export type Call = keyof Calls;

/** A member that is optional if it has no required members itself. */
type Given<Name extends string, T> = undefined extends T
  ? { readonly [N in Name]?: T }
  : object extends T
    ? { readonly [N in Name]?: T }
    : { readonly [N in Name]: T };

export type CallInput<C extends Call> = Given<"path", Calls[C]["path"]> &
  Given<"query", Calls[C]["query"]> &
  Given<"body", Calls[C]["body"]> & {
    /** `If-Match`, `If-None-Match`, `traceparent`, … */
    readonly headers?: Readonly<Record<string, string>>;
    readonly signal?: AbortSignal;
  };

type InputArgument<C extends Call> = object extends CallInput<C> ? [input?: CallInput<C>] : [input: CallInput<C>];

export interface ApiResult<C extends Call> {
  readonly status: number;
  readonly body: Calls[C]["answer"];
  /** Tag of a record, for `If-Match`: the change fails if the record has changed since. */
  readonly etag: string | null;
}

/** Calls that return a page of a list. */
export type PagedCall = {
  [C in Call]: Calls[C]["answer"] extends { readonly items: ReadonlyArray<unknown>; readonly next: unknown } ? C : never;
}[Call];

type Item<C extends PagedCall> = Calls[C]["answer"] extends { readonly items: ReadonlyArray<infer T> } ? T : never;

/** RFC 9457. */
export interface ApiProblem {
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code?: string;
  readonly errors?: ReadonlyArray<{ readonly path: string; readonly message: string }>;
}

/** The service refused the call or did not answer. `code` is the problem's, or API_UNREACHABLE, or API_REFUSED. */
export class ApiError extends AppError {
  /** Null if there was no answer. */
  readonly problem: ApiProblem | null;

  constructor(code: ErrorCode, message: string, problem: ApiProblem | null, cause?: unknown) {
    super(code, message, { retryable: problem === null || problem.status >= 500 || problem.status === 429, cause });
    this.name = "ApiError";
    this.problem = problem;
  }
}

export interface ApiClient {
  /** @throws ApiError */
  call<C extends Call>(call: C, ...input: InputArgument<C>): Promise<ApiResult<C>>;
  /** Iterates over a whole list, page by page. @throws ApiError */
  items<C extends PagedCall>(call: C, ...input: InputArgument<C>): AsyncGenerator<Item<C>, void, undefined>;
}

export interface ApiClientOptions {
  /** `http://127.0.0.1:8080`; a path prefix is kept. */
  readonly url: string;
  readonly token?: string | undefined;
  /** Deadline of a call. */
  readonly timeoutMs?: number;
  /** Reads JSON text; JSON.parse when not given. */
  readonly parse?: (text: string) => unknown;
}

interface AnyInput {
  readonly path?: Readonly<Record<string, unknown>> | undefined;
  readonly query?: Readonly<Record<string, unknown>> | undefined;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

const DEFAULT_TIMEOUT_MS = 30_000;

export function createApiClient({
  url,
  token,
  timeoutMs = DEFAULT_TIMEOUT_MS,
  parse = JSON.parse as (text: string) => unknown,
}: ApiClientOptions): ApiClient {
  const send = async (call: string, input: AnyInput): Promise<ApiResult<Call>> => {
    const [method = "", template = ""] = call.split(" ");
    const timeout = AbortSignal.timeout(timeoutMs);
    let response: Response;
    let text: string;
    try {
      response = await fetch(addressOf(url, template, input), {
        method,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(input.body === undefined ? {} : { "content-type": "application/json" }),
          ...input.headers,
        },
        ...(input.body === undefined ? {} : { body: typeof input.body === "string" ? input.body : JSON.stringify(input.body) }),
        redirect: "error",
        signal: input.signal === undefined ? timeout : AbortSignal.any([input.signal, timeout]),
      });
      text = await response.text();
    } catch (error) {
      if (input.signal?.aborted) throw error;
      throw new ApiError("API_UNREACHABLE", `no answer from ${url} (${reasonOf(error)})`, null, error);
    }
    const body = bodyOf(response, text, parse);
    if (!response.ok || body === NOT_OURS) throw refusal(call, response, body);
    return { status: response.status, body: body as ApiResult<Call>["body"], etag: response.headers.get("etag") };
  };

  return {
    call: ((call: Call, input: AnyInput = {}) => send(call, input)) as ApiClient["call"],
    items: async function* (call: PagedCall, input: AnyInput = {}) {
      let cursor: unknown;
      do {
        const { body } = await send(call, { ...input, query: { ...input.query, ...(cursor === undefined ? {} : { cursor }) } });
        const page = body as { readonly items: readonly unknown[]; readonly next: unknown };
        yield* page.items;
        cursor = page.next;
      } while (cursor !== null);
    } as ApiClient["items"],
  };
}

function addressOf(base: string, template: string, { path = {}, query = {} }: AnyInput): URL {
  const filled = template.replace(/\{([a-z_]+)\}/g, (_, name: string) => encodeURIComponent(String(path[name])));
  const address = new URL(base.replace(/\/+$/, "") + filled);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null) address.searchParams.set(name, String(value));
  }
  return address;
}

/** A body that Posthorn never sends: another server answered. */
const NOT_OURS = Symbol("not Posthorn's");

function bodyOf({ headers }: Response, text: string, parse: (text: string) => unknown): unknown {
  const type = headers.get("content-type") ?? "";
  if (text === "") return undefined;
  if (/^text\/(?:plain|markdown)\b/.test(type)) return text;
  if (!/^application\/(?:problem\+)?json\b/.test(type)) return NOT_OURS;
  try {
    return parse(text);
  } catch {
    return NOT_OURS;
  }
}

function refusal(call: string, { status, statusText }: Response, body: unknown): ApiError {
  const problem = body as Partial<ApiProblem> | undefined;
  if (typeof problem?.detail !== "string") {
    const detail = `${call} got ${status} and no answer of Posthorn: check the URL`;
    const found = { title: statusText, status, detail };
    return new ApiError("API_REFUSED", found.detail, found);
  }
  const code = problem.code !== undefined && problem.code in ERROR_CODES ? (problem.code as ErrorCode) : "API_REFUSED";
  return new ApiError(code, problem.detail, { title: "", ...problem, status, detail: problem.detail });
}

/** fetch hides the reason in its error's cause. */
function reasonOf(error: unknown): string {
  const { cause } = error as { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? messageOf(error);
}
