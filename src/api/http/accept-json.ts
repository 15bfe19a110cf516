/** Reads the JSON bodies of calls. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { messageOf } from "../../model/app-error.ts";
import { RecordInvalid } from "../../registry/records.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Which of them a route takes is its own. */
const JSON_TYPES = /^application\/(json|merge-patch\+json|cloudevents(-batch)?(\+[^\s;]*)?)\s*(;|$)/i;

/**
 * Takes an empty body for no body, and passes text to routes that want it. Fastify's own parser calls a body with a member such as
 * __proto__ invalid JSON; to the routes' schemas, which are strict, such a member is an unknown one.
 */
export function acceptJson(server: FastifyInstance): void {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser(JSON_TYPES, { parseAs: "buffer" }, async (request: FastifyRequest, body: Buffer) => {
    const text = decode(body);
    if (request.routeOptions.config.rawBody) return text;
    return text.trim() === "" ? undefined : parse(text);
  });
}

/** @throws AppError RECORD_INVALID */
function decode(body: Buffer): string {
  try {
    return utf8.decode(body);
  } catch {
    throw new RecordInvalid("body", [{ path: "", message: "not valid UTF-8, wanted JSON" }]);
  }
}

/** @throws an error of status 400 */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw Object.assign(new Error(`body: not valid JSON (${messageOf(error)})`), { statusCode: 400 });
  }
}
