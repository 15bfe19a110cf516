/** Fuzzing: a few cases of every property in `npm test`, and very many in `npm run fuzz`, which sets FUZZ_CASES. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";

const CASES = Number(process.env["FUZZ_CASES"] ?? 200);

/** @param share of the cases, for properties whose cases take longer. */
export function cases(share = 1): { readonly numRuns: number } {
  return { numRuns: Math.max(1, Math.round(CASES * share)) };
}

/** JSON text with names that objects have of themselves, numbers that are not safe, and depth. */
export const hostileJson: fc.Arbitrary<string> = fc
  .json({ maxDepth: 6 })
  .chain((text) =>
    fc.oneof(
      { weight: 4, arbitrary: fc.constant(text) },
      { weight: 1, arbitrary: fc.constantFrom("__proto__", "constructor", "prototype", "toString").map((name) => `{"${name}":${text}}`) },
      { weight: 1, arbitrary: fc.constantFrom("1e999", "12345678901234567890", "-0", "1.0", '"\\ud800"', '"\\u0000"') },
      { weight: 1, arbitrary: fc.nat({ max: 200 }).map((depth) => `${"[".repeat(depth)}${text}${"]".repeat(depth)}`) },
    ),
  );

/** Text, with a few characters of it changed, cut out or doubled. */
export function mutated(original: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const change = fc.tuple(
    fc.nat(),
    fc.oneof(fc.constant(""), fc.string({ maxLength: 3 }), fc.constantFrom('"', "\\", "{", "]", ",", "\u0000")),
  );
  return fc.tuple(original, fc.array(change, { maxLength: 4 })).map(([text, changes]) =>
    changes.reduce((current, [where, by]) => {
      const at = current.length === 0 ? 0 : where % current.length;
      return current.slice(0, at) + by + current.slice(at + 1);
    }, text),
  );
}

/** What is on the heap when all that can go has gone. */
export function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}

/** Nothing was added to what every object has. */
export function nothingIsPolluted(): boolean {
  return Object.keys(Object.prototype).length === 0 && ({} as Record<string, unknown>)["polluted"] === undefined;
}
