/** Links in one line. */
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { useFade } from "./use-fade.ts";

interface ScrollingNavProps {
  readonly label: string;
  readonly class?: string;
  /** The current link; another one is scrolled to. */
  readonly current: string;
  readonly children: ComponentChildren;
}

export function ScrollingNav({ label, class: name = "", current, children }: ScrollingNavProps) {
  const element = useRef<HTMLElement>(null);
  useFade(element, "[aria-current]", current);
  return (
    <nav ref={element} class={`scrolling ${name}`} aria-label={label}>
      {children}
    </nav>
  );
}
