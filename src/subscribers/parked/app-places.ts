/** Limits the concurrent attempts of each app's parked deliveries. */
interface Places {
  taken: number;
  /** In the order of their calls. */
  readonly waiting: Array<() => void>;
}

/** @param limitOf at least 1 */
export function createAppPlaces(limitOf: (app: string) => number) {
  const apps = new Map<string, Places>();
  return {
    /** Resolves when the app has a place for one more, which is taken then. */
    async enter(app: string): Promise<void> {
      const places = apps.get(app) ?? { taken: 0, waiting: [] };
      apps.set(app, places);
      if (places.taken < limitOf(app)) places.taken++;
      else await new Promise<void>((resolve) => places.waiting.push(resolve));
    },
    leave(app: string): void {
      const places = apps.get(app);
      if (places === undefined) return;
      places.taken--;
      while (places.waiting.length > 0 && places.taken < limitOf(app)) {
        places.taken++;
        places.waiting.shift()?.();
      }
      if (places.taken === 0) apps.delete(app);
    },
  };
}
