/** The circuits' shared state: records `circuit.<app>` in the registry bucket, changed by outbox.ts. */

import { CLOSED } from "../delivery/circuit/circuit-breakers.ts";
import type { CircuitChange, CircuitState, CircuitStore } from "../delivery/ports.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { circuitChanged, type StatusEvent } from "../model/status-event.ts";
import type { CircuitRecord } from "../model/stored-records.ts";
import type { Outbox } from "./outbox.ts";

export interface CircuitStoreOptions {
  readonly prefix: string;
  readonly dashboardUrl: (path: string) => string | null;
}

export const CIRCUIT_PREFIX = "circuit.";

export function createCircuitStore(outbox: Outbox<CircuitRecord, StatusEvent>, clock: Clock, options: CircuitStoreOptions): CircuitStore {
  const eventOf = (app: string, before: CircuitState, { next, announce, reason }: CircuitChange, id: string): StatusEvent => {
    const opened = announce === "opened";
    return circuitChanged({ id, time: toRfc3339(clock.now()), prefix: options.prefix }, opened ? "opened" : "closed", {
      app,
      previous_state: before.state,
      state: opened ? "open" : "closed",
      reason: reason && {
        window_s: reason.windowMs / 1000,
        attempts: reason.attempts,
        failures: reason.failures,
        failure_percent: Math.round((reason.failures / reason.attempts) * 1000) / 10,
      },
      open_until: opened ? toRfc3339(next.openUntil) : null,
      dashboard_url: options.dashboardUrl(`/apps/${app}`),
    });
  };

  return {
    async change(app, decide) {
      const { record, revision } = await outbox.change(CIRCUIT_PREFIX + app, (current) => {
        const before = circuitState(current);
        const change = decide(before);
        if (change === null) return null;
        return { members: members(change.next), event: change.announce === null ? null : (id) => eventOf(app, before, change, id) };
      });
      return { state: circuitState(record), revision };
    },
  };
}

function members({ state, openForMs, openUntil, probeUntil, probeBy }: CircuitState): CircuitRecord {
  return { state, open_for_ms: openForMs, open_until: openUntil, probe_until: probeUntil, probe_by: probeBy };
}

/** @param record a record `circuit.<app>`, null when there is none. */
export function circuitState(record: CircuitRecord | null): CircuitState {
  const state = record?.state;
  if (record === null || (state !== "open" && state !== "half_open")) return CLOSED;
  return {
    state,
    openForMs: record.open_for_ms ?? 0,
    openUntil: record.open_until ?? 0,
    probeUntil: record.probe_until ?? 0,
    probeBy: record.probe_by ?? null,
  };
}
