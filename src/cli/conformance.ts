/** posthorn conformance: tests a webhook sender, Posthorn or another, against Standard Webhooks and hostile receivers. */
import { resolve } from "node:path";
import { createApiClient } from "../client/create-api-client.ts";
import { parseDuration, parseUrl } from "../config/values.ts";
import type { CheckReport } from "../conformance/run-checks.ts";
import type { Sender } from "../conformance/sender.ts";
import { messageOf } from "../model/app-error.ts";
import { command, list, value } from "./command.ts";
import { EXIT, UsageError } from "./exit-codes.ts";
import type { Output } from "./output.ts";
import type { Style } from "./table.ts";
import { port } from "./values.ts";

const STYLES: Readonly<Record<CheckReport["result"], Style>> = { pass: "green", fail: "red", skipped: "yellow" };
const ANY_ADDRESS: readonly string[] = ["0.0.0.0", "::"];

/** `127.0.0.1:3000`, `[::1]:0` */
function hostAndPort(text: string): { readonly host: string; readonly port: number } {
  const [, ipv6, host = ipv6, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text) ?? [];
  if (host === undefined || digits === undefined) throw new Error("wanted an address and a port such as 127.0.0.1:3000 or [::1]:3000");
  return { host, port: port(digits) };
}

export const conformanceCommand = command({
  name: "conformance",
  summary: "Tests a webhook sender: Standard Webhooks, retries, limits, faults, and private addresses.",
  usesApi: false,
  options: {
    sender: value("file", "The sender's adapter: a module that exports register, send and optionally remove."),
    posthorn: value("url", "A Posthorn as the sender, instead of --sender.", parseUrl(["http", "https"])),
    token: value("token", "An admin token of that Posthorn; better in POSTHORN_TOKEN."),
    listen: value("host:port", "The receiver's address; 127.0.0.1 and a free port by default.", hostAndPort),
    "public-url": value(
      "url",
      "The receiver's URL, where the sender reaches it at another one than --listen.",
      parseUrl(["http", "https"]),
    ),
    "retry-within": value(
      "duration",
      "The longest wait for an event's first attempt, and between two attempts; 30s by default.",
      parseDuration,
    ),
    deadline: value("duration", "The sender's longest request timeout; 30s by default.", parseDuration),
    "private-name": list("host", "A name that leads to a private address, and has to be refused."),
  },
  details:
    "It registers endpoints with the sender, triggers events, and removes the endpoints. The exit code is 1 if a check failed. docs/conformance.md has the checks, and how to write an adapter.",
  examples: [
    "conformance --sender ./my-sender.mjs",
    "conformance --sender ./my-sender.mjs --listen 0.0.0.0:3000 --public-url https://hooks.example.com --json",
    "conformance --posthorn http://127.0.0.1:8080 --listen 127.0.0.8:0",
  ],
  async run({ output, options, config, signal }) {
    const { listen = { host: "127.0.0.1", port: 0 }, "public-url": publicUrl, token } = options;
    if (ANY_ADDRESS.includes(listen.host) && publicUrl === undefined)
      throw new UsageError(`--listen: ${listen.host} is no address that a sender can reach; --public-url is missing`);
    if ((options.sender === undefined) === (options.posthorn === undefined))
      throw new UsageError(`conformance: wanted either --sender or --posthorn, found ${options.sender === undefined ? "neither" : "both"}`);
    const { runChecks } = await import("../conformance/run-checks.ts");
    const sender =
      options.sender === undefined
        ? await posthornAt(options.posthorn ?? "", token ?? config().token ?? undefined)
        : await moduleAt(options.sender);
    const progress = output.progress("checks");
    const { reports, left } = await runChecks(sender, {
      ...listen,
      publicUrl,
      signal,
      retryWithinMs: options["retry-within"] ?? 30_000,
      deadlineMs: options.deadline ?? 30_000,
      privateNames: options["private-name"],
      onProgress: progress.at,
    }).finally(progress.end);
    for (const endpoint of left) output.note(`Not removed from the sender: ${endpoint}`);
    show(output, reports);
    return reports.some(({ result }) => result === "fail") ? EXIT.failed : EXIT.ok;
  },
});

async function posthornAt(url: string, token: string | undefined): Promise<Sender> {
  const { createPosthornSender } = await import("../conformance/posthorn-sender.ts");
  return createPosthornSender(createApiClient({ url, token }));
}

async function moduleAt(path: string): Promise<Sender> {
  const { loadSender } = await import("../conformance/sender.ts");
  return loadSender(resolve(path)).catch((error: unknown) => {
    throw new UsageError(`--sender: ${path}: ${messageOf(error)}`);
  });
}

function show(output: Output, reports: readonly CheckReport[]): void {
  output.table(
    [
      { title: "CHECK", cell: ({ check }) => check },
      { title: "RESULT", cell: ({ result }) => result, style: ({ result }) => STYLES[result] },
      { title: "OBSERVED", cell: ({ observed }) => observed, isDetail: true },
    ],
    reports,
    "No checks.",
  );
  if (output.json) return;
  const failed = reports.filter(({ result }) => result === "fail");
  for (const { check, expected, source } of failed)
    output.line(`\n${output.paint("bold", check)}: ${expected}\n  ${output.paint("dim", source)}`);
  const passed = reports.filter(({ result }) => result === "pass");
  output.line(`\n${passed.length} passed, ${failed.length} failed, ${reports.length - passed.length - failed.length} skipped`);
}
