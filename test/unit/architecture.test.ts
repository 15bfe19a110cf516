/** The rules of the house that a program can check: who may import whom, sizes, labels, references and subjects. */
import { existsSync, globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { isChecked, ROOMS } from "../support/rooms.ts";
import { lineAt, readSources, type Source } from "../support/source-files.ts";

const sources: readonly Source[] = readSources();
/** Sources of the rooms that keep all rules (test/support/rooms.ts). */
const checked = sources.filter(({ room, isGenerated }) => isChecked(room) && !isGenerated);

/**
 * The floors of the house, from the top. A folder imports from floors below its own, and from the folders of its own floor
 * that ALLOWED names. `web` and `cli` reach the service over HTTP.
 */
const FLOORS: ReadonlyArray<readonly string[]> = [
  ["app", "web", "cli"],
  ["api", "audit", "dead-letters", "replays", "explain", "overview", "conformance"],
  ["subscribers", "registry", "client"],
  ["jetstream", "storage"],
  ["status", "telemetry", "config"],
  ["delivery"],
  ["model"],
];

/** Folder → the folders of src that its files may import from; a file's path where only that file is meant. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  app: [
    ...["model", "config", "registry", "delivery", "status", "telemetry", "storage", "jetstream", "subscribers"],
    ...["audit", "dead-letters", "replays", "explain", "overview", "api"],
  ],
  model: [],
  config: ["model"],
  registry: ["model", "jetstream/nats-errors.ts", "jetstream/pipelined-publish.ts"],
  delivery: ["model"],
  status: ["model", "delivery"],
  storage: ["model", "delivery/ports.ts", "delivery/tracing-ports.ts", "status/ports.ts"],
  telemetry: ["model", "delivery/ports.ts", "delivery/tracing-ports.ts"],
  jetstream: ["model", "delivery", "status/ports.ts"],
  subscribers: ["model", "delivery", "jetstream"],
  "dead-letters": ["model", "delivery", "storage", "jetstream", "subscribers"],
  replays: ["model", "delivery", "storage", "jetstream"],
  explain: ["model", "registry", "delivery/ports.ts", "status", "storage", "jetstream"],
  overview: ["model", "registry", "jetstream"],
  audit: ["model", "jetstream"],
  api: ["model", "registry", "delivery", "status", "storage", "jetstream", "dead-letters", "replays", "explain", "overview", "audit"],
  web: ["model", "client/api-types.generated.ts", "client/app-condition.ts", "client/app-state.ts", "client/status-texts.ts"],
  cli: ["model", "config", "client", "conformance"],
  conformance: ["model/app-error.ts", "client/create-api-client.ts"],
  client: ["model", "jetstream/subjects.ts"],
};

/** Package → where it may be imported. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  nats: ["jetstream/", "subscribers/", "dead-letters/", "replays/", "explain/", "registry/", "client/"],
  ioredis: ["storage/"],
  undici: ["delivery/http/"],
  pino: ["telemetry/"],
  fastify: ["api/http/"],
  zod: [
    "api/",
    "replays/replay-record.ts",
    "replays/dead-letter-replay-record.ts",
    "explain/",
    "overview/",
    "registry/",
    "config/",
    "status/status-event-schemas.ts",
  ],
  "js-yaml": ["registry/apps-file.ts"],
  "@opentelemetry/": ["telemetry/", "client/"],
  preact: ["web/"],
};

function contains(place: string, file: string): boolean {
  return file === place || file.startsWith(`${place}/`);
}

function floorOf(file: string): number {
  return FLOORS.findIndex((folders) => folders.some((folder) => contains(folder, file)));
}

test("a plausible number of files and imports was read", () => {
  expect(sources.length).toBeGreaterThan(60);
  expect(sources.reduce((sum, { imports }) => sum + imports.length, 0)).toBeGreaterThan(200);
});

test("folders import only what lies below them", () => {
  const wrong = sources.flatMap(({ file, folder, imports }) =>
    imports
      .filter(({ from, target }) => from.startsWith(".") && folder !== "" && !contains(folder, target))
      .filter(({ target }) => !(ALLOWED[folder] ?? []).some((allowed) => contains(allowed, target)))
      .map(({ target }) => `${file} → ${target}`),
  );
  expect(wrong).toEqual([]);
});

test("nothing that a folder may import lies on a higher floor, and on its own floor only what api brings together", () => {
  const wrong = Object.entries(ALLOWED).flatMap(([folder, allowed]) =>
    allowed
      .filter((place) => floorOf(place) < floorOf(folder) || (floorOf(place) === floorOf(folder) && folder !== "api"))
      .map((place) => `${folder} → ${place}`),
  );
  expect(wrong).toEqual([]);
});

test("every folder has its rule", () => {
  const folders = new Set(sources.map(({ folder }) => folder).filter((folder) => folder !== ""));
  expect([...folders].filter((folder) => !(folder in ALLOWED) || floorOf(folder) === -1)).toEqual([]);
});

test("every folder is a room, and CONTRIBUTING says what it has", () => {
  const contributing = readFileSync(fileURLToPath(new URL("../../CONTRIBUTING.md", import.meta.url)), "utf8");
  const rooms = [...new Set(sources.map(({ room }) => room))].filter((room) => room !== "src");
  expect(rooms.filter((room) => !ROOMS.some((one) => one === room))).toEqual([]);
  expect(rooms.filter((room) => !new RegExp(`^\\|.*\\b${room}\\b.*\\|`, "m").test(contributing))).toEqual([]);
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

test("what the service loads has node:http from model/node-http.ts, so that Node doesn't load its copy of undici", () => {
  const importing = sources.filter(({ imports }) => imports.some(({ from, typeOnly }) => from === "node:http" && !typeOnly));
  // It is loaded when its command runs.
  expect(importing.map(({ file }) => file)).toEqual(["conformance/receiver.ts"]);
});

test("times from outside are read in one place, HTTP's dates and those of a browser's fields excepted", () => {
  const using = sources.filter(({ file, text }) => !file.startsWith("web/") && text.includes("Date.parse("));
  expect(using.map(({ file }) => file).sort()).toEqual(["delivery/retry-after.ts", "model/rfc3339.ts"]);
});

test("there are no cycles", () => {
  const graph = new Map(
    sources.map(({ file, imports }) => [file, imports.filter(({ from }) => from.startsWith(".")).map(({ target }) => target)]),
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

const LONGEST_FILE = 300;
const LONGEST_FUNCTION = 100;

test(`no file has more than ${LONGEST_FILE} lines`, () => {
  expect(checked.filter(({ lines }) => lines > LONGEST_FILE).map(({ file, lines }) => `${file}: ${lines}`)).toEqual([]);
});

test(`no function has more than ${LONGEST_FUNCTION} lines`, () => {
  const long = checked.flatMap(({ file, functions }) =>
    functions.filter(({ lines }) => lines > LONGEST_FUNCTION).map(({ name, line, lines }) => `${file}:${line} ${name}: ${lines}`),
  );
  expect(long).toEqual([]);
});

/** `PULL-1  A full sentence …`, at the beginning of a comment's line. */
const LABEL = /^([A-Z][A-Z0-9-]*\d+) {2}(?=\S)/gm;
const labels = sources.flatMap(({ file, room, comments }) =>
  comments.flatMap(({ text }) => [...text.matchAll(LABEL)].map(([, label = ""]) => ({ label, file, room }))),
);

test("every invariant has a label of its own", () => {
  expect(labels.length).toBeGreaterThan(60);
  const twice = labels.filter(({ label, room }) => isChecked(room) && labels.filter((other) => other.label === label).length > 1);
  expect(twice.map(({ label, file }) => `${label} in ${file}`)).toEqual([]);
});

test("the label of an invariant says what it is about", () => {
  expect(
    labels.filter(({ label, room }) => isChecked(room) && !/^[A-Z]{3,}-\d+$/.test(label)).map(({ label, file }) => `${label} in ${file}`),
  ).toEqual([]);
});

test("a comment that cites an invariant cites one that there is", () => {
  const known = new Set(labels.map(({ label }) => label));
  const prefixes = new Set([...known].map((label) => label.replace(/\d+$/, "")).filter((prefix) => prefix.endsWith("-")));
  const unknown = checked.flatMap(({ file, comments }) =>
    comments.flatMap(({ text }) =>
      [...text.matchAll(/\b([A-Z]{3,}-)\d+\b/g)]
        .filter(([label, prefix = ""]) => prefixes.has(prefix) && !known.has(label))
        .map(([label]) => `${label} in ${file}`),
    ),
  );
  expect(unknown).toEqual([]);
});

const DESIGN = fileURLToPath(new URL("../../docs/design.md", import.meta.url));

/** Of docs/design.md; until the rooms of the documents keep the rules, the sections that it is going to have. */
function designSections(): ReadonlySet<string> {
  if (existsSync(DESIGN) || isChecked("docs")) {
    return new Set([...readFileSync(DESIGN, "utf8").matchAll(/^#+ (\d+(?:\.\d+)*)\.? /gm)].map(([, section = ""]) => section));
  }
  return new Set([3, 6].flatMap((chapter) => Array.from({ length: 9 }, (_, at) => `${chapter}.${at + 1}`)));
}

test("a reference to the design leads to a section of docs/design.md", () => {
  const sections = designSections();
  const wrong = checked.flatMap(({ file, comments }) =>
    comments.flatMap(({ line, text }) => {
      const cited = [...text.matchAll(/docs\/design\.md(?: (\d+(?:\.\d+)*))?/g)].filter(([, section]) => !sections.has(section ?? ""));
      return [...cited, ...text.matchAll(/\bDESIGN\b.{0,12}/g)].map(([found]) => `${file}:${line} ${found}`);
    }),
  );
  expect(wrong).toEqual([]);
});

/** Formats and parses all subjects. */
const SUBJECTS = "jetstream/subjects.ts";
/** A subject put together from the prefix, or taken apart at its dots. */
const SUBJECT_HANDLING = /`[^`]*\$\{(?:\w+\.)*(?:subjectP|p)refix\}\.(?:[a-z-]+|\$\{)|\b\w*[sS]ubject\w*(?:"\]\))?\.split\("\."\)/g;

test("subjects are formatted and parsed in one file", () => {
  expect(sources.find(({ file }) => file === SUBJECTS)?.code).toMatch(SUBJECT_HANDLING);
  const elsewhere = checked
    .filter(({ file }) => file !== SUBJECTS)
    .flatMap(({ file, code }) =>
      [...code.matchAll(SUBJECT_HANDLING)].map(({ 0: found, index }) => `${file}:${lineAt(code, index)} ${found}`),
    );
  expect(elsewhere).toEqual([]);
});

test("tests wait for what they read from a page, unless it is not to be there", () => {
  const once =
    /expect\(await .*(?:textOf|\.(?:count|inputValue|allInnerTexts|innerText|getAttribute|isChecked|isDisabled))\(.*\)\.to(?!Be\(0\)|BeLess)/;
  const files = globSync("test/browser/*.ts");
  expect(files.length).toBeGreaterThan(5);
  const lines = files.flatMap((file) =>
    readFileSync(file, "utf8")
      .split("\n")
      .map((line) => `${file}: ${line.trim()}`),
  );
  expect(lines.filter((line) => once.test(line))).toEqual([]);
});
