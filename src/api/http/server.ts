/** The HTTP server: registers routes, checks tokens, validates input by schema, and turns errors into problems. */
import type { IncomingMessage } from "node:http";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { AppError } from "../../model/app-error.ts";
import type { Logger } from "../../model/logger.ts";
import type { TokenScope } from "../../model/token-scope.ts";
import { parseRecord, RecordInvalid } from "../../registry/records.ts";
import { acceptJson } from "./accept-json.ts";
import { type CheckAccess, RateLimited } from "./access.ts";
import { type Audited, auditOf } from "./audited.ts";
import { type CheckCovered, endsWithToken } from "./covered.ts";
import { readTags } from "./entity-tags.ts";
import { withDocument } from "./openapi.ts";
import { servePage } from "./page.ts";
import { type Problem, problem, problemOf, refusedType } from "./problems.ts";
import { readQuery } from "./read-query.ts";
import { ANSWER_HEADER_LIST, ANSWER_HEADERS, answerUnreadable, checkHead, type RequestLimits } from "./request-limits.ts";
import { type Access, type Answer, appScopeOf, type Call, type Caller, type Route } from "./route.ts";

export interface ApiServer {
  /** @returns the URL of the server. @throws AppError HTTP_UNAVAILABLE */
  start(): Promise<string>;
  stop(): Promise<void>;
}

export interface ApiServerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly version: string;
  /** No token is required. */
  readonly isOpen: boolean;
  readonly limits: RequestLimits;
  /** The built files of the dashboard at `/`. */
  readonly pageFolder: string;
}

export interface ApiServerDependencies {
  readonly checkAccess: CheckAccess;
  readonly checkCovered: CheckCovered;
  readonly audited: Audited;
  readonly logger: Logger;
}

/** Bytes of a rejected body that are read and discarded, so that its sender can read the answer. */
const MAX_DISCARDED_BYTES = 16 * 1024 * 1024;
/** Open connections get this long at a stop. */
const STOP_WITHIN_MS = 1_000;
/** How often the HTTP server checks for slow requests. */
const CHECK_SLOW_EVERY_MS = 1_000;

/** The longest percent-encoded form of a character, in bytes per UTF-16 unit. */
const ENCODED_BYTES_PER_CHARACTER = 9;

/** Fastify's own compilers take a tenth of a start to load, and have nothing to do: a route validates with zod (route.ts). */
const NO_COMPILERS = { compilersFactory: { buildValidator: noCompiler, buildSerializer: noCompiler } };

function noCompiler(): never {
  throw new Error("a route has a schema of Fastify's");
}

declare module "fastify" {
  interface FastifyContextConfig {
    access?: Access;
    forApp?: TokenScope | null;
    forOrganization?: TokenScope | null;
    rawBody?: boolean;
    accepts?: readonly string[];
  }
  interface FastifyRequest {
    caller: Caller;
  }
}

