/** From and to, in the browser's time zone. */
import { useEffect, useRef } from "preact/hooks";
import { setQuery } from "../routing.ts";
import { addressTimeOf, localTimeOf } from "../time-span.ts";
import { zone } from "../zone.ts";

interface SpanFieldsProps {
  /** In the form of the address. */
  readonly from: string;
  readonly to: string;
  readonly problem: string | null;
}

export function SpanFields({ from, to, problem }: SpanFieldsProps) {
  return (
    <fieldset class="toolbar">
      <legend class="hidden">Between two times</legend>
      <SpanField name="from" label="From" time={from} isInvalid={problem !== null} />
      <SpanField name="to" label="To" time={to} isInvalid={problem !== null} />
      <span id="span-help" class="muted span-help">
        Both minutes included; {zone.isUtc() ? "UTC" : `your time zone, ${zone.name()}`}
      </span>
      {problem !== null && (
        <span id="span-problem" class="action-error span-help" role="alert">
          {problem}
        </span>
      )}
    </fieldset>
  );
}

/** While a year is typed it is 0002, then 0020: not one that was meant. */
const EARLIEST = "2000-01-01T00:00";

function SpanField({ name, label, time, isInvalid }: { name: string; label: string; time: string; isInvalid: boolean }) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    // Does not interrupt typing.
    if (input.current !== null && input.current !== document.activeElement) input.current.value = localTimeOf(time);
  }, [time]);
  return (
    <label class="control span-field">
      <span>{label}</span>
      <input
        ref={input}
        type="datetime-local"
        min={EARLIEST}
        aria-describedby={isInvalid ? "span-help span-problem" : "span-help"}
        aria-invalid={isInvalid}
        onChange={({ currentTarget: { value, validity } }) => {
          if (validity.valid) setQuery({ [name]: addressTimeOf(value) });
        }}
      />
    </label>
  );
}
