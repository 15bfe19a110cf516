/** The apps whose own queue grows or empties slowly although nothing holds it back: since when its oldest delivery waits, and for what. */

import { type App, isOrdered } from "../model/app.ts";
import type { AppPace } from "../model/app-pace.ts";

export interface WaitingApp {
  /** Milliseconds since the epoch: when the oldest delivery was parked first. */
  readonly since: number;
  readonly because: AppPace["because"] | "ordered" | "max_in_flight";
  readonly perS: number | null;
  readonly atOnce: number | null;
}

export interface WaitingDependencies {
  /** The throttle or the circuit holds the app back, which shows already. */
  readonly isHeldBack: (app: string) => boolean;
  readonly paceOf: (app: string) => AppPace | null;
  readonly maxInFlightOf: (app: string) => number;
  readonly oldestInAppQueue: (app: App) => Promise<OldestParked | null>;
  /** A queue can't be read. */
  readonly onUnknown: (error: unknown) => void;
}

export interface OldestParked {
  readonly storedAt: number;
  readonly delivery: { readonly firstParkedAt: number | null };
  readonly dueAt: number | null;
  /** A dead letter has stopped its order key. */
  readonly isStopped: boolean;
}

/** A shorter wait is a burst. */
const SHORTEST_MS = 10_000;
/** Apps whose queues are looked at: those with the most deliveries. */
const MOST_APPS = 100;

/** @param parked app → deliveries in its own queue @returns null for an app of which it is not known */
export async function waitingOf(
  apps: readonly App[],
  parked: ReadonlyMap<string, number>,
  nowMs: number,
  { isHeldBack, paceOf, maxInFlightOf, oldestInAppQueue, onUnknown }: WaitingDependencies,
): Promise<ReadonlyMap<string, WaitingApp | null>> {
  const candidates = apps
    .filter(({ slug }) => (parked.get(slug) ?? 0) > 0 && !isHeldBack(slug))
    .toSorted((a, b) => (parked.get(b.slug) ?? 0) - (parked.get(a.slug) ?? 0))
    .slice(0, MOST_APPS);
  const waiting = new Map<string, WaitingApp | null>();
  const look = async (app: App): Promise<void> => {
    const oldest = await oldestInAppQueue(app);
    // One that waits for its retry, or behind a dead letter, says nothing of the others.
    if (oldest === null || oldest.dueAt !== null || oldest.isStopped) return;
    const since = oldest.delivery.firstParkedAt ?? oldest.storedAt;
    if (nowMs - since >= SHORTEST_MS) waiting.set(app.slug, { since, ...reasonOf(app) });
  };
  await Promise.all(
    candidates.map((app) =>
      look(app).catch((error: unknown) => {
        waiting.set(app.slug, null);
        onUnknown(error);
      }),
    ),
  );
  return waiting;

  function reasonOf(app: App): Pick<WaitingApp, "because" | "perS" | "atOnce"> {
    const pace = paceOf(app.slug);
    if (pace !== null) return pace;
    return isOrdered(app)
      ? { because: "ordered", perS: null, atOnce: null }
      : { because: "max_in_flight", perS: null, atOnce: maxInFlightOf(app.slug) };
  }
}
