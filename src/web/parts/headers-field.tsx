/** Headers that are sent with every webhook. A stored value is never shown; it stays unless another one is typed. */
import { useRef, useState } from "preact/hooks";
import { Field } from "./form.tsx";
import { CloseIcon } from "./icons.tsx";

interface Row {
  readonly key: number;
  /** Null: a new header. */
  readonly stored: string | null;
}

export function HeadersField({ stored, isDisabled }: { stored: readonly string[]; isDisabled: boolean }) {
  const [rows, setRows] = useState<readonly Row[]>(() => stored.map((name, key) => ({ key, stored: name })));
  const nextKey = useRef(stored.length);
  return (
    <Field name="headers" label="Headers" help="Sent with every webhook.">
      {({ id, ...attributes }) => (
        <>
          <input type="hidden" name="headers.stored" value="" disabled={isDisabled} />
          {rows.length === 0 && isDisabled && <p class="muted">None</p>}
          {rows.map(({ key, stored: name }, at) => (
            <div key={key} class="header-row">
              {name !== null && <input type="hidden" name="headers.stored" value={name} disabled={isDisabled} />}
              <input
                {...attributes}
                id={at === 0 ? id : undefined}
                class="mono"
                aria-label="Header name"
                placeholder="X-Team"
                defaultValue={name ?? ""}
                disabled={isDisabled}
                spellcheck={false}
                autocomplete="off"
              />
              <input
                name="headers.values"
                class="mono"
                aria-label={name === null ? "Header value" : `Value of ${name}`}
                placeholder={name === null ? "Value" : "Stored; type to replace it"}
                disabled={isDisabled}
                spellcheck={false}
                autocomplete="off"
              />
              {!isDisabled && (
                <button
                  type="button"
                  class="button quiet icon-only"
                  aria-label={`Remove header ${name ?? ""}`.trim()}
                  onClick={() => setRows(rows.filter((row) => row.key !== key))}
                >
                  <CloseIcon />
                </button>
              )}
            </div>
          ))}
          {!isDisabled && (
            <div>
              <button type="button" class="button small" onClick={() => setRows([...rows, { key: nextKey.current++, stored: null }])}>
                Add header
              </button>
            </div>
          )}
        </>
      )}
    </Field>
  );
}
