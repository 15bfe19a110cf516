/** What the documents promise is there. */
import { existsSync, globSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { SETTINGS } from "../../src/config/settings.ts";
import { covers, createSubjects } from "../../src/jetstream/subjects.ts";
import { STATUS_EVENT_TYPES } from "../../src/model/status-event.ts";
import { readSources } from "../support/source-files.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (file: string): string => readFileSync(join(root, file), "utf8");

describe("asyncapi.yaml", () => {
  const document = parse(read("asyncapi.yaml")) as {
    asyncapi: string;
    channels: Record<
      string,
      { address: string; parameters: Record<string, { enum?: string[] }>; messages: Record<string, { $ref: string }> }
    >;
    components: { messages: Record<string, { name?: string; payload: { $ref?: string } }> };
  };

  test("has the channels of the code's subjects", () => {
    const { filters: subjects, streams } = createSubjects("app-platform");
    const pattern = (address: string): string => address.replace(/\{[A-Za-z]+\}/g, "*");
    expect(Object.values(document.channels).map(({ address }) => pattern(address))).toEqual([
      ...subjects.events,
      ...[...subjects.status].reverse(),
    ]);
    expect(read("asyncapi.yaml")).toContain(streams.status);
    for (const { address } of Object.values(document.channels))
      expect([...subjects.events, ...subjects.status].some((subject) => covers(subject, pattern(address)))).toBe(true);
  });

  test("has every status event as its schema describes it", () => {
    const messages = Object.values(document.components.messages).filter(({ name }) => name !== undefined);
    expect(messages.map(({ name }) => name).sort()).toEqual([...STATUS_EVENT_TYPES].sort());
    for (const { name, payload } of messages) {
      expect(payload.$ref).toBe(`./schemas/${name}.json`);
      const schema = JSON.parse(read(payload.$ref ?? "")) as { properties: { type: { const: string } } };
      expect(schema.properties.type.const).toBe(name);
    }
  });

  test("and its schemas are in the package", () => {
    const { files } = JSON.parse(read("package.json")) as { files: string[] };
    expect(files).toEqual(expect.arrayContaining(["schemas", "asyncapi.yaml"]));
    const { resolve } = createRequire(import.meta.url);
    for (const name of ["asyncapi.yaml", ...STATUS_EVENT_TYPES.map((type) => `schemas/${type}.json`)])
      expect(resolve(`posthorn/${name}`)).toBe(join(root, name));
  });

  test("has every status event in the channel of its subject", () => {
    const found = Object.values(document.channels).flatMap(({ parameters, messages }) =>
      Object.values(messages).flatMap(({ $ref }) => {
        const { name } = document.components.messages[$ref.split("/").at(-1) ?? ""] ?? {};
        const [subject = "", change = ""] = name?.split(".") ?? [];
        return parameters["subject"]?.enum?.includes(subject) && parameters["change"]?.enum?.includes(change) ? [name] : [];
      }),
    );
    expect(found.sort()).toEqual([...STATUS_EVENT_TYPES].sort());
  });
});

describe("docker-compose.yml", () => {
  const { services } = parse(read("docker-compose.yml")) as {
    services: Record<string, { profiles?: string[]; volumes?: string[] }>;
  };

  test("has what the demo needs, and backends for traces and metrics under a profile", () => {
    const of = (profiles: string[] | undefined): string[] =>
      Object.keys(services).filter((name) => JSON.stringify(services[name]?.profiles) === JSON.stringify(profiles));
    expect(of(undefined)).toEqual(["posthorn", "nats", "redis"]);
    expect(of(["observability"])).toEqual(["jaeger", "prometheus", "grafana"]);
    expect(of(["demo"])).toEqual(["receiver"]);
  });

  test("mounts only what is there", () => {
    const mounted = Object.values(services).flatMap(({ volumes = [] }) => volumes.filter((volume) => volume.startsWith("./")));
    expect(mounted).toHaveLength(4);
    for (const volume of mounted) expect(existsSync(join(root, volume.split(":")[0] ?? ""))).toBe(true);
  });
});

test("docs/dependencies.md has every production dependency, and no other", () => {
  const { dependencies } = JSON.parse(read("package.json")) as { dependencies: Record<string, string> };
  const rows = [...read("docs/dependencies.md").matchAll(/^\| `([^`]+)` \| (\S.*) \| (\S.*) \|$/gm)].map(([, name]) => name);
  expect(rows.sort()).toEqual(Object.keys(dependencies).sort());
  expect(Object.values(dependencies).filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
});

test("the container is as hard as docs/security.md says", () => {
  const [, block = ""] = /```yaml\n(.*?)```/s.exec(read("docs/security.md")) ?? [];
  const { services } = parse(read("docker-compose.yml")) as { services: { posthorn: Record<string, unknown> } };
  expect(services.posthorn).toMatchObject(parse(block) as object);
  const image =
    read("Dockerfile")
      .split(/^FROM /m)
      .at(-1) ?? "";
  expect(image).toMatch(/^USER 1000:1000$/m);
});

test("every limit that docs/security.md names has that default", () => {
  const section = read("docs/security.md").split("## Limits")[1]?.split("\n## ")[0] ?? "";
  const named = [...section.matchAll(/^\| .* \| (.*) \| (.*) \|$/gm)].flatMap(([, limits = "", settings = ""]) =>
    [...settings.matchAll(/`POSTHORN_([A-Z_]+)`/g)].map(([, name = ""]) => ({ name, limits: limits.replaceAll(" ", "") })),
  );
  expect(named.length).toBeGreaterThan(10);
  const defaultOf = (name: string): string =>
    (SETTINGS as Readonly<Record<string, { default?: string }>>)[name]?.default ?? "no such setting";
  expect(named.filter(({ name, limits }) => !limits.includes(defaultOf(name)))).toEqual([]);
});

const documents = [
  ...["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"],
  ...globSync("{docs,examples,observability,clients}/**/*.md", { cwd: root }),
];

/** As GitHub names headings. */
const headingsOf = (file: string): string[] =>
  [
    ...read(file)
      .replace(/^```.*?^```/gms, "")
      .matchAll(/^#+ (.*)$/gm),
  ].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .replace(/[^\p{L}\p{N}_\- ]/gu, "")
      .replaceAll(" ", "-"),
  );

test("every link between documents leads to a file that is there, and to a heading in it", () => {
  expect(documents.length).toBeGreaterThan(15);
  const broken = documents.flatMap((file) =>
    [...read(file).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)]
      .filter(([, target = "", heading]) => {
        const path = target === "" ? file : join(dirname(file), target);
        if (!existsSync(join(root, path))) return true;
        return heading !== undefined && path.endsWith(".md") && !headingsOf(path).includes(heading);
      })
      .map(([link]) => `${file}: ${link}`),
  );
  expect(broken).toEqual([]);
});

/** A path from the root of the repository, in prose or in code; not the end of a longer one. */
const PATHS = /(?<![\w./@-])(?:\.ci|bench|clients|deploy|docs|examples|observability|schemas|scripts|src|test)\/[\w./-]*\w/g;

test("every file and folder that a document or a comment names is there", () => {
  const texts = [
    ...documents.filter((file) => file !== "CHANGELOG.md").map((file) => ({ file, text: read(file).replace(/\]\([^)]*\)/g, "]") })),
    ...readSources().flatMap(({ file, comments }) => comments.map(({ text }) => ({ file: `src/${file}`, text }))),
  ];
  const named = texts.flatMap(({ file, text }) => [...text.matchAll(PATHS)].map(([path]) => ({ file, path })));
  expect(named.length).toBeGreaterThan(100);
  expect(named.filter(({ path }) => !existsSync(join(root, path))).map(({ file, path }) => `${file}: ${path}`)).toEqual([]);
});

test("decisions are numbered without gaps, and each has its status and its date", () => {
  const files = globSync("docs/adr/*.md", { cwd: root }).sort();
  expect(files.length).toBeGreaterThan(20);
  for (const [at, file] of files.entries()) {
    expect(file).toMatch(new RegExp(`/${String(at + 1).padStart(4, "0")}-[a-z0-9-]+\\.md$`));
    const [title, , status] = read(file).split("\n");
    expect([file, title]).toEqual([file, expect.stringMatching(new RegExp(`^# ${at + 1}\\. \\S`))]);
    expect([file, status]).toEqual([file, expect.stringMatching(/^Status: (accepted|superseded|rejected)\b.* · \d{4}-\d\d-\d\d/)]);
  }
});

