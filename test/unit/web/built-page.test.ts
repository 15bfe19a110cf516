/** The built page: small, and made of nothing but its own files. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";

const folder = fileURLToPath(new URL("../../../dist/web/", import.meta.url));
const files = globSync("**/*.*", { cwd: folder });
const read = (file: string): Buffer => readFileSync(join(folder, file));
const MAX_FIRST_LOAD_BYTES = 150 * 1024;

test("the first load, which is all there is, is at most 150 KB compressed", () => {
  expect(files).toContain("index.html");
  expect(files.filter((file) => /\.(js|css|woff2)$/.test(file)).length).toBeGreaterThanOrEqual(3);
  expect(files.reduce((bytes, file) => bytes + gzipSync(read(file), { level: 9 }).length, 0)).toBeLessThanOrEqual(MAX_FIRST_LOAD_BYTES);
});

test("the page has no inline script or style, and its addresses are relative", () => {
  const html = read("index.html").toString();
  expect(html).not.toMatch(/<style|<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=/i);
  const addresses = [...html.matchAll(/\b(?:src|href)="([^"]*)"/g)].map(([, address]) => address ?? "");
  expect(addresses.length).toBeGreaterThanOrEqual(3);
  expect(addresses.filter((address) => !/^\.\/assets\/[\w.-]+$/.test(address))).toEqual([]);
});

test("the styles load nothing from elsewhere and nothing inline", () => {
  const styles = files.filter((file) => file.endsWith(".css")).map((file) => read(file).toString());
  const loaded = styles.flatMap((style) => [...style.matchAll(/url\(([^)]*)\)/g)].map(([, address]) => address ?? ""));
  expect(loaded.length).toBeGreaterThan(0);
  expect(loaded.filter((address) => !/^\.\/[\w.-]+\.woff2$/.test(address))).toEqual([]);
});
