/** dist/web from src/web: the dashboard's files, with relative addresses, and its fonts' licence beside them. */
import { join } from "node:path";
import { build } from "vite";
import { ROOT } from "./set-up.mjs";

await build({
  configFile: false,
  root: join(ROOT, "src", "web"),
  base: "./",
  logLevel: "warn",
  publicDir: false,
  build: {
    outDir: join(ROOT, "dist", "web"),
    emptyOutDir: true,
    target: "es2023",
    // What is inlined the page's content security policy would refuse.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
  },
});
