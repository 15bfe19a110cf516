/** Reads the options of a benchmark, such as `--rounds 3 --fan-out 1,10`. */
import { parseArgs } from "node:util";

type Value = number | string | boolean | readonly number[];

type Read<V extends Value> = V extends number ? number : V extends string ? string : V extends boolean ? boolean : number[];

/**
 * Ends the process with the usage when an option is unknown, or a number is not above 0.
 * @param bench `order` of `npm run bench:order` @param defaults also say what each option is @param least of numbers that need more
 */
export function readOptions<const D extends Readonly<Record<string, Value>>>(
  bench: string,
  defaults: D,
  least: { readonly [N in keyof D]?: number } = {},
): { [N in keyof D]: Read<D[N]> } {
  const names = Object.keys(defaults);
  const isFlag = (name: string): boolean => typeof defaults[name] === "boolean";
  const isRight = (name: string, number: number): boolean => number >= (least[name] ?? 0) && number > 0;
  const read = (name: string, text: string | boolean | undefined): Value => {
    const given = defaults[name] ?? "";
    if (text === undefined || typeof text === "boolean") return text ?? given;
    if (typeof given === "string") return text;
    const numbers = text.split(",").map(Number);
    if (!numbers.every((number) => isRight(name, number)) || (typeof given === "number" && numbers.length > 1))
      throw new Error(
        `--${name}: found ${text}, wanted ${typeof given === "number" ? "a number" : "numbers"}, ${least[name] ?? "above 0"}${least[name] === undefined ? "" : " or more"}`,
      );
    return typeof given === "number" ? (numbers[0] ?? given) : numbers;
  };
  const usage = names.map((name) => (isFlag(name) ? `[--${name}]` : `[--${name} ${String(defaults[name]) || "…"}]`));
  return orUsage(`npm run bench:${bench} -- ${usage.join(" ")}`, () => {
    const options = Object.fromEntries(names.map((name) => [name, { type: isFlag(name) ? "boolean" : "string" } as const]));
    const { values } = parseArgs({ options });
    return Object.fromEntries(names.map((name) => [name, read(name, values[name] as string | boolean | undefined)])) as {
      [N in keyof D]: Read<D[N]>;
    };
  });
}

/** Ends the process with the problem and the usage when the options can't be read. */
export function orUsage<T>(usage: string, readAll: () => T): T {
  try {
    return readAll();
  } catch (error) {
    console.error(`${(error as Error).message}\nusage: ${usage}`);
    process.exit(64);
  }
}
