/** Forms whose errors are shown at the field that is wrong. */
import { type ComponentChildren, createContext } from "preact";
import { useContext, useEffect, useId, useRef, useState } from "preact/hooks";
import { ApiError } from "../api.ts";
import { ActionError } from "./dialog.tsx";

export interface FormState {
  readonly id: string;
  readonly isRunning: boolean;
  readonly error: ApiError | null;
  readonly submit: (element: HTMLFormElement) => void;
}

/** @param send its ApiError is shown: each problem at its field, anything else at the end of the form */
export function useForm(send: (data: FormData) => Promise<unknown>): FormState {
  const id = useId();
  const [state, setState] = useState<{ isRunning: boolean; error: ApiError | null }>({ isRunning: false, error: null });
  const submit = (element: HTMLFormElement): void => {
    // Disabled fields are not in it, so it is read before the form is disabled.
    const data = new FormData(element);
    setState({ isRunning: true, error: null });
    Promise.resolve()
      .then(() => send(data))
      .then(
        () => setState({ isRunning: false, error: null }),
        (reason: unknown) => setState({ isRunning: false, error: reason instanceof ApiError ? reason : new ApiError(0, String(reason)) }),
      );
  };
  return { id, ...state, submit };
}

/** Field → what is wrong with it. */
const Problems = createContext<ReadonlyMap<string, string>>(new Map());

interface FormProps {
  readonly form: FormState;
  readonly class?: string;
  readonly children: ComponentChildren;
  readonly onInput?: () => void;
  /** Buttons beside the error. */
  readonly end?: ComponentChildren;
}

interface SubmitProps {
  readonly form: Pick<FormProps["form"], "id" | "isRunning">;
  readonly class?: string;
  readonly children: ComponentChildren;
}

/** Also outside of its form. */
export function Submit({ form, class: className = "button primary", children }: SubmitProps) {
  return (
    <button type="submit" form={form.id} class={className} disabled={form.isRunning}>
      {children}
    </button>
  );
}

export function Form({ form, class: className = "fields", children, onInput, end }: FormProps) {
  const element = useRef<HTMLFormElement>(null);
  const [shown, setShown] = useState<{ fields: ReadonlyMap<string, string>; other: ApiError | null }>({ fields: new Map(), other: null });
  useEffect(() => setShown(sorted(form.error, element.current)), [form.error]);
  useEffect(() => {
    const wrong = [...(element.current?.querySelectorAll<HTMLElement>("[aria-invalid=true]") ?? [])];
    for (const field of wrong) field.closest("details")?.setAttribute("open", "");
    wrong[0]?.focus();
  }, [shown]);
  return (
    <form
      ref={element}
      id={form.id}
      class={className}
      noValidate
      onInput={onInput}
      onSubmit={(event) => {
        event.preventDefault();
        form.submit(event.currentTarget);
      }}
    >
      <Problems.Provider value={shown.fields}>{children}</Problems.Provider>
      {end === undefined ? (
        <ActionError error={shown.other} />
      ) : (
        <div class="form-end">
          <ActionError error={shown.other} />
          {end}
        </div>
      )}
    </form>
  );
}

/** A problem belongs to the field of its path, or of the path's first member. */
function sorted(error: ApiError | null, form: HTMLFormElement | null): { fields: ReadonlyMap<string, string>; other: ApiError | null } {
  const names = new Set([...(form?.elements ?? [])].map((element) => element.getAttribute("name")));
  const fields = new Map<string, string>();
  for (const { path, message } of error?.problems ?? []) {
    const name = [path, path.split(".")[0] ?? ""].find((candidate) => names.has(candidate));
    // With a problem that has no field, the whole message is shown.
    if (name === undefined) return { fields, other: error };
    fields.set(name, [fields.get(name), message].filter(Boolean).join(" "));
  }
  return { fields, other: fields.size === 0 ? error : null };
}

/** Attributes of the element that is named by the field's label and described by its help and its problem. */
export interface FieldAttributes {
  readonly id: string;
  readonly name: string;
  readonly "aria-invalid": boolean;
  readonly "aria-describedby": string | undefined;
}

interface FieldProps {
  readonly name: string;
  readonly label: string;
  readonly help?: ComponentChildren;
  /** Below the problem and the help. */
  readonly after?: ComponentChildren;
}

export function Field({
  name,
  label,
  help,
  after,
  children,
}: FieldProps & { readonly children: (attributes: FieldAttributes) => ComponentChildren }) {
  const id = useId();
  const problem = useContext(Problems).get(name);
  const described = [problem === undefined ? "" : `${id}-problem`, help === undefined ? "" : `${id}-help`].filter(Boolean).join(" ");
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, name, "aria-invalid": problem !== undefined, "aria-describedby": described || undefined })}
      {problem !== undefined && (
        <p id={`${id}-problem`} class="field-problem">
          {problem}
        </p>
      )}
      {help !== undefined && <small id={`${id}-help`}>{help}</small>}
      {after}
    </div>
  );
}

interface TextFieldProps extends FieldProps {
  readonly value: string;
  readonly placeholder?: string;
  readonly isMono?: boolean;
  readonly isDisabled?: boolean;
  readonly inputMode?: "numeric" | "decimal" | "url";
  readonly onInput?: (text: string) => void;
}

export function TextField({ value, placeholder, isMono = false, isDisabled = false, inputMode, onInput, ...field }: TextFieldProps) {
  return (
    <Field {...field}>
      {(attributes) => (
        <input
          {...attributes}
          class={isMono ? "mono" : ""}
          defaultValue={value}
          placeholder={placeholder}
          disabled={isDisabled}
          inputMode={inputMode}
          spellcheck={false}
          autocomplete="off"
          onInput={onInput && ((event) => onInput(event.currentTarget.value))}
        />
      )}
    </Field>
  );
}

interface ChoiceProps extends FieldProps {
  readonly value: string;
  readonly options: Readonly<Record<string, string>>;
  readonly isDisabled?: boolean;
  readonly onChange?: (value: string) => void;
}

export function Choice({ value, options, isDisabled = false, onChange, ...field }: ChoiceProps) {
  return (
    <Field {...field}>
      {(attributes) => (
        <select {...attributes} disabled={isDisabled} onChange={onChange && ((event) => onChange(event.currentTarget.value))}>
          {Object.entries(options).map(([option, text]) => (
            <option key={option} value={option} selected={option === value}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
