/** The HTTP server: registers the routes, checks tokens, parses by schema, and turns every error into a problem. */
import type { IncomingMessage } from "node:http";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { z } from "zod";
import { AppError } from "../../model/app-error.ts";
import type { Logger } from "../../model/logger.ts";
import { parseRecord, RecordInvalid } from "../../registry/records.ts";
import { type CheckAccess, RateLimited } from "./access.ts";
import { withDocument } from "./openapi.ts";
import { servePage } from "./page.ts";
import { type Problem, problem, problemOf } from "./problems.ts";
import { readQuery } from "./read-query.ts";
import { ANSWER_HEADERS, answerUnreadable, checkHead, type RequestLimits } from "./request-limits.ts";
import type { Access, Answer, Call, Route, Scope } from "./route.ts";

export interface ApiServer {
  /** @returns the URL it listens on. @throws AppError HTTP_UNAVAILABLE */
  start(): Promise<string>;
  stop(): Promise<void>;
}

export interface ApiServerOptions {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  readonly version: string;
  /** No tokens are asked for. */
  readonly isOpen: boolean;
  readonly limits: RequestLimits;
  /** The built files of the page at `/`. */
  readonly pageFolder: string;
}

/** What is read, and thrown away, of a body that was refused, so that its sender gets to read why. */
const MAX_DISCARDED_BYTES = 16 * 1024 * 1024;
/** What is still being answered at a stop gets so long. */
const STOP_WITHIN_MS = 1_000;
/** How often the HTTP server looks for requests that take too long. */
const LOOK_FOR_SLOW_MS = 1_000;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Of UTF-8, each percent-encoded. */
const LONGEST_CHARACTER = 9;

declare module "fastify" {
  interface FastifyContextConfig {
    access?: Access;
    forApp?: boolean;
    rawBody?: boolean;
  }
  interface FastifyRequest {
    onlyApp: string | null;
    scope: Scope;
  }
}

