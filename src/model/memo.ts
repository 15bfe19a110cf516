/**
 * Keeps the results of a pure function of a text: those of the last `size` different texts at least, and of twice as many at most. A
 * single map that is emptied when it is full would compute everything again whenever there is one text more than it holds.
 */
export function memoize<T extends object | string>(size: number, compute: (text: string) => T): (text: string) => T {
  let young = new Map<string, T>();
  let old = new Map<string, T>();

  return (text) => {
    const known = young.get(text);
    if (known !== undefined) return known;
    const value = old.get(text) ?? compute(text);
    if (young.size >= size) {
      old = young;
      young = new Map();
    }
    young.set(text, value);
    return value;
  };
}
