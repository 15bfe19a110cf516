/** Writes the generated references; test/unit/generated-docs.test.ts fails when one is not current. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { generatedDocs } from "./generated-docs.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
for (const [file, text] of Object.entries(generatedDocs())) {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
  console.log(`wrote ${file}`);
}
