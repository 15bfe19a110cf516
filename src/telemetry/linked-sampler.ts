/** Root of a parent-based sampler: work on many traces has links instead of a parent and is sampled if one of them is. */
import { SamplingDecision } from "@opentelemetry/api";
import type { Sampler } from "@opentelemetry/sdk-trace";
import { isSampled } from "./trace-position.ts";

export function createLinkedSampler(root: Sampler): Sampler {
  return {
    shouldSample(context, traceId, name, kind, attributes, links) {
      if (links.some((link) => isSampled(link.context))) return { decision: SamplingDecision.RECORD_AND_SAMPLED };
      return root.shouldSample(context, traceId, name, kind, attributes, links);
    },
    toString: () => `Linked{${root.toString()}}`,
  };
}
