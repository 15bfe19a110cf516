/** Notices of a view: nothing to show, loading, or failed to load. */
import type { ComponentChildren } from "preact";
import { replaceTimes } from "../../model/rfc3339.ts";
import type { ApiError } from "../api.ts";
import { shownAt } from "../format.ts";
import { WarningIcon } from "./icons.tsx";

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}

/** @param what subject of "… could not be loaded": "The request log" */
export function Failed({ what, error, retry }: { what: string; error: ApiError; retry?: () => void }) {
  const isForbidden = error.status === 403;
  return (
    <div class="notice notice-bad" role="alert">
      <WarningIcon />
      <div>
        <strong>{isForbidden ? `Your token does not cover ${what.replace(/^The /, "the ")}.` : `${what} could not be loaded.`}</strong>{" "}
        <span>{sentence(error.message)}</span>
      </div>
      {retry && !isForbidden && (
        <button type="button" class="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Note({ kind = "plain", children }: { kind?: "plain" | "warn" | "bad" | "ok"; children: ComponentChildren }) {
  return (
    <div class={`notice notice-${kind}`} role="status">
      {kind !== "plain" && kind !== "ok" && <WarningIcon />}
      <div>{children}</div>
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p class="loading" role="status">
      <span class="spinner" aria-hidden="true" /> Loading {what}…
    </p>
  );
}

/** How far an answer of the API reaches. */
export function Notes({ notes }: { notes: readonly string[] }) {
  return (
    <>
      {notes.map((note) => (
        <p key={note} class="muted">
          {sentence(note)}
        </p>
      ))}
    </>
  );
}

/** A text of the API as a sentence, with its times as the page shows them. */
export function sentence(text: string): string {
  const begun = replaceTimes(text.charAt(0).toUpperCase() + text.slice(1), shownAt(Date.now()).time);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
