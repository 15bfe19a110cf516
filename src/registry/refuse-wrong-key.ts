/** Distinguishes a missing or wrong POSTHORN_ENCRYPTION_KEY, with which nothing can be delivered, from single damaged records. */
import { AppError } from "../model/app-error.ts";
import type { InvalidRecord } from "./record-types.ts";

const MAX_SHOWN = 10;

/**
 * @param decrypted keys of records whose revision in force has a decrypted value
 * @throws AppError SECRET_UNREADABLE when there are encrypted records and none of their newest values can be decrypted
 */
export function refuseWrongKey(invalid: readonly InvalidRecord[], decrypted: Iterable<string>): void {
  const locked = invalid.filter(({ isSecret }) => isSecret);
  const outdated = new Set(locked.map(({ key }) => key));
  if (locked.length === 0 || [...decrypted].some((key) => !outdated.has(key))) return;
  const shown = locked.slice(0, MAX_SHOWN).map(({ problem }) => `  ${problem}`);
  if (locked.length > MAX_SHOWN) shown.push(`  and ${locked.length - MAX_SHOWN} more`);
  throw new AppError("SECRET_UNREADABLE", `Posthorn can't start without these secrets:\n${shown.join("\n")}`);
}
