/** The circuits' shared state: records `circuit.<app>` in the registry bucket, changed through the outbox. */
import type { CircuitChange, CircuitStore } from "../delivery/circuit/ports.ts";
import { type CircuitState, CLOSED } from "../model/circuit-state.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { circuitChanged, type StatusEvent } from "../model/status-event.ts";
import type { CircuitRecord } from "../model/stored-records.ts";
import type { Outbox } from "./outbox.ts";
import type { StatusEventOptions } from "./ports.ts";

export const CIRCUIT_PREFIX = "circuit.";

export function createCircuitStore(outbox: Outbox<CircuitRecord, StatusEvent>, clock: Clock, options: StatusEventOptions): CircuitStore {
  const eventOf = (app: string, before: CircuitState, { next, reason }: CircuitChange, id: string): StatusEvent =>
    circuitChanged({ id, time: toRfc3339(clock.now()), prefix: options.prefix }, next.state === "open" ? "opened" : "closed", {
      app,
      previous_state: before.state,
      state: next.state === "open" ? "open" : "closed",
      reason: reason && {
        window_s: reason.windowMs / 1000,
        attempts: reason.attempts,
        failures: reason.failures,
        failure_percent: Math.round((reason.failures / reason.attempts) * 1000) / 10,
      },
      open_until: next.state === "open" ? toRfc3339(next.openUntil) : null,
      dashboard_url: options.dashboardUrl(`/apps/${app}`),
    });

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

/** Every member is written: an outbox change keeps members that are not given. */
function members(state: CircuitState): CircuitRecord {
  return {
    state: state.state,
    open_for_ms: state.state === "closed" ? 0 : state.openForMs,
    open_until: state.state === "closed" ? 0 : state.openUntil,
    probe_until: state.state === "half_open" ? state.probeUntil : 0,
    probe_by: state.state === "half_open" ? state.probeBy : null,
  };
}

/** @param record a record `circuit.<app>`; null when there is none. */
export function circuitState(record: CircuitRecord | null): CircuitState {
  if (record === null || record.state === "closed") return CLOSED;
  const { state, open_for_ms: openForMs = 0, open_until: openUntil = 0, probe_until: probeUntil = 0, probe_by: probeBy = null } = record;
  return state === "open" ? { state, openForMs, openUntil } : { state, openForMs, openUntil, probeUntil, probeBy };
}
