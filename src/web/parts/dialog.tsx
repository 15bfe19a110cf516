/** Dialogs on the browser's own `<dialog>`: it keeps the focus inside, closes with Escape and gives the focus back. */
import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../api.ts";
import { CloseIcon } from "./icons.tsx";
import { sentence } from "./notice.tsx";

interface DialogProps {
  readonly title: ComponentChildren;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
  /** Buttons beside the one that closes. */
  readonly footer?: ComponentChildren;
  /** Text of that button; null: none. */
  readonly close?: string | null;
  /** A side panel, for one item of a list. */
  readonly side?: boolean;
}

export function Dialog({ title, onClose, children, footer, close = "Cancel", side = false }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useLayoutEffect(() => {
    element.current?.showModal();
  }, []);
  return (
    <dialog ref={element} class={side ? "dialog side" : "dialog"} aria-labelledby={heading} onClose={onClose} closedby="any">
      <div class="dialog-frame">
        <header class="dialog-head">
          <h2 id={heading}>{title}</h2>
          <button type="button" class="button quiet icon-only" aria-label="Close" onClick={() => element.current?.close()}>
            <CloseIcon />
          </button>
        </header>
        <div class="dialog-body">{children}</div>
        {footer !== undefined && (
          <footer class="dialog-foot">
            {close !== null && (
              <button type="button" class="button" onClick={onClose}>
                {close}
              </button>
            )}
            {footer}
          </footer>
        )}
      </div>
    </dialog>
  );
}

interface ConfirmProps {
  readonly title: string;
  readonly children: ComponentChildren;
  /** Text of the button. */
  readonly action: string;
  readonly danger?: boolean;
  /** Closes the dialog when it resolves. @throws ApiError, which is shown */
  readonly onConfirm: () => Promise<unknown>;
  readonly onClose: () => void;
}

export function Confirm({ title, children, action, danger = false, onConfirm, onClose }: ConfirmProps) {
  const { run, isRunning, error } = useAction(onConfirm, onClose);
  return (
    <Dialog
      title={title}
      onClose={onClose}
      footer={
        <button type="button" class={danger ? "button danger" : "button primary"} disabled={isRunning} onClick={run}>
          {action}
        </button>
      }
    >
      {children}
      <ActionError error={error} />
    </Dialog>
  );
}

/** An action with its state, for a button and its error. */
export function useAction(action: () => Promise<unknown>, onDone: () => void = () => {}) {
  const [state, setState] = useState<{ isRunning: boolean; error: ApiError | null }>({ isRunning: false, error: null });
  const run = (): void => {
    setState({ isRunning: true, error: null });
    action().then(
      () => {
        setState({ isRunning: false, error: null });
        onDone();
      },
      (reason: unknown) => setState({ isRunning: false, error: reason instanceof ApiError ? reason : new ApiError(0, String(reason)) }),
    );
  };
  return { ...state, run };
}

export function ActionError({ error }: { error: ApiError | null }) {
  if (error === null) return null;
  return (
    <p class="action-error" role="alert">
      {sentence(error.message)}
    </p>
  );
}
