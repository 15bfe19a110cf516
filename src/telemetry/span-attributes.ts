/**
 * Attributes of the spans, after OpenTelemetry's semantic conventions: messaging (system `nats`), HTTP client and Redis. Other
 * attributes begin with `posthorn.`.
 */
import type { Attributes } from "@opentelemetry/api";
import type { AttemptRecord, HandledMessage } from "../delivery/ports.ts";
import type { LateBatch } from "../delivery/tracing-ports.ts";
import type { Delivery } from "../model/delivery.ts";
import type { Event } from "../model/event.ts";
import { memoize } from "../model/memo.ts";
import { serverOf } from "../model/nats-url.ts";
import { withoutSecrets } from "../model/redaction/safe-url.ts";

const REDIS_PORT = 6379;

export function processAttributes(event: Event, template: string | null, message: HandledMessage, server: Attributes): Attributes {
  return {
    "messaging.system": "nats",
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
    "messaging.destination.name": message.subject,
    ...(template === null ? {} : { "messaging.destination.template": template }),
    ...(message.consumer === "" ? {} : { "messaging.consumer.group.name": message.consumer }),
    "messaging.message.id": template === null ? event.id : (message.header("nats-msg-id") ?? event.id),
    ...server,
    ...eventAttributes(event),
    "posthorn.sequence": message.sequence,
    ...(message.deliveries > 1 ? { "posthorn.redeliveries": message.deliveries - 1 } : {}),
  };
}

export function eventAttributes(event: Event): Attributes {
  return { "posthorn.event.id": event.id, "posthorn.event.type": event.type, "posthorn.organization.id": event.organizationId };
}

export function deliveryAttributes({ id, app, installationUuid, replay }: Delivery): Attributes {
  return {
    "posthorn.app": app,
    "posthorn.installation.uuid": installationUuid,
    "posthorn.delivery.id": id,
    ...(replay === null ? {} : { "posthorn.replay": replay }),
  };
}

/** @param destination the attribute with a template or a subject */
export function publishAttributes(destination: Attributes, server: Attributes): Attributes {
  return {
    "messaging.system": "nats",
    "messaging.operation.name": "publish",
    "messaging.operation.type": "send",
    ...destination,
    ...server,
  };
}

/** The attributes of the connected NATS server, rebuilt when a reconnect changes the server. */
export function natsServerAttributes(current: () => string): () => Attributes {
  let of: string | undefined;
  let attributes: Attributes = {};
  return () => {
    const now = current();
    if (now !== of) {
      of = now;
      const server = serverOf(now);
      attributes = server === null ? {} : { "server.address": server.host, "server.port": server.port };
    }
    return attributes;
  };
}

/** @param url null for a cluster, which has many servers */
export function redisServerAttributes(url: string | null): Attributes {
  if (url === null) return {};
  const { hostname, port } = new URL(url);
  return { "server.address": withoutBrackets(hostname), "server.port": Number(port || REDIS_PORT) };
}

/** URLs of which the attributes are kept. */
const KEPT = 20_000;

const targetAttributes = memoize(KEPT, (url): Attributes => {
  const { protocol, hostname, port } = new URL(url);
  return {
    "url.full": withoutSecrets(url),
    "server.address": withoutBrackets(hostname),
    "server.port": port === "" ? (protocol === "https:" ? 443 : 80) : Number(port),
  };
});

export function requestAttributes(delivery: Delivery, attempt: number, url: string): Attributes {
  return {
    "http.request.method": "POST",
    ...targetAttributes(url),
    ...(attempt > 1 ? { "http.request.resend_count": attempt - 1 } : {}),
    ...deliveryAttributes(delivery),
    "posthorn.attempt": attempt,
  };
}

function withoutBrackets(host: string): string {
  return host.startsWith("[") ? host.slice(1, -1) : host;
}

export function responseAttributes({ outcome, responseCode, responseBodySize }: AttemptRecord): Attributes {
  return {
    "posthorn.outcome": outcome,
    ...(responseCode === 0 ? {} : { "http.response.status_code": responseCode }),
    ...(responseBodySize === null ? {} : { "http.response.body.size": responseBodySize }),
    ...(outcome === "delivered" ? {} : { "error.type": responseCode === 0 ? outcome : String(responseCode) }),
  };
}

export function lateBatchAttributes({ tries, error, traceparents }: LateBatch, server: Attributes): Attributes {
  return {
    "db.system.name": "redis",
    "db.operation.name": "EVALSHA",
    "db.stored_procedure.name": "write-batch",
    ...server,
    ...(traceparents.length > 1 ? { "db.operation.batch.size": traceparents.length } : {}),
    "posthorn.tries": tries,
    ...(error === null ? {} : { "posthorn.error": error }),
  };
}
