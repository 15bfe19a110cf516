/** A webhook sender in miniature for the conformance kit: right as it is, and with faults that can be switched on. */
import { createHmac, generateKeyPairSync, type KeyObject, randomBytes, randomUUID, sign } from "node:crypto";
import { type IncomingMessage, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Sender } from "../../src/conformance/sender.ts";

export interface Faults {
  /** One attempt, whatever the answer. */
  readonly neverRetries?: boolean;
  /** Every answer is followed by another attempt, a fault by none, and Retry-After is ignored unless it can't be read: then there is none either. */
  readonly retriesByWrongRules?: boolean;
  readonly method?: string;
  readonly id?: "of each attempt" | "of the endpoint";
  /** Times in milliseconds, those of the first attempt ever after, and signatures without the id. */
  readonly wrongSignatures?: boolean;
  /** Short and the same for everyone. */
  readonly wrongSecret?: boolean;
  readonly changesBody?: boolean;
  readonly followsRedirects?: boolean;
  /** Neither a deadline nor a limit of what it reads. */
  readonly waitsForever?: boolean;
  /** An endpoint whose answer announced more than 50 bytes is never attempted again. */
  readonly getsStuck?: boolean;
  readonly acceptsAnyUrl?: boolean;
}

export interface SenderOptions extends Faults {
  /** The one host that webhooks may go to. */
  readonly host: string;
  /** Signs with ed25519, and with an HMAC of an older secret. */
  readonly asymmetric?: boolean;
  /** Sends a request to every URL when it is registered. */
  readonly triesUrls?: boolean;
}

const RETRY_EVERY_MS = 300;
const ATTEMPTS = 40;
const DEADLINE_MS = 5_000;
const MOST_READ_BYTES = 64 * 1024;

interface Endpoint {
  readonly url: string;
  readonly key: Buffer | KeyObject;
  isGone: boolean;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
}

export function createTestSender(options: SenderOptions): Sender & { stop(): void } {
  const endpoints = new Map<string, Endpoint>();
  const stopped = new AbortController();
  const { signal } = stopped;

  /** @returns null without a whole head, or an answer that came in time */
  const post = (url: string, body: string, headers: Record<string, string>): Promise<Answer | null> =>
    new Promise((resolve) => {
      const { method = "POST" } = options;
      const maxHeaderSize = options.waitsForever ? 2 ** 30 : 16 * 1024;
      const sent = request(url, { method, headers, agent: false, signal, maxHeaderSize }, (response) => {
        let read = 0;
        const finished = (answer: Answer | null) => {
          resolve(answer);
          if (!options.waitsForever) sent.destroy();
        };
        response.on("data", (chunk: Buffer) => {
          read += chunk.length;
          if (read > MOST_READ_BYTES && !options.waitsForever) finished({ status: response.statusCode ?? 0, headers: response.headers });
        });
        response.on("error", () => finished(options.getsStuck ? { status: 200, headers: response.headers } : null));
        response.on("end", () => finished({ status: response.statusCode ?? 0, headers: response.headers }));
      });
      sent.on("error", () => resolve(null));
      if (!options.waitsForever) setTimeout(() => sent.destroy(), DEADLINE_MS).unref();
      sent.end(body);
    });

  const signatureOf = ({ key }: Endpoint, id: string, timestamp: string, body: string): string => {
    const content = options.wrongSignatures ? `${timestamp}.${body}` : `${id}.${timestamp}.${body}`;
    if (Buffer.isBuffer(key)) return `v1,${createHmac("sha256", key).update(content).digest("base64")}`;
    const older = createHmac("sha256", "older").update(content).digest("base64");
    return `v1,${older} v1a,${sign(null, Buffer.from(content), key).toString("base64")}`;
  };

  const deliver = async (endpointId: string, payload: object): Promise<void> => {
    const endpoint = endpoints.get(endpointId);
    const event = randomUUID();
    let first = "";
    for (let n = 1; n <= (options.neverRetries ? 1 : ATTEMPTS) && endpoint !== undefined && !signal.aborted; n++) {
      if (endpoint.isGone) return;
      const id = { "of each attempt": `${event}-${n}`, "of the endpoint": endpointId, event }[options.id ?? "event"];
      const now = options.wrongSignatures ? Date.now() : Math.floor(Date.now() / 1000);
      first ||= String(now);
      const timestamp = options.wrongSignatures ? first : String(now);
      const body = JSON.stringify(options.changesBody ? { ...payload, n } : payload);
      const answer = await post(endpoint.url, body, {
        ...{ "content-type": "application/json", "webhook-id": id, "webhook-timestamp": timestamp },
        "webhook-signature": signatureOf(endpoint, id, timestamp, body),
      });
      const { location, "retry-after": retryAfter } = answer?.headers ?? {};
      if (options.followsRedirects && location !== undefined) await post(location, body, {});
      if (options.getsStuck && Number(answer?.headers["content-length"]) > 50) endpoint.isGone = true;
      let pauseMs = RETRY_EVERY_MS;
      if (options.retriesByWrongRules) {
        const isUnreadable = retryAfter !== undefined && Number.isNaN(Number(retryAfter)) && Number.isNaN(Date.parse(retryAfter));
        if (answer === null || isUnreadable) return;
      } else {
        if (answer !== null && answer.status >= 200 && answer.status < 300) return;
        if (answer?.status === 410) endpoint.isGone = true;
        const asked = Number.isNaN(Number(retryAfter)) ? Date.parse(retryAfter ?? "") - Date.now() : Number(retryAfter) * 1000;
        if (asked > pauseMs) pauseMs = asked;
      }
      await sleep(pauseMs, undefined, { signal, ref: false });
    }
  };

  return {
    async register({ url }) {
      if (!options.acceptsAnyUrl && new URL(url).hostname !== options.host) throw new Error(`${url} is not a public address`);
      if (options.triesUrls) await post(url, "{}", { "webhook-id": "try" });
      const id = randomUUID();
      if (options.asymmetric) {
        const { publicKey, privateKey } = generateKeyPairSync("ed25519");
        endpoints.set(id, { url, key: privateKey, isGone: false });
        const { x = "" } = publicKey.export({ format: "jwk" });
        return { id, secret: `whpk_${Buffer.from(x, "base64url").toString("base64")}` };
      }
      const key = options.wrongSecret ? Buffer.from("short") : randomBytes(32);
      endpoints.set(id, { url, key, isGone: false });
      return { id, secret: `whsec_${key.toString("base64")}` };
    },
    async send({ id, type, data }) {
      deliver(id, { type, data }).catch(() => {});
    },
    stop: () => stopped.abort(),
  };
}
