/**
 * For the root of a sampler that goes by the parent: work on many traces has no parent but links, and belongs to what was
 * sampled of them.
 */
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
