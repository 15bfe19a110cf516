/** Finds out what listens at an address that doesn't answer as NATS or Redis does, to say it in an error. */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { FoundServer } from "../model/server-refusal.ts";

/** nats-server speaks first. */
const GREETS_WITHIN_MS = 500;
const ANSWERS_WITHIN_MS = 1_000;
const MOST_BYTES = 16_384;
/** A command for Redis, and a request that every HTTP server refuses. */
const QUESTION = "PING\r\n\r\n";

export async function identifyServer(host: string, port: number): Promise<FoundServer | null> {
  const text = await answerOf(connectTcp({ host, port }));
  if (text === null) return null;
  return kindOf(text) ?? ((await speaksTls(host, port)) ? { kind: "TLS" } : null);
}

/** @returns the first line; empty: nothing was answered; null: nobody listens */
function answerOf(socket: Socket): Promise<string | null> {
  return new Promise((resolve) => {
    let text = "";
    let isConnected = false;
    const end = (): void => {
      clearTimeout(asking);
      clearTimeout(ending);
      socket.destroy();
      resolve(isConnected ? text : null);
    };
    const asking = setTimeout(() => socket.write(QUESTION), GREETS_WITHIN_MS);
    const ending = setTimeout(end, GREETS_WITHIN_MS + ANSWERS_WITHIN_MS);
    socket.once("connect", () => {
      isConnected = true;
    });
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
      if (text.includes("\n") || text.length > MOST_BYTES) end();
    });
    socket.once("close", end);
    socket.on("error", () => {});
  });
}

function kindOf(text: string): FoundServer | null {
  if (/^HTTP\/\d/.test(text)) return { kind: "HTTP" };
  if (/^(?:\+PONG|-[A-Z]+ )/.test(text)) return { kind: "Redis" };
  const [, json] = /^INFO (\{.*\})/.exec(text) ?? [];
  if (json === undefined) return null;
  try {
    const info = JSON.parse(json) as Record<string, unknown>;
    if ("lnoc" in info || "leafnode_urls" in info || "gateway" in info) return { kind: "nats-internal" };
    const usesTls = info["tls_required"] === true || info["tls_available"] === true;
    return { kind: "NATS", usesTls, asksForCertificate: info["tls_verify"] === true };
  } catch {
    return null;
  }
}

function speaksTls(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    // Nothing is sent over it.
    const socket = connectTls({ host, port, rejectUnauthorized: false });
    const end = (isTls: boolean): void => {
      clearTimeout(timeout);
      socket.destroy();
      resolve(isTls);
    };
    const timeout = setTimeout(() => end(false), ANSWERS_WITHIN_MS);
    socket.once("secureConnect", () => end(true));
    // The server asks for a client certificate, or refuses the name.
    socket.once("error", ({ message }) => end(/alert/.test(message)));
    socket.once("close", () => end(false));
  });
}
