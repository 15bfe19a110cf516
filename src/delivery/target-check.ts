/**
 * What can be told of a webhook's URL when it is saved: what the guard says of it, and of the addresses that its name has
 * now. That is for the person who saves it; a name that can't be resolved now, or not in time, passes, since the sender
 * looks again at every connect.
 */
import { lookup as dnsLookup } from "node:dns";
import type { LookupFunction } from "node:net";
import type { AddressGuard } from "./address-guard.ts";
import { BlockedAddressError, createGuardedLookup } from "./connector.ts";

export interface TargetCheckOptions {
  /** Names are the proxy's to look up. */
  readonly hasProxy: boolean;
  /** The system's unless given. */
  readonly lookup?: LookupFunction;
}

const LOOK_UP_WITHIN_MS = 2_000;

/** @returns why the URL can't be a webhook's, or null */
export function createTargetCheck(guard: AddressGuard, options: TargetCheckOptions): (url: string) => Promise<string | null> {
  const lookup = createGuardedLookup(guard, options.lookup ?? (dnsLookup as LookupFunction));
  return async (url) => {
    const refused = guard.refusesUrl(url);
    if (refused !== null || options.hasProxy) return refused;
    const { hostname } = new URL(url);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(null), LOOK_UP_WITHIN_MS);
      lookup(hostname.replace(/^\[(.*)\]$/, "$1"), { all: true }, (error) => {
        clearTimeout(timer);
        resolve(error instanceof BlockedAddressError ? error.message : null);
      });
    });
  };
}
