/** A choice among a few visible options. */
import { useRef } from "preact/hooks";
import { useFade } from "./use-fade.ts";

interface SegmentsProps<T extends string> {
  readonly label: string;
  readonly value: T;
  readonly options: ReadonlyArray<{ readonly value: T; readonly text: string }>;
  readonly onChange: (value: T) => void;
}

export function Segments<T extends string>({ label, value, options, onChange }: SegmentsProps<T>) {
  const line = useRef<HTMLFieldSetElement>(null);
  useFade(line, "[aria-pressed=true]", value);
  return (
    <fieldset ref={line} class="segments scrolling">
      <legend class="hidden">{label}</legend>
      {options.map((option) => (
        <button key={option.value} type="button" aria-pressed={option.value === value} onClick={() => onChange(option.value)}>
          {option.text}
        </button>
      ))}
    </fieldset>
  );
}
