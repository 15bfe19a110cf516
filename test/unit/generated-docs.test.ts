import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { generatedDocs } from "../../scripts/generated-docs.ts";

test.each(Object.entries(generatedDocs()))("%s is what npm run docs writes", (file, text) => {
  expect(readFileSync(new URL(`../../${file}`, import.meta.url), "utf8")).toBe(text);
});
