/** Actions of a person on call, for an app whose receiver works again. */
import { z } from "zod";
import { AppError } from "../../model/app-error.ts";
import type { CircuitState } from "../../model/circuit-state.ts";
import { slugParameter } from "../../registry/records.ts";
import type { RegistryIndex } from "../../registry/registry-index.ts";
import { answer, type Route, route } from "../http/route.ts";
import type { CloseCircuit, RetryNow } from "../ports.ts";
import { appCircuit, retriedNow } from "../schemas/apps.ts";

const params = z.object({ slug: slugParameter });

export interface AppActionRoutesDependencies {
  readonly index: Pick<RegistryIndex, "app">;
  readonly retryNow: RetryNow;
  readonly closeCircuit: CloseCircuit;
  readonly circuitOf: (app: string) => CircuitState;
}

export function appActionRoutes({ index, retryNow, closeCircuit, circuitOf }: AppActionRoutesDependencies): Route[] {
  return [
    route({
      operationId: "retryAppNow",
      method: "POST",
      url: "/v1/apps/:slug/retry-now",
      access: "admin",
      forApp: true,
      summary:
        "Makes all deliveries of the app that wait for a retry due now. Deliveries that wait for the circuit, for a pause or for an installation stay parked.",
      params,
      answers: { 202: answer("how many deliveries waited", retriedNow), 503: "NATS did not answer; the call can be repeated" },
      async handle({ params: { slug } }) {
        return { status: 202, body: { app: slug, deliveries: await retryNow(slug) } };
      },
    }),
    route({
      operationId: "closeAppCircuit",
      method: "POST",
      url: "/v1/apps/:slug/circuit/close",
      access: "admin",
      forApp: true,
      summary: "Closes the app's circuit, so that its parked deliveries are attempted now. It opens again if they fail.",
      params,
      answers: { 200: answer("the circuit's state", appCircuit), 503: "the state could not be stored; the call can be repeated" },
      async handle({ params: { slug } }) {
        if (index.app(slug) === undefined) throw new AppError("NOT_FOUND", `no app ${slug}`);
        await closeCircuit(slug);
        return { status: 200, body: { app: slug, circuit: circuitOf(slug).state } };
      },
    }),
  ];
}