test("docs/README.md leads to every document", () => {
  const index = read("docs/README.md");
  const missing = globSync("docs/*.md", { cwd: root })
    .map((file) => file.replace("docs/", ""))
    .filter((file) => file !== "README.md" && !index.includes(`](${file})`));
  expect(missing).toEqual([]);
});

test("every command that a document names is a script of the package", () => {
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  const named = ["README.md", "CONTRIBUTING.md", ...globSync("docs/**/*.md", { cwd: root })].flatMap((file) =>
    [...read(file).matchAll(/npm run ([a-z:]+)/g)].map(([, script]) => script ?? ""),
  );
  expect(named.filter((script) => !(script in scripts))).toEqual([]);
});

describe("no document puts a secret on a command line, where every process list shows it", () => {
  const SECRET_ARGUMENTS = [
    /--(?:token|secret|password|passwd|pass|requirepass|masterauth)(?:[ =]|$)/,
    /\bredis-cli\b.*\s(?:-a|--user)\s/,
    /\bnats\b.*\s--(?:user|password|nkey)\b/,
    /\bcurl\b.*(?:\s(?:-u|--user|--oauth2-bearer)\s|-H\s*["']?authorization:)/i,
    // After an assignment it is in the environment.
    /(?<!^\s*(?:export )?\w+=)\b[a-z]+:\/\/[^\s/:@'"]*:[^\s/@'"]+@/,
    /\b(?:admin|read):(?!%s)[^\s"'<$*%]{3,}/,
  ];
  const findings = (lines: readonly string[]): string[] => lines.filter((line) => SECRET_ARGUMENTS.some((form) => form.test(line)));

  const shellLines = (file: string): string[] =>
    [...read(file).matchAll(/^ *```(?:sh|bash|console)\n([\s\S]*?)^ *```/gm)].flatMap(([, block = ""]) =>
      block
        .replace(/\\\n\s*/g, "")
        .split("\n")
        .filter((line) => !line.trim().startsWith("#")),
    );

  test.each([
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    ...globSync("{docs,examples,observability,bench,clients}/**/*.md", { cwd: root }),
  ])("%s", (file) => {
    expect(findings(shellLines(file))).toEqual([]);
  });

  test("compose, the image, the unit and the manifests", () => {
    const { services } = parse(read("docker-compose.yml")) as {
      services: Record<string, { command?: string[]; healthcheck?: { test?: string[] } }>;
    };
    const commands = Object.values(services).flatMap(({ command = [], healthcheck }) => [
      command.join(" "),
      healthcheck?.test?.join(" ") ?? "",
    ]);
    const lines = ["Dockerfile", "deploy/systemd/posthorn.service", ...globSync("deploy/kubernetes/*.yaml", { cwd: root })].flatMap(
      (file) =>
        read(file)
          .split("\n")
          .filter((line) => /CMD|ENTRYPOINT|^RUN|^Exec|command:|args:|kubectl/.test(line)),
    );
    expect(findings([...commands, ...lines])).toEqual([]);
  });

  test.each([
    "npx posthorn apps list --token abc",
    'npx posthorn apps add x --secret "$SECRET"',
    "redis-cli -h redis -a hunter2 ping",
    "nats --user posthorn --password hunter2 stream ls",
    'curl -H "Authorization: Bearer $TOKEN" localhost',
    "curl -u user:password localhost",
    "redis-server --requirepass hunter2",
    "nats-server -js nats://user:hunter2@127.0.0.1",
  ])("and would be found: %s", (line) => {
    expect(findings([line])).toEqual([line]);
  });
});
