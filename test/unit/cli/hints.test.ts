/** Commands that messages, comments and documents name exist, with the options that they name. */
import { globSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { findCommand, optionsOf } from "../../../src/cli/command-line.ts";
import { COMMANDS } from "../../../src/cli/commands.ts";

/** The words of the name, and the options up to the end of the line or of what quotes it. */
const NAMED = /(?<![\w/.-])posthorn ((?:[a-z][a-z-]+)(?: [a-z][a-z-]+)?)((?: +(?:--)?[^\s`"']+| '[^']*')*)/g;
/** They follow the product's name where it is no command: of Python, of systemctl, and of prose. */
const NO_COMMANDS: ReadonlySet<string> = new Set(["import", "nats-server", "on"]);
const FIRST_WORDS = new Set(COMMANDS.map(({ name }) => name.split(" ")[0]));

function commandsIn(text: string): Array<{ name: string; options: string[] }> {
  return [...text.matchAll(NAMED)].map(([, name = "", rest = ""]) => ({
    name,
    options: [...rest.replace(/\s[|&;>]\s.*/, "").matchAll(/ --([a-z][a-z-]*)/g)].map(([, option = ""]) => option),
  }));
}

const FILES = globSync(
  ["src/**/*.{ts,html}", "docs/**/*.md", "README.md", "scripts/**/*.{ts,mjs}", "examples/**/*.{md,ts,json,yaml}", "observability/**/*"],
  {
    exclude: ["**/*.generated.ts"],
  },
).filter((file) => /\.\w+$/.test(file));

test("every command and option that is named exists", () => {
  const wrong: string[] = [];
  let named = 0;
  for (const file of FILES) {
    for (const { name, options } of commandsIn(readFileSync(file, "utf8"))) {
      const [first = ""] = name.split(" ");
      if (NO_COMMANDS.has(first)) continue;
      if (!FIRST_WORDS.has(first)) {
        wrong.push(`${file}: posthorn ${name}`);
        continue;
      }
      named++;
      try {
        const known = optionsOf(findCommand(COMMANDS, name.split(" ")).command);
        for (const option of options) if (!Object.hasOwn(known, option)) wrong.push(`${file}: posthorn ${name} --${option}`);
      } catch (error) {
        wrong.push(`${file}: ${String(error)}`);
      }
    }
  }
  expect(wrong).toEqual([]);
  expect(named).toBeGreaterThan(100);
});
