/**
 * The service that a command talks to. An option wins over the environment, and the environment over the current context.
 *
 * CONNECTION-1  A context's token is sent to the context's URL only.
 */
import type { Environment } from "../config/load-config.ts";
import { type ContextStore, contextNamed } from "./context-store.ts";
import { UsageError } from "./exit-codes.ts";

export interface ConnectionOptions {
  readonly url?: string | undefined;
  readonly token?: string | undefined;
  readonly context?: string | undefined;
}

export interface Connection {
  /** The variables of the environment, with the context's values where it has none. */
  readonly environment: Environment;
  /** The context that the URL is from; null: none. */
  readonly context: string | null;
}

/** @throws CommandFailed, UsageError */
export function connectionOf({ url, context: named }: ConnectionOptions, environment: Environment, store: ContextStore): Connection {
  if (url !== undefined && named !== undefined) throw new UsageError("--url, --context: found both, wanted at most one");
  const isGiven = named === undefined && (url !== undefined || environment["POSTHORN_URL"] !== undefined);
  if (isGiven) return { environment, context: null };
  const all = store.read();
  const name = named ?? all.current;
  if (name === null) return { environment, context: null };
  const found = contextNamed(all, name);
  const hasToken = environment["POSTHORN_TOKEN"] !== undefined || environment["POSTHORN_TOKEN_FILE"] !== undefined;
  const takesToken = found.token !== null && (named !== undefined || !hasToken);
  const token = takesToken ? { POSTHORN_TOKEN: found.token ?? undefined, POSTHORN_TOKEN_FILE: undefined } : {};
  return { environment: { ...environment, POSTHORN_URL: found.url, ...token }, context: name };
}
