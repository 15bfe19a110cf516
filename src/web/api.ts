/** Calls of the API. Addresses are relative to the page, so that it works behind any path. */
import { type FieldProblem, fieldProblem } from "./problem-text.ts";

/** An answer other than 2xx, or no answer (status 0). */
export class ApiError extends Error {
  readonly status: number;
  /** One for each member of the body that is wrong. */
  readonly problems: readonly FieldProblem[];
  constructor(status: number, message: string, problems: readonly FieldProblem[] = []) {
    super(message);
    this.status = status;
    this.problems = problems;
  }
}

const TOKEN = "posthorn-token";

export const token = {
  get: (): string | null => sessionStorage.getItem(TOKEN),
  set: (value: string): void => sessionStorage.setItem(TOKEN, value),
  clear: (): void => sessionStorage.removeItem(TOKEN),
};

interface CallOptions {
  readonly method?: "GET" | "PUT" | "PATCH" | "POST" | "DELETE";
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** The raw 2xx answer. @throws ApiError */
export async function request(path: string, { method = "GET", body, headers = {}, signal }: CallOptions = {}): Promise<Response> {
  const bearer = token.get();
  let response: Response;
  try {
    response = await fetch(new URL(path, document.baseURI), {
      method,
      cache: "no-store",
      headers: {
        ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "Posthorn does not answer");
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

/** @throws ApiError */
export async function call<T>(path: string, options?: CallOptions): Promise<T> {
  const response = await request(path, options);
  return (await response.json()) as T;
}

/** Builds `path?name=value&…` from the values that are given. */
export function withQuery(path: string, query: Readonly<Record<string, string | number | null | undefined>>): string {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}

async function errorOf(response: Response): Promise<ApiError> {
  try {
    const { detail, errors } = (await response.json()) as { detail?: unknown; errors?: readonly FieldProblem[] };
    if (typeof detail === "string" && detail !== "") return new ApiError(response.status, detail, errors?.map(fieldProblem));
  } catch {
    // A page of a proxy.
  }
  return new ApiError(response.status, `answered with status ${response.status}`);
}