export function createApiServer(
  undocumented: readonly Route[],
  { checkAccess, checkCovered, audited, logger }: ApiServerDependencies,
  options: ApiServerOptions,
): ApiServer {
  const { limits } = options;
  const routes = withDocument(undocumented, options.version, options.isOpen);
  const server = Fastify({
    logger: false,
    bodyLimit: limits.maxBodyBytes,
    requestTimeout: limits.requestTimeoutMs,
    // checkHead refuses a request without a Host: node:http's own answer has no body.
    http: { maxHeaderSize: limits.maxHeaderBytes, connectionsCheckingInterval: CHECK_SLOW_EVERY_MS, requireHostHeader: false },
    clientErrorHandler: answerUnreadable,
    // Errors of the router, before there is a route.
    frameworkErrors: (error, _request, reply) => void sendProblem(reply, problemOf(error)),
    forceCloseConnections: "idle",
    routerOptions: { maxParamLength: limits.maxIdLength * ENCODED_BYTES_PER_CHARACTER },
    schemaController: NO_COMPILERS,
  });

  // For checkHead, too.
  server.server.on("checkExpectation", server.routing);
  acceptJson(server);
  server.decorateRequest("caller");
  server.addHook("onRequest", (request, reply, next) => {
    const [path = ""] = request.url.split("?");
    const { url, config } = request.routeOptions;
    // A fixed path never counts as the parameter of another route.
    const isFixedPath = url?.includes(":") && routes.some((route) => route.url === path);
    try {
      checkHead(request.raw, limits);
      if (request.is404 || isFixedPath) return void answerNoSuchCall(routes, request.method, path, reply);
      const { access = "open", forApp = null, forOrganization = null } = config;
      request.caller = checkAccess({ access, forApp, forOrganization, headers: request.headers, address: request.ip });
      next();
    } catch (error) {
      next(error as Error);
    }
  });
  server.addHook("onSend", (_request, reply, _payload, next) => {
    for (const [name, value] of ANSWER_HEADER_LIST) if (!reply.hasHeader(name)) reply.header(name, value);
    next();
  });
  server.setErrorHandler((error, request, reply) => {
    const found = problemOf(error, request.headers["content-type"], request.routeOptions.config.accepts ?? JSON_ONLY);
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
      // Closing now would reset the connection while the sender is still writing.
      reply.removeHeader("connection");
      discardBody(request.raw);
    }
    return sendProblem(reply, found);
  });
  for (const route of routes) register(server, route, { checkCovered, audited });
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
          // The process that has the port may be about to end.
          { retryable: code === "EADDRINUSE", cause: error },
        );
      }
    },
    async stop() {
      const closed = server.close();
      // A connection with an aborted answer is never idle.
      const timer = setTimeout(() => server.server.closeAllConnections(), STOP_WITHIN_MS);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** Runs before the body and the content type are checked. */
function answerNoSuchCall(routes: readonly Route[], method: string, path: string, reply: FastifyReply): FastifyReply {
  const named = routes.filter(({ url }) => url === path);
  const found = named.length > 0 ? named : routes.filter(({ url }) => isAt(url, path));
  const methods = found.flatMap((route) => (route.method === "GET" ? ["GET", "HEAD"] : [route.method]));
  if (methods.length === 0) return sendProblem(reply, problem(404, `no such call: ${method} ${path}; /openapi.json lists them`));
  return sendProblem(reply.header("allow", methods.join(", ")), problem(405, `${path} takes ${methods.join(", ")}, not ${method}`));
}

function isAt(url: string, path: string): boolean {
  return new RegExp(`^${url.replace(/:[a-z_]+/g, "[^/]+")}$`).test(path);
}

function register(
  server: FastifyInstance,
  route: Route,
  { checkCovered, audited }: Pick<ApiServerDependencies, "checkCovered" | "audited">,
): void {
  const { method, url, access, forOrganization = null, params, query, accepts, rawBody = false, handle } = route;
  server.route({
    method,
    url,
    config: { access, forApp: appScopeOf(route), forOrganization, rawBody, ...(accepts && { accepts }) },
    handler: async (request, reply) => {
      const { caller } = request;
      const givenParams = request.params as Readonly<Record<string, string>>;
      checkCovered(caller, { params: givenParams, query: request.query, body: request.body });
      const call = {
        params: params && parseRecord(params, request.params, ""),
        query: readQuery(query, request.query as Record<string, unknown>),
        body: readBody(route, request),
        headers: request.headers,
        caller,
        onlyApp: caller.onlyApp,
        scope: caller.scope,
      } as Call<never, never, never>;
      const audit = auditOf(route, caller, { params: givenParams, query: request.query, body: request.body });
      const answered =
        audit === null ? await handle(call) : await audited.run(audit.about, audit.owner, async () => handle(call), audit.targetOf);
      const answer = endsWithToken(answered, caller);
      return send(reply, isKnown(answer, request) ? { status: 304, headers: answer.headers ?? {} } : answer);
    },
  });
}

/** @throws AppError RECORD_INVALID, and an error of status 415 */
function readBody({ body, rawBody = false, rawPatch = false }: Route, request: FastifyRequest): unknown {
  const given = request.body;
  if (body === undefined) return given === undefined ? undefined : refuseMembers(given);
  if (given !== undefined) checkType(request);
  if (rawBody) return given;
  const parsed = parseRecord(body, given, "body");
  // A patch without a member leaves it as it is.
  return rawPatch ? given : parsed;
}

const JSON_ONLY: readonly string[] = ["application/json"];

/** @throws an error of status 415 */
function checkType({ headers: { "content-type": type = "" }, routeOptions: { config } }: FastifyRequest): void {
  const accepts = config.accepts ?? JSON_ONLY;
  const essence = (type.split(";")[0] ?? "").trim().toLowerCase();
  if (![essence, `${essence}+json`].some((one) => accepts.includes(one)))
    throw Object.assign(new Error(refusedType(type, accepts)), { statusCode: 415 });
}

/** A member that a call ignored would seem to have an effect. An empty object, which some clients always send, has none. */
function refuseMembers(given: unknown): undefined {
  const names = typeof given === "object" && given !== null ? Object.keys(given) : [""];
  if (given === null || names.length === 0) return undefined;
  throw new RecordInvalid(
    "body",
    names.map((path) => ({ path, message: "the call takes no body" })),
  );
}

/** RFC 9110 If-None-Match: the caller has this very record. */
function isKnown({ headers }: Answer, { method, headers: { "if-none-match": known } }: FastifyRequest): boolean {
  const tag = headers?.["etag"];
  if (tag === undefined || known === undefined || (method !== "GET" && method !== "HEAD")) return false;
  const tags = readTags(known);
  return tags === "*" || tags?.some((one) => tag === `"${one}"`) === true;
}

function discardBody(request: IncomingMessage): void {
  let remaining = MAX_DISCARDED_BYTES;
  request.on("data", (data: Buffer) => {
    remaining -= data.length;
    if (remaining < 0) request.destroy();
  });
}

function send(reply: FastifyReply, { status, body, headers }: Answer): FastifyReply {
  reply.status(status);
  if (headers !== undefined) reply.headers(headers);
  return reply.send(body);
}

/** Sends bytes: the framework would add a charset to a string, which JSON media types do not have. */
function sendProblem(reply: FastifyReply, found: Problem): FastifyReply {
  return reply
    .status(found.status)
    .headers({ ...ANSWER_HEADERS, "content-type": "application/problem+json" })
    .send(Buffer.from(JSON.stringify(found)));
}
