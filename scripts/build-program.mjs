/**
 * dist/main.js and dist/client from src. The service starts from few files with all it imports, which takes a third of the time;
 * what other programs import leaves its packages to them. Chunks are as deep below the package's root as the modules of src
 * that look for files beside them.
 */
import { chmodSync, rmSync } from "node:fs";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { ROOT } from "./set-up.mjs";

const DIST = join(ROOT, "dist");
/** Loaded only where it is asked for: the SDK finds parts of itself by its packages. */
const LOADED_LATE = /^@opentelemetry\/(?!api$)/;
const ANY_PACKAGE = /^[^./\0]/;

/** Node keeps the sources in memory, with two bytes for each character if one of them is not of Latin-1. Names stay as they are. */
const SMALL = /** @type {const} */ ({
  charset: "ascii",
  minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
});

/** @param {string} name @param {string} path */
const partOfUndici = (name, path) => `export { default as ${name} } from ${JSON.stringify(join(ROOT, "node_modules", "undici", path))};`;
/** All that is used of undici: its index loads a megabyte of code. @type {import("rolldown").Plugin} */
const undiciParts = {
  name: "undici-parts",
  resolveId: (id) => (id === "undici" ? "\0undici" : null),
  load: (id) =>
    id === "\0undici"
      ? partOfUndici("buildConnector", "lib/core/connect.js") + partOfUndici("Dispatcher", "lib/dispatcher/dispatcher.js")
      : null,
};

/** Packages that Fastify loads only for calls that are not made here (src/api/http/server.ts). */
const UNUSED = /^(@fastify\/(ajv-compiler|fast-json-stringify-compiler)|light-my-request)$/;
/** @type {import("rolldown").Plugin} */
const unused = {
  name: "unused",
  resolveId: (id) => (UNUSED.test(id) ? "\0unused" : null),
  load: (id) => (id === "\0unused" ? "module.exports = undefined;" : null),
};

/** Comments keep their characters, whatever the charset. @type {import("rolldown").Plugin} */
const ascii = {
  name: "ascii",
  renderChunk: (code) => ({
    code: code.replace(/[^\0-\x7f]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`),
    map: null,
  }),
};

/** @param {Record<string, string>} input @param {RegExp} external @param {string} chunks the folder for what entries share */
async function bundle(input, external, chunks) {
  const sources = await rolldown({ cwd: ROOT, input, external, platform: "node", tsconfig: false, plugins: [undiciParts, unused, ascii] });
  await sources.write({ dir: DIST, format: "esm", sourcemap: true, chunkFileNames: `${chunks}/[name].js`, ...SMALL });
  await sources.close();
}

for (const name of ["chunks", "client"]) rmSync(join(DIST, name), { recursive: true, force: true });
// The tests start the service and read settings without a process for them.
await bundle(
  { main: "src/main.ts", "chunks/service": "src/app/app.ts", "chunks/settings": "src/config/load-config.ts" },
  LOADED_LATE,
  "chunks",
);
await bundle({ "client/client": "src/client/client.ts", "client/api": "src/client/api.ts" }, ANY_PACKAGE, "client");
// npm does this where it links the command; a later build is a new file behind the same link.
chmodSync(join(DIST, "main.js"), 0o755);
