/** Who may import whom (DESIGN section 4), checked on the sources themselves. */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const SRC = fileURLToPath(new URL("../../src/", import.meta.url));

interface Source {
  /** From src, e.g. `delivery/admission.ts`. */
  readonly file: string;
  readonly folder: string;
  readonly text: string;
  readonly imports: ReadonlyArray<{ readonly from: string; readonly typeOnly: boolean }>;
}

const sources: Source[] = globSync("**/*.{ts,tsx}", { cwd: SRC }).map((file) => {
  const text = readFileSync(join(SRC, file), "utf8");
  const statements = [...text.matchAll(/(?:^|\n)(import|export)\s+(type\s+)?[^;]*?from\s+"([^"]+)"/g)].map((match) => ({
    from: match[3] ?? "",
    typeOnly: match[2] !== undefined,
  }));
  const dynamic = [...text.matchAll(/import\("([^"]+)"\)/g)].map((match) => ({ from: match[1] ?? "", typeOnly: false }));
  return { file, folder: file.includes("/") ? (file.split("/")[0] ?? "") : "", text, imports: [...statements, ...dynamic] };
});

/** Folder → the folders of src that its files may import from; a file's path where only that file is meant. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  app: [
    ...["model", "config", "registry", "delivery", "status", "telemetry", "storage", "jetstream", "subscribers"],
    ...["dead-letters", "explain", "overview", "api"],
  ],
  model: [],
  config: ["model"],
  registry: ["model"],
  delivery: ["model"],
  status: ["model", "delivery"],
  storage: ["model", "delivery/ports.ts", "delivery/tracing-ports.ts", "status/ports.ts"],
  telemetry: ["model", "delivery/ports.ts", "delivery/tracing-ports.ts", "status/ports.ts"],
  jetstream: ["model", "delivery", "registry", "status/ports.ts"],
  subscribers: ["model", "delivery", "registry", "jetstream"],
  "dead-letters": ["model", "delivery", "registry", "jetstream", "subscribers"],
  explain: ["model", "registry", "delivery/ports.ts", "status", "jetstream"],
  overview: ["model", "registry", "delivery/ports.ts"],
  api: ["model", "registry", "delivery/ports.ts", "status", "dead-letters", "explain", "overview"],
  web: ["model", "client/api-types.generated.ts"],
  cli: ["model", "config", "client"],
  client: ["model"],
};

/** Package → where it may be imported. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  nats: ["jetstream/", "subscribers/", "dead-letters/", "explain/", "registry/store.ts", "client/"],
  ioredis: ["storage/"],
  undici: ["delivery/http/"],
  pino: ["telemetry/"],
  fastify: ["api/http/"],
  zod: ["api/", "explain/", "overview/", "registry/", "config/", "status/status-event-schemas.ts"],
  yaml: ["registry/apps-file.ts"],
  "@opentelemetry/": ["telemetry/", "client/"],
  preact: ["web/"],
};

const targetOf = (source: Source, from: string): string => normalize(join(dirname(source.file), from));

test("a plausible number of files and imports was read", () => {
  expect(sources.length).toBeGreaterThan(60);
  expect(sources.reduce((sum, { imports }) => sum + imports.length, 0)).toBeGreaterThan(200);
});

test("folders import only what lies below them", () => {
  const wrong = sources.flatMap((source) =>
    source.folder === ""
      ? []
      : source.imports
          .filter(({ from }) => from.startsWith("."))
          .map(({ from }) => targetOf(source, from))
          .filter((target) => {
            if (target.startsWith(`${source.folder}/`)) return false;
            return !(ALLOWED[source.folder] ?? []).some((allowed) => target === allowed || target.startsWith(`${allowed}/`));
          })
          .map((target) => `${source.file} → ${target}`),
  );
  expect(wrong).toEqual([]);
});

test("every folder has its rule", () => {
  const folders = new Set(sources.map(({ folder }) => folder).filter((folder) => folder !== ""));
  expect([...folders].filter((folder) => !(folder in ALLOWED))).toEqual([]);
});

test("packages are imported only where they belong", () => {
  const wrong = sources.flatMap((source) =>
    source.imports
      .filter(({ from, typeOnly }) => {
        const [, places] =
          Object.entries(PACKAGES).find(([name]) => from === name || from.startsWith(`${name}${name.endsWith("/") ? "" : "/"}`)) ?? [];
        // The composition root names types of what it passes on.
        if (places === undefined || (source.folder === "app" && typeOnly)) return false;
        return !places.some((place) => source.file === place || (place.endsWith("/") && source.file.startsWith(place)));
      })
      .map(({ from }) => `${source.file} → ${from}`),
  );
  expect(wrong).toEqual([]);
});

test("every package that is imported has a place", () => {
  const known = (from: string): boolean =>
    from.startsWith(".") || from.startsWith("node:") || Object.keys(PACKAGES).some((name) => from.startsWith(name));
  expect(sources.flatMap(({ file, imports }) => imports.filter(({ from }) => !known(from)).map(({ from }) => `${file} → ${from}`))).toEqual(
    [],
  );
});

test("the process belongs to main.ts and the environment to config", () => {
  const using = (pattern: RegExp): string[] => sources.filter(({ text }) => pattern.test(text)).map(({ file }) => file);
  expect(using(/process\.(on|once|exit)\(/)).toEqual(["main.ts"]);
  // main.ts hands the environment on, for the standard OTEL_* settings.
  expect(using(/process\.env/).sort()).toEqual(["config/load-config.ts", "main.ts"]);
});

test("times from outside are read in one place, HTTP's dates and those of a browser's fields excepted", () => {
  const using = sources.filter(({ file, text }) => !file.startsWith("web/") && text.includes("Date.parse("));
  expect(using.map(({ file }) => file).sort()).toEqual(["delivery/retry-after.ts", "model/rfc3339.ts"]);
});

test("there are no cycles", () => {
  const graph = new Map(
    sources.map((source) => [
      source.file,
      source.imports.filter(({ from }) => from.startsWith(".")).map(({ from }) => targetOf(source, from)),
    ]),
  );
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) {
      cycles.push([...path.slice(path.indexOf(file)), file].join(" → "));
      return;
    }
    if (done.has(file)) return;
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  expect(cycles).toEqual([]);
});

test("no folder has a barrel", () => {
  expect(sources.filter(({ file }) => file.endsWith("/index.ts")).map(({ file }) => file)).toEqual([]);
});
