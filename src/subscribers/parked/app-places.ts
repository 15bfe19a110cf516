/** The places of each app for attempts of what waits for it. */
export interface AppPlaces {
  /** Resolves when the app has a place for one more; it is taken then. */
  enter(app: string): Promise<void>;
  leave(app: string): void;
}

interface Places {
  taken: number;
  /** In the order of their calls. */
  readonly waiting: Array<() => void>;
}

/** @param limitOf at least 1 */
export function createAppPlaces(limitOf: (app: string) => number): AppPlaces {
  const apps = new Map<string, Places>();
  return {
    async enter(app) {
      let places = apps.get(app);
      if (places === undefined) {
        places = { taken: 0, waiting: [] };
        apps.set(app, places);
      }
      if (places.taken < limitOf(app)) {
        places.taken++;
        return;
      }
      const { waiting } = places;
      await new Promise<void>((resolve) => waiting.push(resolve));
    },
    leave(app) {
      const places = apps.get(app);
      if (places === undefined) return;
      places.taken--;
      for (let next = places.waiting[0]; next !== undefined && places.taken < limitOf(app); next = places.waiting[0]) {
        places.waiting.shift();
        places.taken++;
        next();
      }
      if (places.taken === 0) apps.delete(app);
    },
  };
}
