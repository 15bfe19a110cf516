/** Decides whether a delivery may be attempted now, waits in the parked stream, or has no recipient (any more, or as far as is known). */
import { type App, type Installation, isOrdered } from "../model/app.ts";
import type { Delivery } from "../model/delivery.ts";
import { type BrokenAction, type PauseReason, pauseReason } from "../model/installation-pause.ts";
import type { ParkedQueue, RegistryView } from "./ports.ts";
import { recipientOf } from "./recipient.ts";

export type AdmissionDecision =
  | { readonly kind: "open"; readonly app: App; readonly installation: Installation }
  | { readonly kind: "park"; readonly queue: ParkedQueue; readonly why: ParkedBecause }
  | { readonly kind: "uninstalled" }
  /** The registry is not current: the recipient may have been installed meanwhile. */
  | { readonly kind: "unknown" };

export type ParkedBecause = PauseReason | "ordered" | "throttled" | "circuit" | "queue" | "rate" | "bulkhead" | "stopping";

export interface AdmissionDependencies {
  readonly registry: RegistryView;
  /** Whether the registry has every change so far; it always has when not given. */
  readonly isCurrent?: () => boolean;
  /** Whether the app's receiver has asked for a pause that is not over. */
  readonly isThrottled?: (app: string) => boolean;
  /** Whether the app's circuit rejects attempts. */
  readonly circuitOpen: (app: string) => boolean;
  /** Whether the queue is known to hold deliveries, or may hold some. */
  readonly queueBusy: (queue: ParkedQueue) => boolean;
  /** Whether the app's deliveries go through its queue, for their order; as its record says when not given. */
  readonly keepsOrder?: (app: App) => boolean;
  readonly brokenAction: BrokenAction;
}

export interface Admission {
  /** For a delivery from an event or a retry. */
  direct(delivery: Delivery): AdmissionDecision;
  /** For a delivery that was taken from a parked queue. The queue's consumer waits for the circuit itself. */
  parked(delivery: Delivery, queue: ParkedQueue): AdmissionDecision;
}

export function createAdmission({
  registry,
  isCurrent = () => true,
  isThrottled = () => false,
  circuitOpen,
  queueBusy,
  keepsOrder = isOrdered,
  brokenAction,
}: AdmissionDependencies): Admission {
  const decide = (delivery: Delivery, from: ParkedQueue | null): AdmissionDecision => {
    const recipient = recipientOf(registry, delivery);
    if (recipient === null) return { kind: isCurrent() ? "uninstalled" : "unknown" };
    const { app, installation } = recipient;
    const appQueue: ParkedQueue = { app: app.slug, installationUuid: null };

    const paused = pauseReason(installation.status, brokenAction);
    if (paused !== null) return { kind: "park", queue: { app: app.slug, installationUuid: installation.uuid }, why: paused };
    if (from === null) {
      if (keepsOrder(app)) return { kind: "park", queue: appQueue, why: "ordered" };
      if (isThrottled(app.slug)) return { kind: "park", queue: appQueue, why: "throttled" };
      if (queueBusy(appQueue)) return { kind: "park", queue: appQueue, why: "queue" };
      if (circuitOpen(app.slug)) return { kind: "park", queue: appQueue, why: "circuit" };
    }
    return { kind: "open", app, installation };
  };

  return {
    direct: (delivery) => decide(delivery, null),
    parked: decide,
  };
}
