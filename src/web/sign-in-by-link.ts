/** Portal links, `#/sign-in?token=…`: the token moves from the address to this tab. */
import { token } from "./api.ts";
import { parsePlace } from "./routing.ts";

/** @returns whether the address was such a link */
export function signInByLink(): boolean {
  const { parts, query } = parsePlace(location.hash);
  const given = query["token"];
  if (parts[0] !== "sign-in" || given === undefined) return false;
  token.set(given);
  // Neither the history nor a bookmark keeps it.
  history.replaceState(null, "", "#/");
  return true;
}
