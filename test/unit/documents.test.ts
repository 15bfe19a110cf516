/** What the documents promise is there. */
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { SETTINGS } from "../../src/config/settings.ts";
import { STATUS_EVENT_TYPES } from "../../src/model/status-event.ts";
import { busNames } from "../../src/subscribers/names.ts";
import { covers } from "../../src/subscribers/topology.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (file: string): string => readFileSync(join(root, file), "utf8");

describe("asyncapi.yaml", () => {
  const document = parse(read("asyncapi.yaml")) as {
    asyncapi: string;
    channels: Record<string, { address: string; parameters: Record<string, { enum?: string[] }> }>;
    components: {
      messages: Record<string, { payload: { allOf?: Array<{ properties?: { type: { const?: string; enum?: string[] } } }> } }>;
    };
  };

  test("has the channels of the code's subjects", () => {
    const { subjects, streams } = busNames("app-platform");
    const pattern = (address: string): string => address.replace(/\{[A-Za-z]+\}/g, "*");
    expect(Object.values(document.channels).map(({ address }) => pattern(address))).toEqual([
      ...subjects.events,
      ...[...subjects.status].reverse(),
    ]);
    expect(read("asyncapi.yaml")).toContain(streams.status);
    for (const { address } of Object.values(document.channels))
      expect([...subjects.events, ...subjects.status].some((subject) => covers(subject, pattern(address)))).toBe(true);
  });

  test("has every status event's type", () => {
    const types = Object.values(document.components.messages).flatMap(({ payload }) =>
      (payload.allOf ?? []).flatMap(({ properties }) => properties?.type.enum ?? properties?.type.const ?? []),
    );
    expect(types.sort()).toEqual([...STATUS_EVENT_TYPES].sort());
  });
});

test("docker-compose.yml has what the demo needs, and a backend for traces under a profile", () => {
  const { services } = parse(read("docker-compose.yml")) as { services: Record<string, { profiles?: string[] }> };
  expect(Object.keys(services)).toEqual(["posthorn", "nats", "redis", "jaeger"]);
  expect(services["jaeger"]?.profiles).toEqual(["observability"]);
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
  expect(image).toMatch(/^USER node$/m);
  expect(image).toMatch(/UV_THREADPOOL_SIZE=32/);
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

test("every link between documents leads somewhere", () => {
  const files = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    ...globSync("docs/**/*.md", { cwd: root }),
    "examples/README.md",
  ];
  expect(files.length).toBeGreaterThan(15);
  const broken = files.flatMap((file) =>
    [...read(file).matchAll(/\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)/g)]
      .filter(([, target]) => !existsSync(join(root, dirname(file), target ?? "")))
      .map(([link]) => `${file}: ${link}`),
  );
  expect(broken).toEqual([]);
});

test("every command that a document names is a script of the package", () => {
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  const named = ["README.md", "CONTRIBUTING.md", ...globSync("docs/**/*.md", { cwd: root })].flatMap((file) =>
    [...read(file).matchAll(/npm run ([a-z:]+)/g)].map(([, script]) => script ?? ""),
  );
  expect(named.filter((script) => !(script in scripts))).toEqual([]);
});
