/** Test calls: one attempt at once, logged but not counted, and never retried. */
import type { Installation } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { newDelivery } from "../model/delivery.ts";
import type { Event } from "../model/event.ts";
import type { Attempt } from "./attempt.ts";
import type { Bulkhead } from "./limits/bulkhead.ts";
import type { DestinationOf } from "./limits/destination.ts";
import type { AttemptRecord, RegistryView } from "./ports.ts";
import type { Tracing } from "./tracing-ports.ts";

export interface TestCallRequest {
  readonly app: string;
  /** Null: any installation of the app. */
  readonly installationUuid: string | null;
  /** `<resource>.<action>`. */
  readonly eventType: string;
  readonly dataJson: string;
}

export interface TestCallDependencies {
  readonly registry: RegistryView;
  readonly installationsOf: (app: string) => readonly Installation[];
  readonly attempt: Attempt;
  readonly bulkhead: Pick<Bulkhead, "tryEnter" | "leave" | "isSuspended">;
  readonly destinationOf: DestinationOf;
  readonly tracing: Tracing;
  readonly clock: Clock;
  readonly newId: () => string;
}

/** Concurrent test calls of one app: a receiver that hangs must not take the destination's connections from other apps. */
const MAX_AT_ONCE = 4;

/** @throws AppError NOT_FOUND, CONFLICT, BUSY, NATS_UNREACHABLE */
export function createTestCall(dependencies: TestCallDependencies) {
  const { registry, installationsOf, attempt, bulkhead, destinationOf, tracing, clock, newId } = dependencies;
  return async ({ app, installationUuid, eventType, dataJson }: TestCallRequest): Promise<AttemptRecord> => {
    if (registry.app(app) === undefined) throw new AppError("NOT_FOUND", `no app ${app}`);
    const installation = installationUuid === null ? installationsOf(app)[0] : registry.installation(installationUuid);
    if (installation === undefined && installationUuid === null)
      throw new AppError("CONFLICT", `app ${app} has no installation to test with`);
    if (installation?.app !== app) throw new AppError("NOT_FOUND", `no installation ${installationUuid} of app ${app}`);

    const [resource = "", action = ""] = eventType.split(".");
    const event: Event = {
      id: `test-${newId()}`,
      source: null,
      resource,
      action,
      type: eventType,
      organizationId: installation.organizationId,
      installationUuid: installation.uuid,
      app,
      projectId: null,
      dataJson,
      actorJson: null,
      occurredAt: toRfc3339(clock.now()),
      publishedAt: clock.now(),
      traceparent: null,
      tracestate: null,
    };
    const share = `test:${app}`;
    const destination = destinationOf(installation.uuid);
    if (bulkhead.isSuspended()) throw new AppError("NATS_UNREACHABLE", "no attempt starts while NATS can't be used", { retryable: true });
    if (!bulkhead.tryEnter(share, MAX_AT_ONCE, destination))
      throw new AppError(
        "BUSY",
        `no slot for a test call of app ${app}: ${MAX_AT_ONCE} are running, or the destination or Posthorn is busy`,
        { retryable: true },
      );
    try {
      return await tracing.start("test", event, async (span) => {
        const disposition = await attempt({ ...newDelivery(event, app, installation.uuid, null), counted: false }, span);
        const record = disposition.kind === "deferred" ? null : disposition.record;
        if (record === null) throw new AppError("NOT_FOUND", `installation ${installation.uuid} was removed in the meantime`);
        return record;
      });
    } finally {
      bulkhead.leave(share, destination);
    }
  };
}
