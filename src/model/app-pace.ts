/** The limit that an app's attempts are at now, over all replicas: its own rate limit, or the pace that its receiver takes. */
export interface AppPace {
  readonly because: "rate_limit" | "pace";
  /** Attempts a second; null: only the number at once is limited. */
  readonly perS: number | null;
  /** Attempts at once; null: no limit but that of the app is known. */
  readonly atOnce: number | null;
}

/** An app's attempts on one replica; null members: no limit was learned. */
export interface ReplicaPace extends Pick<AppPace, "perS" | "atOnce"> {
  /** Attempts wait for their turn now. Without it, no rate holds anything up. */
  readonly isWaiting: boolean;
}

/** @param replicas those that have anything to say of the app */
export function appPace(rateLimitPerS: number | null, replicas: readonly ReplicaPace[]): AppPace | null {
  const isWaiting = replicas.some((replica) => replica.isWaiting);
  const perS = isWaiting ? sumOf(replicas.map((replica) => replica.perS)) : null;
  if (isWaiting && rateLimitPerS !== null && (perS === null || rateLimitPerS <= perS))
    return { because: "rate_limit", perS: rateLimitPerS, atOnce: null };
  const atOnce = sumOf(replicas.map((replica) => replica.atOnce));
  return perS === null && atOnce === null ? null : { because: "pace", perS, atOnce };
}

function sumOf(values: ReadonlyArray<number | null>): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0);
}

/** `the app's rate limit of 20 a second` */
export function paceText({ because, perS, atOnce }: AppPace): string {
  if (because === "rate_limit") return `the app's rate limit of ${rateText(perS ?? 0)} a second`;
  const pace = perS === null ? `${atOnce} at once` : `about ${rateText(perS)} a second`;
  return `the pace that the app's receiver takes (${pace}, by its 429 answers)`;
}

function rateText(perS: number): string {
  return String(perS < 10 ? Math.round(perS * 10) / 10 : Math.round(perS));
}
