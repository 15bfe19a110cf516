/** Writes the generated references into docs/; test/unit/generated-docs.test.ts fails when one is not current. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { generatedDocs } from "./generated-docs.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
mkdirSync(join(root, "docs"), { recursive: true });
for (const [file, text] of Object.entries(generatedDocs())) {
  writeFileSync(join(root, file), text);
  console.log(`wrote ${file}`);
}
