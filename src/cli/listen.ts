/**
 * posthorn listen: a local receiver for developing an app, and for trying out failures. It verifies and prints each webhook,
 * and answers as its options say.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { verifyWebhook } from "../client/verify-webhook.ts";
import { parseDuration, parseInteger } from "../config/values.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import { createServer } from "../model/node-http.ts";
import { command, flag, list, value } from "./command.ts";
import { CommandFailed, UsageError } from "./exit-codes.ts";
import { oneLine } from "./one-line.ts";
import type { Output } from "./output.ts";
import { header, parseExactly, port, positive } from "./values.ts";

const MAX_BODY_BYTES = 16 * 1024 * 1024;

function status(text: string): number {
  const code = parseInteger(text);
  if (code < 200 || code > 599) throw new Error("wanted a status from 200 to 599");
  return code;
}

/** The answer to a request. */
interface Answer {
  readonly status: number;
  readonly delayMs: number;
  readonly way: "answer" | "hang" | "reset";
}

type Signature = "right" | "not checked" | { readonly wrong: string };

export const listenCommand = command({
  name: "listen",
  summary: "Receives webhooks on this machine, verifies and prints them, and can simulate failures.",
  usesApi: false,
  options: {
    port: value("number", "The port; 3000 by default, 0 for a free one.", port),
    host: value("address", "The address; 127.0.0.1 by default."),
    secret: list("secret", "The app's client secret, or whsec_…; better in POSTHORN_CLIENT_SECRET. Without a secret, nothing is verified."),
    "header-prefix": value("prefix", "The service's POSTHORN_HEADER_PREFIX; Sentry-Hook by default."),
    status: value("code", "Answers with this status; 200 by default.", status),
    body: value("text", "Answers with this body."),
    header: list("header", "Adds this header to the answer, e.g. 'Retry-After: 30'.", header),
    delay: value("duration", "Waits before answering, e.g. 2s.", parseDuration),
    hang: flag("Never answers."),
    reset: flag("Resets the connection instead of answering."),
    every: value("number", "Applies the above to every Nth request; all others get 200 immediately.", positive),
    count: value("number", "Ends after this many requests.", positive),
    quiet: flag("Prints one line per request, without its data."),
  },
  details:
    "Posthorn delivers to this machine only if POSTHORN_TARGET_ALLOW contains 127.0.0.0/8. A request with a wrong signature gets 401.",
  examples: ["listen", "listen --status 503 --every 3", "listen --delay 20s", "listen --status 429 --header 'Retry-After: 30'"],
  async run({ output, options, config, signal }) {
    const { port: wantedPort = 3000, host = "127.0.0.1", every = 1, count, "header-prefix": headerPrefix } = options;
    if (options.hang && options.reset) throw new UsageError("--hang, --reset: found both, wanted at most one");
    const { clientSecret } = config();
    const secrets = options.secret.length > 0 ? options.secret : clientSecret === null ? [] : [clientSecret];
    const configured: Answer = {
      status: options.status ?? 200,
      delayMs: options.delay ?? 0,
      way: options.hang ? "hang" : options.reset ? "reset" : "answer",
    };
    const ended = Promise.withResolvers<void>();
    let requests = 0;

    const receive = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      const body = await bodyOf(request);
      requests++;
      const signature = verify(body, request, secrets, headerPrefix);
      const answer =
        typeof signature === "object"
          ? { status: 401, delayMs: 0, way: "answer" as const }
          : requests % every === 0
            ? configured
            : { status: 200, delayMs: 0, way: "answer" as const };
      show(output, { request, body, signature, answer, quiet: options.quiet });
      if (answer.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, answer.delayMs));
      if (answer.way === "reset") request.socket.resetAndDestroy();
      else if (answer.way === "answer") response.writeHead(answer.status, Object.fromEntries(options.header)).end(options.body ?? "");
      if (requests === count) response.writableEnded ? response.once("close", ended.resolve) : ended.resolve();
    };
    const server = createServer((request, response) => {
      receive(request, response).catch((error: unknown) => {
        output.note(messageOf(error));
        response.destroy();
      });
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error: NodeJS.ErrnoException) =>
        reject(new CommandFailed(error.code === "EADDRINUSE" ? `port ${wantedPort} is in use; --port selects another` : error.message)),
      );
      server.listen(wantedPort, host, resolve);
    });
    const { port: listening } = server.address() as AddressInfo;
    output.note(
      `Listening on http://${host}:${listening}${secrets.length === 0 ? "; no secret is set, signatures are not checked" : ""}. Ctrl-C stops.`,
    );
    signal.addEventListener("abort", () => ended.resolve());
    if (!signal.aborted) await ended.promise;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  },
});

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) throw new Error(`rejected a body of more than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function verify(body: Buffer, { headers }: IncomingMessage, secret: readonly string[], headerPrefix: string | undefined): Signature {
  if (secret.length === 0) return "not checked";
  try {
    verifyWebhook({ body, headers, secret, ...(headerPrefix === undefined ? {} : { headerPrefix }) });
    return "right";
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { wrong: error.message };
  }
}

interface Received {
  readonly request: IncomingMessage;
  readonly body: Buffer;
  readonly signature: Signature;
  readonly answer: Answer;
  readonly quiet: boolean;
}

function show(output: Output, { request, body, signature, answer, quiet }: Received): void {
  const { method, url, headers } = request;
  const payload = parsed(body);
  const answered = answer.way === "answer" ? answer.status : answer.way;
  output.result(
    { received_at: new Date().toISOString(), method, url, headers, signature, answered, body: payload ?? body.toString("utf8") },
    () => {
      const prefix = Object.keys(headers).find((name) => name.endsWith("-resource")) ?? "";
      const what = payload === undefined ? "not JSON" : `${String(headers[prefix] ?? "?")}.${String(payload["action"])}`;
      const isRight = signature === "right" || signature === "not checked";
      const verification = typeof signature === "object" ? `signature wrong: ${signature.wrong}` : `signature ${signature}`;
      output.line(
        [
          output.paint("dim", output.time(new Date().toISOString()).slice("2026-01-05 ".length)),
          output.paint("bold", oneLine(what)),
          output.paint("dim", oneLine(String(headers["webhook-id"] ?? ""))),
          output.paint(isRight ? "green" : "red", oneLine(verification)),
          output.paint(answered === 200 ? "green" : "yellow", `→ ${answered}${answer.delayMs > 0 ? ` after ${answer.delayMs} ms` : ""}`),
        ].join("  "),
      );
      if (quiet) return;
      const { data, actor } = payload ?? {};
      const text = payload === undefined ? oneLine(body.toString("utf8")) : JSON.stringify({ data, actor }, null, 2);
      output.line(text.replace(/^/gm, "  "));
    },
  );
}

function parsed(body: Buffer): Record<string, unknown> | undefined {
  try {
    return parseExactly(body.toString("utf8")) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
