/** The HTTP API and what only its routes use. */
import { randomUUID } from "node:crypto";
import { createCheckAccess } from "../api/http/access.ts";
import { createAudited } from "../api/http/audited.ts";
import { createCheckCovered } from "../api/http/covered.ts";
import { createRateLimit } from "../api/http/rate-limit.ts";
import { createApiServer } from "../api/http/server.ts";
import { allRoutes } from "../api/routes/all-routes.ts";
import { createReadAudit } from "../audit/read-audit.ts";
import { PAGE_FOLDER } from "../config/page-folder.ts";
import { VERSION } from "../config/version.ts";
import { createDeleteDeadLetters } from "../dead-letters/delete-dead-letters.ts";
import { createResend } from "../dead-letters/resend.ts";
import { createTestCall } from "../delivery/test-call.ts";
import { locateDeliveries } from "../explain/locate-deliveries.ts";
import { createEventPublisher } from "../jetstream/event-publisher.ts";
import { createReadEventTypes } from "../jetstream/event-types.ts";
import { orUnreachable } from "../jetstream/or-unreachable.ts";
import { createStatusHistory } from "../jetstream/status-history.ts";
import { createScopedTokens } from "../registry/scoped-tokens.ts";
import { type ApiGiven, explainParts, healthQueryOf, overviewParts, statusChangerOf } from "./api-parts.ts";
import { createMetricsOfAll } from "./worker-messages.ts";

export function wireApi(given: ApiGiven) {
  const { config, nats, manager, names, index, registryStore, signingKey, deadLetters, tracing, metrics, clock, logger } = given;
  const scopedTokens = createScopedTokens({ index, signingKey, clock }, { maxTtlMs: config.appTokenMaxTtl });
  const statusHistory = createStatusHistory(nats, manager, names);
  const { lookup, findInStreams } = given;
  const { explain, queryRequestLog, storedEvents } = explainParts(given);
  const { stats, readOverview, readSystem, countOwnDeadLetters, liveOverview } = overviewParts(given, { statusHistory, deadLetters });
  const routes = allRoutes({
    ...{
      registry: given.registry,
      index,
      secretBox: given.secretBox,
      scopedTokens,
      publicUrl: config.dashboardUrl,
      readAudit: createReadAudit(given.auditStream),
      maxPageSize: config.httpMaxPageSize,
    },
    ...{ statusChanger: statusChangerOf(given), queryHealth: healthQueryOf(given) },
    ...{ publish: createEventPublisher(given.pipelinedPublish, names, tracing), eventLimits: given.eventLimits },
    readEventTypes: createReadEventTypes(manager, names),
    ...{ queryRequestLog, explain, stats, statusHistory, readOverview, readSystem, liveOverview, debugLog: given.debugLog, clock },
    ...{ retryNow: given.retryNow, circuitOf: given.circuits.stateOf },
    closeCircuit: (app) => orUnreachable(given.circuits.close(app)),
    callTest: createTestCall({
      ...given,
      registry: index,
      installationsOf: (app) => [...index.installations()].filter((installation) => installation.app === app),
      newId: randomUUID,
    }),
    ...{ replayDeadLetters: given.replayDeadLetters, deadLetterReplays: given.deadLetterReplays, replays: given.replays },
    ...{ deadLetters, countOwnDeadLetters, deleteDeadLetters: createDeleteDeadLetters({ deadLetters, clock }) },
    resend: createResend({
      ...{ events: storedEvents, storeAgain: given.storeAgain, find: lookup.find, deadLetters, names, tracing },
      locate: async (id, history) => (await locateDeliveries(findInStreams, [{ id, history }], history?.app ?? null)).get(id) ?? null,
    }),
    brokenOf: (uuid) => given.installationStates.brokenOf(uuid),
    invalidRecords: registryStore.invalid,
    session: { version: VERSION, traceUrl: config.traceUrl },
    readiness: given.readiness,
    renderMetrics: createMetricsOfAll(metrics.render, clock),
  });
  const checkAccess = createCheckAccess({
    tokens: config.apiTokens,
    readScoped: scopedTokens.read,
    calls: createRateLimit(config.httpRateLimit, clock.now),
    failures: createRateLimit(config.httpFailedAuthLimit, clock.now),
  });
  const api = createApiServer(
    routes,
    { checkAccess, checkCovered: createCheckCovered(index), audited: createAudited(given.auditLog, index), logger },
    {
      host: config.httpHost,
      port: config.httpPort,
      version: VERSION,
      isOpen: config.apiTokens.length === 0,
      pageFolder: PAGE_FOLDER,
      limits: {
        maxBodyBytes: config.httpMaxBodySize,
        maxHeaderBytes: config.httpMaxHeaderSize,
        maxHeaders: config.httpMaxHeaders,
        maxIdLength: config.maxIdLength,
        requestTimeoutMs: config.httpRequestTimeout,
      },
    },
  );
  return { api, liveOverview };
}
