/** States of a delivery, in words, with their colours. */
import type { ExplainedDelivery } from "../../client/api-types.generated.ts";

export const DELIVERY_STATES: Readonly<
  Record<ExplainedDelivery["state"], { readonly kind: "ok" | "warn" | "bad" | "plain"; readonly text: string }>
> = {
  delivered: { kind: "ok", text: "Delivered" },
  retrying: { kind: "warn", text: "Retrying" },
  parked: { kind: "warn", text: "Parked" },
  throttled: { kind: "warn", text: "Throttled" },
  dead_letter: { kind: "bad", text: "Dead letter" },
  pending: { kind: "plain", text: "Pending" },
  test_failed: { kind: "bad", text: "Test call failed" },
  unknown: { kind: "plain", text: "Unknown" },
};
