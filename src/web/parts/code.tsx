/** Preformatted text that scrolls when it is long. */
import type { ComponentChildren } from "preact";

export function Code({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to take the focus, or the keyboard can't scroll it
    // biome-ignore lint/a11y/useSemanticElements: a section keeps no line breaks
    <pre class="code" tabIndex={0} role="region" aria-label={label}>
      {children}
    </pre>
  );
}
