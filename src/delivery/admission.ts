/** Whether a delivery may be attempted now, has to wait in the parked stream, or has nobody to go to any more. */
import { type App, type Installation, isOrdered } from "../model/app.ts";
import type { Delivery } from "../model/delivery.ts";
import type { ParkedQueue, RegistryView } from "./ports.ts";
import { addresseeOf } from "./recipient.ts";

export type AdmissionDecision =
  | { readonly kind: "open"; readonly app: App; readonly installation: Installation }
  | { readonly kind: "park"; readonly queue: ParkedQueue; readonly why: ParkedBecause }
  | { readonly kind: "uninstalled" };

export type ParkedBecause = "broken" | "disabled" | "ordered" | "circuit" | "queue" | "bulkhead" | "stopping";

export interface AdmissionDependencies {
  readonly registry: RegistryView;
  /** Whether the app's circuit keeps attempts from starting (circuit.ts blocks). */
  readonly circuitOpen: (app: string) => boolean;
  /** Whether the queue is known to hold deliveries, or may hold some. */
  readonly queueBusy: (queue: ParkedQueue) => boolean;
  /** Whether the app's deliveries go through its queue, for their order; as its record says when not given. */
  readonly keepsOrder?: (app: App) => boolean;
  /** What happens to the deliveries of a broken installation. */
  readonly brokenAction: "park" | "deliver";
}

export interface Admission {
  /** For a delivery from an event or a retry. */
  direct(delivery: Delivery): AdmissionDecision;
  /** For a delivery that was just taken from a parked queue, where it waits for the circuit, too. */
  parked(delivery: Delivery, queue: ParkedQueue): AdmissionDecision;
}

export function createAdmission({
  registry,
  circuitOpen,
  queueBusy,
  keepsOrder = isOrdered,
  brokenAction,
}: AdmissionDependencies): Admission {
  const stopped = ({ status }: Installation): "broken" | "disabled" | null => {
    if (status === "disabled") return "disabled";
    return status === "broken" && brokenAction === "park" ? "broken" : null;
  };

  const pass = (delivery: Delivery, from: ParkedQueue | null): AdmissionDecision => {
    const addressee = addresseeOf(registry, delivery);
    if (addressee === null) return { kind: "uninstalled" };
    const { app, installation } = addressee;
    const own: ParkedQueue = { app: app.slug, installationUuid: null };
    const installations: ParkedQueue = { app: app.slug, installationUuid: installation.uuid };

    const why = stopped(installation);
    if (why !== null) return { kind: "park", queue: installations, why };
    if (from === null) {
      if (keepsOrder(app)) return { kind: "park", queue: own, why: "ordered" };
      if (queueBusy(own)) return { kind: "park", queue: own, why: "queue" };
      if (circuitOpen(app.slug)) return { kind: "park", queue: own, why: "circuit" };
    }
    return { kind: "open", app, installation };
  };

  return {
    direct: (delivery) => pass(delivery, null),
    parked: (delivery, queue) => pass(delivery, queue),
  };
}
