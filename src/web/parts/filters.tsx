/** Filters above a list. They are kept in the address. */
import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import { setQuery } from "../routing.ts";

interface FilterProps {
  /** The member of the address. */
  readonly name: string;
  readonly label: string;
  readonly value: string;
}

/** Another filter begins with the first page. */
function apply(name: string, value: string, before: string): void {
  if (value !== before) setQuery({ [name]: value === "" ? null : value, cursor: null });
}

/** Applied with Enter, when the field is left, or when it is emptied. */
export function FilterField({ name, label, value, choices = [] }: FilterProps & { readonly choices?: readonly string[] }) {
  const list = useId();
  return (
    <label class="control">
      <span class="hidden">{label}</span>
      <input
        key={value}
        type="search"
        name={name}
        placeholder={label}
        defaultValue={value}
        spellcheck={false}
        autocomplete="off"
        {...(choices.length > 0 && { list })}
        onChange={(event) => apply(name, event.currentTarget.value.trim(), value)}
        onInput={(event) => event.currentTarget.value === "" && apply(name, "", value)}
      />
      {choices.length > 0 && (
        <datalist id={list}>
          {choices.map((choice) => (
            <option key={choice} value={choice} />
          ))}
        </datalist>
      )}
    </label>
  );
}

interface FilterSelectProps extends FilterProps {
  readonly options: ReadonlyArray<{ readonly value: string; readonly text: string }>;
}

export function FilterSelect({ name, label, value, options }: FilterSelectProps) {
  return (
    <label class="control">
      <span class="hidden">{label}</span>
      <select value={value} onChange={(event) => apply(name, event.currentTarget.value, value)}>
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.text}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Filters for the few who want them, shown on demand or when one is in use. */
export function MoreFilters({ isInUse, children }: { readonly isInUse: boolean; readonly children: ComponentChildren }) {
  const [isOpen, setOpen] = useState(isInUse);
  return (
    <>
      {!isInUse && (
        <button type="button" class="button quiet" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
          {isOpen ? "Fewer filters" : "More filters"}
        </button>
      )}
      {(isOpen || isInUse) && <div class="toolbar more-filters">{children}</div>}
    </>
  );
}
