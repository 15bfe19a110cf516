/** A row of key metrics. */
import type { ComponentChildren } from "preact";

export function Metrics({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <dl class="metrics card" aria-label={label}>
      {children}
    </dl>
  );
}

/** @param value null: unknown now */
export function Metric({ label, value, kind = "plain" }: { label: string; value: ComponentChildren; kind?: "plain" | "warn" | "bad" }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd class={`numeric ${kind}`}>{value ?? <span class="faint">?</span>}</dd>
    </div>
  );
}
