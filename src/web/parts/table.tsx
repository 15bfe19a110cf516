/** A table in a card, with its headings. */
import type { ComponentChildren } from "preact";
import { Zone } from "./when.tsx";

interface TableProps {
  readonly class: string;
  /** Newer rows are being loaded. */
  readonly isStale?: boolean;
  /** Comes before all other headings. */
  readonly first?: ComponentChildren;
  /** Heading of the column of times: their zone is beside it. */
  readonly time?: string;
  /** Text → class; `hidden`: only a screen reader has the text. */
  readonly headings: Readonly<Record<string, string>>;
  readonly children: ComponentChildren;
}

export function Table({ class: className, isStale = false, first, time, headings, children }: TableProps) {
  return (
    <div class={isStale ? "card table-frame stale" : "card table-frame"}>
      <table class={className}>
        <thead>
          <tr>
            {first}
            {time !== undefined && (
              <th scope="col">
                {time} <Zone />
              </th>
            )}
            {Object.entries(headings).map(([text, of]) => (
              <th key={text} scope="col" class={of === "hidden" ? "" : of}>
                {of === "hidden" ? <span class="hidden">{text}</span> : text}
              </th>
            ))}
          </tr>
        </thead>
        {children}
      </table>
    </div>
  );
}
