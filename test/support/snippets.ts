/** The programs that a document shows in TypeScript, Python and Go, run as a reader would: in a project of their own. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { clientPython, findGo, GO_CLIENT, PYTHON_CLIENT } from "../../scripts/client-toolchains.mjs";
import { ROOT } from "../../scripts/set-up.mjs";
import { noteChild } from "./servers.ts";

export const LANGUAGES = ["ts", "python", "go"] as const;
export type Language = (typeof LANGUAGES)[number];

export interface Snippet {
  readonly language: Language;
  readonly text: string;
}

/** In the order of the document. */
export function snippetsOf(file: string): Snippet[] {
  const text = readFileSync(join(ROOT, file), "utf8");
  return [...text.matchAll(/^```(ts|python|go)\n(.*?)^```$/gms)].map(([, language, code = ""]) => ({
    language: language as Language,
    text: code,
  }));
}

export function isMissing(language: Language): boolean {
  return (language === "python" && clientPython() === null) || (language === "go" && findGo() === null);
}

export interface Program {
  readonly said: () => string;
  /** Null while it runs. */
  readonly exitCode: () => number | null;
  stop(): Promise<void>;
}

export interface SnippetRunner {
  /** @param replace what stands in the document → what it is here. */
  run(snippet: Snippet, replace: ReadonlyArray<readonly [string, string]>, environment?: Record<string, string>): Promise<Program>;
  stop(): Promise<void>;
}

export function createSnippetRunner(): SnippetRunner {
  mkdirSync(join(ROOT, ".local"), { recursive: true });
  // Within the package, so that posthorn/client is found as in a project that has it installed.
  const folder = mkdtempSync(join(ROOT, ".local", "snippets-"));
  const programs: Program[] = [];
  let count = 0;

  const commandOf = async ({ language, text }: Snippet): Promise<[string, ...string[]]> => {
    const own = join(folder, String(++count));
    mkdirSync(own);
    if (language === "ts") {
      writeFileSync(join(own, "snippet.ts"), text);
      return [process.execPath, join(own, "snippet.ts")];
    }
    if (language === "python") {
      writeFileSync(join(own, "snippet.py"), text);
      const [, port] = /^# port (\d+)$/m.exec(text) ?? [];
      const python = clientPython() ?? "python3";
      return port === undefined
        ? [python, join(own, "snippet.py")]
        : [python, "-m", "uvicorn", "--app-dir", own, "--port", port, "--no-access-log", "snippet:app"];
    }
    writeFileSync(join(own, "main.go"), text);
    const required = readFileSync(join(GO_CLIENT, "go.mod"), "utf8").replace(/^module .*$/m, "module snippet");
    writeFileSync(join(own, "go.mod"), `${required}\nrequire posthorn v0.0.0\n\nreplace posthorn => ${GO_CLIENT}\n`);
    copyFileSync(join(GO_CLIENT, "go.sum"), join(own, "go.sum"));
    const env = { ...process.env, GOFLAGS: `${process.env["GOFLAGS"] ?? ""} -mod=mod`.trim() };
    await promisify(execFile)(findGo() ?? "go", ["build", "-o", "snippet", "."], { cwd: own, env });
    return [join(own, "snippet")];
  };

  return {
    async run(snippet, replace, environment = {}) {
      const text = replace.reduce((changed, [from, to]) => changed.replaceAll(from, to), snippet.text);
      const [command, ...args] = await commandOf({ ...snippet, text });
      const env = { ...process.env, PYTHONPATH: join(PYTHON_CLIENT, "src"), PYTHONDONTWRITEBYTECODE: "1", ...environment };
      const child: ChildProcess = spawn(command, args, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
      noteChild(child);
      let said = "";
      const keep = (chunk: Buffer): void => {
        said += chunk.toString();
      };
      for (const stream of [child.stdout, child.stderr]) stream?.on("data", keep);
      const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
      const program: Program = {
        said: () => said,
        exitCode: () => child.exitCode,
        async stop() {
          child.kill("SIGTERM");
          await closed;
        },
      };
      programs.push(program);
      return program;
    },
    async stop() {
      await Promise.all(programs.map((program) => program.stop()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
