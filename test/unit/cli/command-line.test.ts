import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { findBinary } from "../../../scripts/servers.mjs";
import { findCommand, optionsOf, parseCommand } from "../../../src/cli/command-line.ts";
import { COMMANDS } from "../../../src/cli/commands.ts";
import { UTC } from "../../../src/cli/zone.ts";
import { runCli } from "../../support/cli.ts";

/** An example's words, as a shell would hand them over. */
function wordsOf(line: string): string[] {
  const [own = ""] = line.split(" | ");
  return [...own.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");
}

describe("a command line", () => {
  test.each<[string, RegExp]>([
    ["pubish issue.created", /no such command "pubish", did you mean publish\?/],
    ["apps ad x", /apps: no such command "ad", did you mean add\?; it has list, get, add/],
    ["nothing-like-it-at-all", /no such command "nothing-like-it-at-all"; see posthorn help/],
    ["apps --nope", /no such option --nope\n/],
    ["requests acme --erors", /no such option --erors, did you mean --errors\?/],
    ["requests", /requests: <app> is missing/],
    ["apps get one two", /apps get: unexpected argument "two"/],
    ["requests acme --limit many", /--limit: found "many", wanted a whole number/],
    ["replays create --rate 20", /--rate: found "20", wanted a number a second such as 20\/s/],
    ["apps --url http://x.example --context prod", /--url, --context: found both, wanted at most one/],
    ["context add", /context add: <name> is missing/],
    ["context add prod", /context add: --url is missing/],
    ["context add a/b --url http://x.example", /found "a\/b", wanted letters, digits/],
    ["context add prod --url ftp://x.example", /--url: found "ftp:\/\/x.example", wanted a URL such as http:/],
    ["requests acme --limit 0", /--limit: found "0", wanted 1 or more/],
    ["requests acme --since yesterday", /--since: found "yesterday", wanted a duration such as 2h, or a time/],
    ["requests acme --since", /option --since argument missing/],
    ["requests acme --errors=yes", /option --errors does not take an argument/],
    ["apps add x --status public", /--status: found "public", wanted one of internal, unpublished, published/],
    ["apps add x --webhook https://x.example --header nothing", /--header: found "nothing", wanted <name>: <value>/],
    ["apps set x --rate-limit 20", /--rate-limit: found "20", wanted a number a second such as 20\/s, or a minute such as 600\/m; or none/],
    ["apps set x --rate-limit none --burst 5", /--burst: wanted with a --rate-limit other than none/],
    ["apps set x", /apps set: nothing to change was given/],
    ["apps set x --ordered --unordered", /--ordered, --unordered, --order-by: found more than one of them, wanted at most one/],
    ["publish issue.created --data {}", /publish: --organization is missing/],
    ["publish issue.created --organization 42 --data {", /--data: not valid JSON \(.*\), wanted an object/],
    ["publish issue.created --organization 42 --data []", /--data: found an array, wanted an object/],
    [
      "publish issue.created --organization 42 --data @nowhere.json",
      /--data: can't read "nowhere.json" \(ENOENT.*\), wanted a file with a JSON object/,
    ],
    ["apps test x --data [1]", /--data: found an array, wanted an object/],
    ["listen --port 65536", /--port: found "65536", wanted a port up to 65535/],
    ["replay", /replay: wanted numbers, delivery ids, --app, --installation, --type, --since, --until or --all/],
    ["replay 7 --app x", /wanted numbers and delivery ids, or options, not both/],
    ["replay 7 eight", /found "eight", wanted the number of a dead letter/],
    ["listen --hang --reset", /--hang, --reset: found both, wanted at most one/],
    ["listen --status 99", /--status: found "99", wanted a status from 200 to 599/],
    ["completion tcsh", /completion: found "tcsh", wanted one of bash, zsh, fish/],
  ])("%s says what is wrong", async (line, message) => {
    const { code, out, err } = await runCli(line.split(" "));
    expect([code, out]).toEqual([64, ""]);
    expect(err).toMatch(message);
  });

  test("without a command prints the help, and its exit code says that nothing runs", async () => {
    const { code, out, err } = await runCli([]);
    expect([code, err]).toEqual([64, ""]);
    expect(out).toBe((await runCli(["help"])).out);
    expect((await runCli(["serve"])).code).toBe(0);
  });

  test("asks for the version and for help", async () => {
    expect((await runCli(["--version"])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
    for (const words of [["--help"], ["-h"], ["help"]]) expect((await runCli(words)).out).toMatch(/usage: posthorn <command>/);
    expect((await runCli(["help", "apps"])).out).toMatch(/posthorn apps list[\s\S]*posthorn apps rotate-secret <slug>/);
    expect((await runCli(["help", "nothing"])).code).toBe(64);
  });

  test("finds no service and says where it looked, and what to do", async () => {
    const { code, err } = await runCli(["apps"], { environment: { POSTHORN_URL: "http://127.0.0.1:1" } });
    expect(code).toBe(69);
    expect(err).toMatch(/no answer from http:\/\/127\.0\.0\.1:1 \(.+\)\nIs Posthorn running there\?/);
  });
});

describe.each(COMMANDS.map((command) => [command.name, command] as const))("posthorn %s", (name, command) => {
  test("has help with every option and an example that it understands", async () => {
    const { out } = await runCli([...name.split(" "), "--help"]);
    expect(out).toContain(command.summary);
    for (const option of Object.keys(optionsOf(command))) expect(out).toContain(`--${option}`);
    expect(command.examples.length).toBeGreaterThan(0);
    for (const example of command.examples) {
      const found = findCommand(COMMANDS, wordsOf(example));
      expect(found.command.name).toBe(name);
      expect(parseCommand(found.command, found.rest, { local: UTC, now: 0 }).values["help"]).not.toBe(true);
    }
  });
});

describe("completion", () => {
  const complete = async (line: string): Promise<string[]> => {
    const { out } = await runCli(["completion", "bash"]);
    const words = line.split(" ");
    const quoted = words.map((word) => `'${word}'`).join(" ");
    const script = `${out}\nCOMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _posthorn; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return spawnSync("bash", ["-c", script], { encoding: "utf8" }).stdout.trim().split("\n");
  };

  test.each<[string, string[]]>([
    ["posthorn re", ["requests", "replay", "replays", "re-encrypt"]],
    ["posthorn apps r", ["rotate-secret", "retry-now"]],
    ["posthorn apps token acme --t", ["--ttl", "--token"]],
    ["posthorn apps set acme --un", ["--unordered"]],
    ["posthorn apps add acme --status p", ["published"]],
    ["posthorn status --type circuit.o", ["circuit.opened"]],
    ["posthorn completion f", ["fish"]],
    ["posthorn requests acme --err", ["--errors"]],
  ])("of %s in bash", async (line, wanted) => {
    expect(await complete(line)).toEqual(wanted);
  });

  test.each(["zsh", "fish"])("is a script that %s can read", async (shell) => {
    const { out } = await runCli(["completion", shell]);
    expect(out).toContain("rotate-secret");
    const binary = findBinary(shell);
    if (binary !== null) expect(spawnSync(binary, ["-n"], { input: out, encoding: "utf8" }).stderr).toBe("");
  });
});
