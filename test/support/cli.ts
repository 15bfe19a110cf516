/** Command lines run in this process, as main.ts runs them. */
import { runCommandLine } from "../../src/cli/run.ts";

export interface CliRun {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** Standard output as one JSON value a line. */
  readonly json: any[];
}

export interface CliOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** On a terminal this wide; not on one when not given. */
  readonly columns?: number;
  readonly input?: string;
  readonly signal?: AbortSignal;
  /** Told of every piece of standard output and standard error. */
  readonly onOutput?: (text: string) => void;
}

export async function runCli(words: readonly string[], options: CliOptions = {}): Promise<CliRun> {
  const { environment = {}, columns, input = "", signal = new AbortController().signal, onOutput = () => {} } = options;
  const written = { out: "", err: "" };
  const stream = (name: "out" | "err") => ({
    write(text: string) {
      written[name] += text;
      onOutput(text);
    },
    ...(columns === undefined ? {} : { isTTY: true, columns }),
  });
  const code = await runCommandLine(words, {
    stdout: stream("out"),
    stderr: stream("err"),
    environment,
    signal,
    readInput: async () => input,
    serve: async () => 0,
    reEncrypt: async () => 0,
  });
  return {
    code,
    ...written,
    get json() {
      return written.out
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as unknown);
    },
  };
}