export function createApiServer(
  undocumented: readonly Route[],
  checkAccess: CheckAccess,
  logger: Logger,
  options: ApiServerOptions,
): ApiServer {
  const { limits } = options;
  const routes = withDocument(undocumented, options.version, options.isOpen);
  const server = Fastify({
    logger: false,
    bodyLimit: limits.maxBodyBytes,
    requestTimeout: limits.requestTimeoutMs,
    http: { maxHeaderSize: limits.maxHeaderBytes, connectionsCheckingInterval: LOOK_FOR_SLOW_MS },
    clientErrorHandler: answerUnreadable,
    // What the router refuses before there is a route.
    frameworkErrors: (error, _request, reply) => void sendProblem(reply, problemOf(error)),
    forceCloseConnections: "idle",
    routerOptions: { maxParamLength: limits.maxIdLength * LONGEST_CHARACTER },
  });

  acceptJson(server);
  server.decorateRequest("onlyApp", null);
  server.decorateRequest("scope", "read");
  server.addHook("onRequest", async (request, reply) => {
    const [path = ""] = request.url.split("?");
    // A path of its own is no value of another's parameter.
    const isAnothers = request.routeOptions.url?.includes(":") && routes.some(({ url }) => url === path);
    if (request.is404 || isAnothers) return answerNoSuchCall(routes, request.method, path, reply);
    checkHead(request.raw, limits);
    const { access = "open", forApp = false } = request.routeOptions.config;
    const caller = checkAccess({ access, forApp, headers: request.headers, address: request.ip });
    request.onlyApp = caller.onlyApp;
    request.scope = caller.scope;
  });
  server.addHook("onSend", async (_request, reply) => {
    for (const [name, value] of Object.entries(ANSWER_HEADERS)) if (!reply.hasHeader(name)) reply.header(name, value);
  });
  server.setErrorHandler((error, request, reply) => {
    const found = problemOf(error);
    if (found.status >= 500) {
      const { stack, message } = error as Error;
      logger.error(
        { method: request.method, path: request.routeOptions.url, error: found.status === 500 ? stack : message },
        "API call failed",
      );
    }
    if (found.status === 401) reply.header("www-authenticate", "Bearer");
    if (error instanceof RateLimited) reply.header("retry-after", error.retryAfterS);
    else if (found.status === 429) reply.header("retry-after", 1);
    if (!request.raw.complete) {
      // Closing now would reset the connection under a sender that is still writing.
      reply.removeHeader("connection");
      discardRest(request.raw);
    }
    return sendProblem(reply, found);
  });
  for (const route of routes) register(server, route);
  servePage(server, options.pageFolder);

  return {
    async start() {
      const { host, port } = options;
      try {
        return await server.listen({ host, port });
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        throw new AppError(
          "HTTP_UNAVAILABLE",
          `POSTHORN_HTTP_HOST and POSTHORN_HTTP_PORT: found ${host} and ${port}, wanted an address to listen on (${message})`,
          // Who has it may be a process that is about to end.
          { retryable: code === "EADDRINUSE", cause: error },
        );
      }
    },
    async stop() {
      const closed = server.close();
      // A connection whose answer was broken off is neither idle nor ever done.
      const timer = setTimeout(() => server.server.closeAllConnections(), STOP_WITHIN_MS);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** Before anything else of the request is looked at, its body and content type included. */
function answerNoSuchCall(routes: readonly Route[], method: string, path: string, reply: FastifyReply): FastifyReply {
  const named = routes.filter(({ url }) => url === path);
  const methods = (named.length > 0 ? named : routes.filter(({ url }) => isAt(url, path))).map((route) => route.method);
  if (methods.length === 0) return sendProblem(reply, problem(404, `no such call: ${method} ${path}`));
  return sendProblem(reply.header("allow", methods.join(", ")), problem(405, `${path} takes ${methods.join(", ")}, not ${method}`));
}

function isAt(url: string, path: string): boolean {
  return new RegExp(`^${url.replace(/:[a-z_]+/g, "[^/]+")}$`).test(path);
}

/** Which of them a route takes is its own: `checkType`, and the events route for CloudEvents. */
const JSON_TYPES = /^application\/(json|merge-patch\+json|cloudevents(-batch)?(\+[^\s;]*)?)\s*(;|$)/i;

/** JSON with members such as __proto__ refused, an empty body as none, and the text itself where a route wants that. */
function acceptJson(server: FastifyInstance): void {
  const parse = server.getDefaultJsonParser("error", "error");
  server.removeAllContentTypeParsers();
  server.addContentTypeParser(JSON_TYPES, { parseAs: "buffer" }, (request, body, done) => {
    const text = decode(body as Buffer);
    if (text === null) done(new RecordInvalid("body", [{ path: "", message: "not valid UTF-8, wanted JSON" }]));
    else if (request.routeOptions.config.rawBody) done(null, text);
    else if (text.trim() === "") done(null, undefined);
    else void parse(request, text, done);
  });
}

function decode(body: Buffer): string | null {
  try {
    return utf8.decode(body);
  } catch {
    return null;
  }
}

function register(server: FastifyInstance, route: Route): void {
  const { method, url, access, forApp = false, params, query, body, rawBody = false, rawPatch = false, handle } = route;
  server.route({
    method,
    url,
    config: { access, forApp, rawBody },
    handler: async (request, reply) => {
      const { onlyApp } = request;
      const { slug } = request.params as { slug?: string };
      if (onlyApp !== null && slug !== undefined && slug !== onlyApp)
        throw new AppError("FORBIDDEN", `the token of app ${onlyApp} covers no other app`);
      const call = {
        params: params && parseRecord(params, request.params, ""),
        query: readQuery(query, request.query as Record<string, unknown>),
        body: rawBody || body === undefined ? request.body : rawPatch ? readPatch(body, request) : readBody(body, request),
        headers: request.headers,
        onlyApp,
        scope: request.scope,
      } as Call<never, never, never>;
      const answer = await handle(call);
      return send(reply, isKnown(answer, request) ? { status: 304, headers: answer.headers ?? {} } : answer);
    },
  });
}

const PLAIN_JSON = /^application\/json\s*(;|$)/i;
const PATCH_JSON = /^application\/(merge-patch\+)?json\s*(;|$)/i;

function readBody(body: z.ZodType, request: FastifyRequest): unknown {
  checkType(request, PLAIN_JSON, "application/json");
  return parseRecord(body, request.body, "body");
}

/** @returns the body as it came: what a patch leaves out stays. */
function readPatch(body: z.ZodType, request: FastifyRequest): unknown {
  checkType(request, PATCH_JSON, "application/merge-patch+json or application/json");
  parseRecord(body, request.body, "body");
  return request.body;
}

function checkType({ body, headers: { "content-type": type = "" } }: FastifyRequest, wanted: RegExp, inWords: string): void {
  if (body === undefined || wanted.test(type)) return;
  throw Object.assign(new Error(`Content-Type: found another type, wanted ${inWords}`), { statusCode: 415 });
}

/** RFC 9110 If-None-Match: the caller has this very record. */
function isKnown({ headers }: Answer, { method, headers: { "if-none-match": known } }: FastifyRequest): boolean {
  return method === "GET" && headers?.["etag"] !== undefined && headers["etag"] === known?.replace(/^W\//, "");
}

function discardRest(request: IncomingMessage): void {
  let left = MAX_DISCARDED_BYTES;
  request.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) request.destroy();
  });
}

function send(reply: FastifyReply, { status, body, headers }: Answer): FastifyReply {
  reply.status(status);
  if (headers !== undefined) reply.headers(headers);
  return reply.send(body);
}

/** As bytes: to a string the framework would add a charset, which JSON media types do not have. */
function sendProblem(reply: FastifyReply, found: Problem): FastifyReply {
  return reply
    .status(found.status)
    .headers({ ...ANSWER_HEADERS, "content-type": "application/problem+json" })
    .send(Buffer.from(JSON.stringify(found)));
}
