/**
 * Checks a webhook's URL when it is saved: the URL itself, and the addresses that its name has now. This is an early answer for the
 * person who saves it. A name that can't be resolved, or not in time, passes: the sender checks again at every connect.
 */
import { isIP } from "node:net";
import type { AddressGuard } from "./address-guard.ts";
import { portOf, refusedOf, withoutBrackets } from "./connector.ts";
import type { NameResolver } from "./name-resolver.ts";

export interface TargetCheckOptions {
  /** The proxy looks names up. */
  readonly hasProxy: boolean;
}

const LOOK_UP_TIMEOUT_MS = 2_000;

/** @returns why the URL can't be a webhook's, or null */
export function createTargetCheck(
  guard: AddressGuard,
  resolver: NameResolver,
  options: TargetCheckOptions,
): (url: string) => Promise<string | null> {
  return async (text) => {
    const refused = guard.refusesUrl(text);
    if (refused !== null || options.hasProxy) return refused;
    const url = new URL(text);
    const target = { host: withoutBrackets(url.hostname), port: portOf(url) };
    if (isIP(target.host) !== 0) return null;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        leave();
        resolve(null);
      }, LOOK_UP_TIMEOUT_MS);
      const leave = resolver.resolve(target.host, (error, addresses) => {
        clearTimeout(timer);
        resolve(error === null ? (refusedOf(guard, target, addresses)?.message ?? null) : null);
      });
    });
  };
}
