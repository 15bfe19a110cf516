/** Faults of Posthorn's side, which every receiver would see: they say nothing about the one that was to be reached. */
import { NameError } from "./name-resolver.ts";

/** The message is for people. */
export class SenderFault extends Error {}

/**
 * Codes of connect(2) and socket(2) for a machine that has no descriptor, memory or port for a connection, no network, or a firewall of
 * its own. ENETUNREACH is not one of them: the address may be one that no network has.
 */
const LOCAL_CODES: ReadonlySet<unknown> = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EADDRNOTAVAIL", "ENETDOWN", "EPERM"]);

/** Codes of node:dns that are about the name. All others are about the name servers, which are Posthorn's. */
const NAME_CODES: ReadonlySet<string> = new Set(["ENOTFOUND", "ENODATA", "EBADNAME"]);

export function isSenderFault(error: Error): boolean {
  if (error instanceof NameError) return !NAME_CODES.has(error.code);
  return error instanceof SenderFault || LOCAL_CODES.has((error as NodeJS.ErrnoException).code);
}
