/** What the health rule needs from storage. */
import type { CountedAs } from "../model/outcome.ts";

/** One installation's counters of one UTC day. */
export type HealthDay = { readonly day: string } & Readonly<Record<CountedAs, number>>;

export interface HealthStore {
  /** The given UTC days (YYYY-MM-DD), in the order asked for; a day without attempts is all zero. */
  read(installationUuid: string, days: readonly string[]): Promise<HealthDay[]>;
  /** Removes all counters of the installation. */
  clear(installationUuid: string): Promise<void>;
}
