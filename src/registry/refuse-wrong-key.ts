/** Tells a missing or wrong POSTHORN_ENCRYPTION_KEY, with which nothing can be delivered, from single records that are damaged. */
import { AppError } from "../model/app-error.ts";
import type { InvalidRecord } from "./store.ts";

const MAX_SHOWN = 10;

/**
 * @param decrypted keys of records with a value that was decrypted, of whichever revision is in force
 * @throws AppError SECRET_UNREADABLE when there are encrypted records, and the newest value of none of them can be decrypted
 */
export function refuseWrongKey(invalid: readonly InvalidRecord[], decrypted: Iterable<string>): void {
  const locked = invalid.filter(({ isSecret }) => isSecret);
  const outdated = new Set(locked.map(({ key }) => key));
  if (locked.length === 0 || [...decrypted].some((key) => !outdated.has(key))) return;
  const shown = locked.slice(0, MAX_SHOWN).map(({ problem }) => `  ${problem}`);
  if (locked.length > MAX_SHOWN) shown.push(`  and ${locked.length - MAX_SHOWN} more`);
  throw new AppError("SECRET_UNREADABLE", `Posthorn can't start without these secrets:\n${shown.join("\n")}`);
}
