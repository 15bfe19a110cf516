/** The checks of GET /readyz: the parts that the process depends on. */
import type { Check, Readiness } from "../api/ports.ts";
import { STORED_STREAMS } from "../jetstream/durable-publish.ts";
import type { Foundation } from "./foundation.ts";
import type { DeliveryParts } from "./wire-delivery.ts";
import type { RegistryParts } from "./wire-registry.ts";
import type { StatusParts } from "./wire-status.ts";
import type { StreamWatchParts } from "./wire-stream-watch.ts";
import type { StreamParts } from "./wire-streams.ts";

type Given = Foundation & StreamParts & RegistryParts & StatusParts & DeliveryParts & StreamWatchParts;

export function createReadiness(given: Given): Readiness {
  const { state, connectionState, registryStore, streamWatch, redisHealth } = given;
  return {
    checks() {
      const problems = streamWatch.problems();
      return {
        lifecycle: { ok: state.phase === "ready", required: true, detail: state.phase },
        nats: required("connected", connectionState.problem() ?? undefined),
        permissions: permissionsCheck(connectionState.lacks()),
        events: required("consumed", problems.get("events")),
        registry: required("current", problems.get("registry") ?? (registryStore.isCurrent() ? undefined : "catching up")),
        records: recordsCheck(registryStore.invalid().length),
        streams: required("storing", storageProblem(given)),
        redis: redisCheck(redisHealth.problem()),
      };
    },
  };
}

/** Why messages can't be stored; undefined when they can. */
function storageProblem({ streamWatch, deliveryStreams }: Given): string | undefined {
  const found = streamWatch.problems();
  const problems = STORED_STREAMS.flatMap((stream) => found.get(stream) ?? []);
  const refusing = deliveryStreams.refusing().filter((stream) => !found.has(stream));
  if (refusing.length > 0) problems.push(`refusing messages: ${refusing.join(", ")}`);
  return problems.length === 0 ? undefined : problems.join("; ");
}

function redisCheck(problem: string | null): Check {
  const detail = problem === null ? "connected" : `can't be used, the request log is buffered: ${problem}`;
  return { ok: problem === null, required: false, detail };
}

/** Some are needed for a part of the service only. */
function permissionsCheck(lacks: readonly string[]): Check {
  const detail = lacks.length === 0 ? "none was refused" : `NATS: ${lacks.join("; ")}; docs/security.md lists what it needs`;
  return { ok: lacks.length === 0, required: false, detail };
}

function recordsCheck(invalid: number): Check {
  const detail = invalid === 0 ? "all can be read" : `${invalid} can't be read: GET /v1/invalid-records lists them`;
  return { ok: invalid === 0, required: false, detail };
}

/** @param problem undefined: none */
function required(whenOk: string, problem: string | undefined): Check {
  return { ok: problem === undefined, required: true, detail: problem ?? whenOk };
}
