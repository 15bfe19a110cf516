/** Describes one delivery: adds what the registry, the circuit and the parked queue say now to what was found of it. */
import type { ParkedQueue } from "../delivery/ports.ts";
import { messagesBefore } from "../jetstream/queue-span.ts";
import { type App, type Installation, isOrdered, mayStopKeys } from "../model/app.ts";
import type { Clock } from "../model/clock.ts";
import type { DeliveryHistory, LocatedDelivery, RemainingEvent, StoredEvent } from "../model/delivery-location.ts";
import type { BrokenAction } from "../model/installation-pause.ts";
import type { KeyStop } from "../model/key-stop.ts";
import { probedAt } from "../status/installation-record.ts";
import type { LogRow } from "../storage/log-row.ts";
import type { ExplainedDelivery } from "./answer-schemas.ts";
import { explainState } from "./delivery-state.ts";
import { knownAttempts } from "./known-attempts.ts";
import type { Notes } from "./notes.ts";
import type { PacedWait } from "./paced-wait.ts";
import type { DeliverySources, RegistrySources } from "./ports.ts";

/** A delivery by its id, and whose it is. */
export interface DeliveryRef {
  readonly deliveryId: string;
  readonly app: string;
  readonly installationUuid: string;
}

export interface DeliveryFindings {
  readonly history: DeliveryHistory | null;
  readonly located: LocatedDelivery | null;
  readonly stored: StoredEvent | null;
  readonly remaining: RemainingEvent | null;
  /** Rows of the request log, of other deliveries too. */
  readonly rows: readonly LogRow[];
}

/** @param notes of the answer */
export type DescribeDelivery = (delivery: DeliveryRef, findings: DeliveryFindings, notes: Notes) => Promise<ExplainedDelivery>;

export interface DescribeDependencies extends RegistrySources {
  readonly sources: DeliverySources;
  readonly clock: Clock;
}

export interface DescribeOptions {
  readonly maxParkedAgeMs: number;
  readonly probeIntervalMs: number;
  readonly brokenAction: BrokenAction;
}

type LocatedParked = LocatedDelivery & { stream: "parked" };

export function createDescribeDelivery(dependencies: DescribeDependencies, options: DescribeOptions): DescribeDelivery {
  const { registry, index, clock } = dependencies;
  const { circuitOf, throttleOf, stoppedApps, stopOf, paceOf, maxInFlightOf, queueSpan, oldestParked } = dependencies.sources;
  const { maxParkedAgeMs, probeIntervalMs, brokenAction } = options;

  const probeDueAt = async ({ status, uuid }: Installation): Promise<number | null> => {
    if (status !== "broken") return null;
    const { record } = await registry.getInstallation(uuid);
    return probedAt({ ...record }) + probeIntervalMs;
  };

  /** Each answer asks once: without an owner that takes a while. */
  const askedFor = new WeakMap<Notes, ReturnType<typeof stoppedApps>>();

  const stopping = async (app: App | undefined, located: LocatedDelivery | null, notes: Notes): Promise<KeyStop | null> => {
    if (located === null || !mayStopKeys(app)) return null;
    const asked = askedFor.get(notes) ?? stoppedApps();
    askedFor.set(notes, asked);
    const stopped = await asked;
    const ofApp = stopped === null ? null : stopped.get(app.slug);
    if (ofApp === undefined) return null;
    const found = ofApp && (await stopOf(located, app.orderBy));
    if (found === null)
      notes.add("The replica that owns the queues does not answer: whether a dead letter has stopped an order is not known.");
    return found?.stop ?? null;
  };

  const queueOf = ({ delivery, ofInstallation }: LocatedParked): ParkedQueue => ({
    app: delivery.app,
    installationUuid: ofInstallation ? delivery.installationUuid : null,
  });

  const isOldest = async (located: LocatedParked): Promise<boolean> =>
    (await oldestParked(queueOf(located)))?.source.sequence === located.sequence;

  const paceOfParked = async (located: LocatedParked): Promise<PacedWait | null> => {
    const { app } = located.delivery;
    const pace = paceOf(app);
    if (pace === null) return null;
    // In an ordered app others come first, wherever they are in the queue.
    const span = isOrdered(index.app(app)) ? null : await queueSpan(queueOf(located));
    return { ...pace, ahead: span === null ? 0 : messagesBefore(span, located.sequence) };
  };

  return async ({ deliveryId, app, installationUuid }, { history, located, stored, remaining, rows }, notes) => {
    const registered = { app: index.app(app), installation: index.installation(installationUuid) };
    const circuit = circuitOf(app);
    const waitsForProbe = registered.installation?.status === "broken" || circuit.state !== "closed";
    const ownRows = rows.filter((row) => row.delivery_id === deliveryId);
    return explainState({
      ...{ deliveryId, app, installationUuid, registered, stored, history, located, remaining, circuit },
      throttle: throttleOf(app),
      stop: await stopping(registered.app, located, notes),
      pace: located?.stream === "parked" ? await paceOfParked(located) : null,
      maxInFlight: maxInFlightOf(app),
      attempts: knownAttempts(ownRows, located?.delivery.attempts ?? []),
      probeDueAt: registered.installation === undefined ? null : await probeDueAt(registered.installation),
      isOldest: located?.stream === "parked" && waitsForProbe && (await isOldest(located)),
      ...{ maxParkedAgeMs, brokenAction, now: clock.now() },
    });
  };
}
