/** The HTTP server: registers the routes, checks tokens, parses by schema, and turns every error into a problem. */
import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { MAX_EVENT_ID_LENGTH } from "../model/event.ts";
import type { Logger } from "../model/logger.ts";
import { parseRecord } from "../registry/records.ts";
import { type AccessToken, createCheckAccess } from "./access.ts";
import { withDocument } from "./openapi.ts";
import { servePage } from "./page.ts";
import { type Problem, problem, problemOf } from "./problems.ts";
import type { Access, Answer, Call, Route, Scope } from "./route.ts";

export interface ApiServer {
  /** @returns the URL it listens on. */
  start(): Promise<string>;
  stop(): Promise<void>;
}

export interface ApiServerOptions {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  readonly tokens: readonly AccessToken[];
  readonly version: string;
  /** The built files of the page at `/`. */
  readonly pageFolder: string;
}

const MAX_BODY_BYTES = 1024 * 1024;
/** What is read, and thrown away, of a body that was refused, so that its sender gets to read why. */
const MAX_DISCARDED_BYTES = 16 * MAX_BODY_BYTES;

/** An event id, each of its characters percent-encoded as three bytes. */
const MAX_PARAMETER_LENGTH = MAX_EVENT_ID_LENGTH * 9;

declare module "fastify" {
  interface FastifyContextConfig {
    access?: Access;
    rawBody?: boolean;
  }
  interface FastifyRequest {
    scope: Scope;
  }
}

export function createApiServer(undocumented: readonly Route[], logger: Logger, options: ApiServerOptions): ApiServer {
  const routes = withDocument(undocumented, options.version);
  const server = Fastify({
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    forceCloseConnections: "idle",
    routerOptions: { maxParamLength: MAX_PARAMETER_LENGTH },
    // What is refused before there is a route: a malformed or overlong path, and what is no HTTP at all.
    frameworkErrors: (error, _request, reply) => void sendProblem(reply as FastifyReply, problemOf(error)),
    clientErrorHandler: refuse,
  });
  const checkAccess = createCheckAccess(options.tokens);

  acceptJson(server);
  server.decorateRequest("scope", "read");
  server.addHook("onRequest", async (request) => {
    request.scope = checkAccess(request.routeOptions.config.access ?? "open", request.headers.authorization);
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
    if (!request.raw.complete) {
      // Closing now would reset the connection under a sender that is still writing.
      reply.removeHeader("connection");
      discardRest(request.raw);
    }
    return sendProblem(reply, found);
  });
  server.setNotFoundHandler((request, reply) => {
    const [path = ""] = request.url.split("?");
    const methods = routes.filter(({ url }) => isAt(url, path)).map(({ method }) => method);
    if (methods.length === 0) return sendProblem(reply, problem(404, `no such call: ${request.method} ${path}`));
    return sendProblem(
      reply.header("allow", methods.join(", ")),
      problem(405, `${path} takes ${methods.join(", ")}, not ${request.method}`),
    );
  });

  for (const route of routes) register(server, route);
  servePage(server, options.pageFolder);

  return {
    start: () => server.listen({ host: options.host, port: options.port }),
    stop: () => server.close(),
  };
}

function isAt(url: string, path: string): boolean {
  return new RegExp(`^${url.replace(/:[a-z_]+/g, "[^/]+")}$`).test(path);
}

/** Answers on the bare socket: there is no request to answer to. */
function refuse(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  const status = error.code === "HPE_HEADER_OVERFLOW" ? 431 : error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? 408 : 400;
  const body = JSON.stringify(problem(status, `this is no HTTP request that can be read (${error.code ?? error.message})`));
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "content-type: application/problem+json",
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

/** JSON with members such as __proto__ refused, an empty body as none, and the text itself where a route wants that. */
function acceptJson(server: FastifyInstance): void {
  const parse = server.getDefaultJsonParser("error", "error");
  server.removeAllContentTypeParsers();
  server.addContentTypeParser(["application/json", "application/cloudevents+json"], { parseAs: "string" }, (request, text, done) => {
    if (request.routeOptions.config.rawBody) done(null, text);
    else if (text.toString().trim() === "") done(null, undefined);
    else void parse(request, text.toString(), done);
  });
}

function register(server: FastifyInstance, { method, url, access, params, query, body, rawBody = false, handle }: Route): void {
  server.route({
    method,
    url,
    config: { access, rawBody },
    handler: async (request, reply) => {
      const call = {
        params: params && parseRecord(params, request.params, "path"),
        query: query && parseRecord(query, request.query, "query"),
        body: rawBody || body === undefined ? request.body : parseRecord(body, request.body ?? undefined, "body"),
        headers: request.headers,
        scope: request.scope,
      } as Call<never, never, never>;
      const answer = await handle(call);
      return send(reply, isKnown(answer, request) ? { status: 304, headers: answer.headers ?? {} } : answer);
    },
  });
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
    .header("content-type", "application/problem+json")
    .send(Buffer.from(JSON.stringify(found)));
}
