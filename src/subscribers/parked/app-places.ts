/** The places of each app for attempts of what waits for it. */

interface Places {
  taken: number;
  /** In the order of their calls. */
  readonly waiting: Array<() => void>;
}

/**
 * Resolves when the app has a place for one more, which is taken then, to the call that gives it back; further calls of that do nothing.
 * @param limitOf at least 1
 */
export function createAppPlaces(limitOf: (app: string) => number): (app: string) => Promise<() => void> {
  const apps = new Map<string, Places>();

  const leave = (app: string, places: Places): void => {
    places.taken--;
    while (places.waiting.length > 0 && places.taken < limitOf(app)) {
      places.taken++;
      places.waiting.shift()?.();
    }
    if (places.taken === 0) apps.delete(app);
  };

  return async (app) => {
    const places = apps.get(app) ?? { taken: 0, waiting: [] };
    apps.set(app, places);
    if (places.taken < limitOf(app)) places.taken++;
    else await new Promise<void>((resolve) => places.waiting.push(resolve));
    let isTaken = true;
    return () => {
      if (isTaken) leave(app, places);
      isTaken = false;
    };
  };
}
