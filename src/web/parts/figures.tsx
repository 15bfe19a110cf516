/** A row of the figures that matter. */
import type { ComponentChildren } from "preact";

export function Figures({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <dl class="figures card" aria-label={label}>
      {children}
    </dl>
  );
}

/** @param value null: not known now. */
export function Figure({ label, value, kind = "plain" }: { label: string; value: ComponentChildren; kind?: "plain" | "bad" }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd class={`figure ${kind}`}>{value ?? <span class="faint">?</span>}</dd>
    </div>
  );
}
