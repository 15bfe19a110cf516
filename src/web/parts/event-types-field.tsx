/** The event types of an app: chosen from those that were published lately, or typed, with wildcards. */
import { useState } from "preact/hooks";
import { patternCovers } from "../../model/app.ts";
import { eventPatternsIn } from "../app-form.ts";
import { count, counted } from "../format.ts";
import { type PublishedType, useEventTypes } from "../use-event-types.ts";
import { Field } from "./form.tsx";
import { CloseIcon } from "./icons.tsx";

interface EventTypesFieldProps {
  /** Null: an app that is not there yet. */
  readonly app: string | null;
  readonly chosen: readonly string[];
  readonly isDisabled: boolean;
}

export function EventTypesField({ app, chosen: before, isDisabled }: EventTypesFieldProps) {
  const [chosen, setChosen] = useState(before);
  const [typed, setTyped] = useState("");
  const add = (text: string): void => {
    setChosen([...new Set([...chosen, ...eventPatternsIn(text)])]);
    setTyped("");
  };
  const remove = (pattern: string): void => setChosen(chosen.filter((one) => one !== pattern));
  return (
    <Field
      name="events"
      label="Event types"
      after={!isDisabled && <Published app={app} chosen={chosen} search={typed.trim().toLowerCase()} add={add} remove={remove} />}
      help={isDisabled ? undefined : "An action such as issue.created, a resource such as issue for all its actions, or * for everything."}
    >
      {(attributes) => (
        <>
          <ul class="chips" aria-label="Chosen">
            {chosen.map((pattern) => (
              <li key={pattern} class="chip mono">
                {pattern}
                <input type="hidden" name="events" value={pattern} disabled={isDisabled} />
                {!isDisabled && (
                  <button type="button" aria-label={`Remove ${pattern}`} onClick={() => remove(pattern)}>
                    <CloseIcon />
                  </button>
                )}
              </li>
            ))}
          </ul>
          {chosen.length === 0 && isDisabled && <p class="muted">None</p>}
          {!isDisabled && (
            <input
              {...attributes}
              class="mono"
              placeholder="Type one, or choose from the list"
              value={typed}
              spellcheck={false}
              autocomplete="off"
              onInput={(event) => setTyped(event.currentTarget.value)}
              onKeyDown={(event) => {
                if (event.key === "Backspace" && typed === "") setChosen(chosen.slice(0, -1));
                if ((event.key !== "Enter" && event.key !== ",") || typed.trim() === "") return;
                event.preventDefault();
                add(typed);
              }}
            />
          )}
        </>
      )}
    </Field>
  );
}

/** An event type, or a resource with the sum of its events. */
interface Choice {
  readonly pattern: string;
  readonly events: number | null;
}

const MAX_SHOWN = 200;

interface PublishedProps {
  readonly app: string | null;
  readonly chosen: readonly string[];
  readonly search: string;
  readonly add: (pattern: string) => void;
  readonly remove: (pattern: string) => void;
}

function Published({ app, chosen, search, add, remove }: PublishedProps) {
  const published = useEventTypes(app);
  if (published.error !== null) return <p class="muted">Event types that were published could not be loaded.</p>;
  if (published.value === null) return null;
  const found = grouped(published.value.types).filter(({ pattern }) => pattern.includes(search));
  if (found.length === 0) return null;
  return (
    <fieldset class="published">
      <legend>{published.value.title}</legend>
      {found.slice(0, MAX_SHOWN).map(({ pattern, events }) => {
        const [resource = ""] = pattern.split(".");
        const covering = chosen.find((one) => one !== pattern && patternCovers(one, resource, pattern));
        return (
          <label key={pattern} class={pattern === resource ? "check resource" : "check"}>
            <input
              type="checkbox"
              checked={covering !== undefined || chosen.includes(pattern)}
              disabled={covering !== undefined}
              onChange={(event) => (event.currentTarget.checked ? add(pattern) : remove(pattern))}
            />
            <span class="mono">{pattern}</span>
            {pattern === resource && <span>all actions</span>}
            {events !== null && <span class="numeric">{count(events)}</span>}
          </label>
        );
      })}
      {found.length > MAX_SHOWN && <p class="muted">{counted(found.length - MAX_SHOWN, "more type")}: type to find them.</p>}
    </fieldset>
  );
}

/** Each resource, followed by its actions. */
function grouped(types: readonly PublishedType[]): Choice[] {
  const byResource = Map.groupBy(types, ({ type }) => type.split(".")[0] ?? "");
  return [...byResource]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([resource, actions]) => [
      { pattern: resource, events: actions.reduce<number | null>((sum, { events }) => (events === null ? null : (sum ?? 0) + events), 0) },
      ...actions.toSorted((a, b) => (a.type < b.type ? -1 : 1)).map(({ type, events }) => ({ pattern: type, events })),
    ]);
}
