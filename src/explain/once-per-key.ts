/** Remembers answers for the time of one call, which asks the same for many deliveries. */
export function oncePerKey<A, T>(keyOf: (asked: A) => string, ask: (asked: A) => Promise<T>): (asked: A) => Promise<T> {
  const answers = new Map<string, Promise<T>>();
  return (asked) => {
    const key = keyOf(asked);
    const known = answers.get(key) ?? ask(asked);
    answers.set(key, known);
    return known;
  };
}
