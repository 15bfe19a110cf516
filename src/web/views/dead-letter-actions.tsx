/** The buttons above the dead letters: for the selected ones, or for all that match. */
import type { DeadLetter } from "../../client/api-types.generated.ts";
import { useGround } from "../ground.ts";
import { mayReplay } from "../rows.ts";

/** An action that a dialog asks about. */
export type Action =
  | { readonly kind: "replay" | "delete"; readonly rows: readonly DeadLetter[] }
  | { readonly kind: "replay all" | "delete all" };

interface DeadLetterActionsProps {
  /** The dead letters that are shown. */
  readonly of: readonly DeadLetter[];
  readonly selected: readonly DeadLetter[];
  readonly isFiltered: boolean;
  readonly onAction: (action: Action) => void;
}

export function DeadLetterActions({ of: shown, selected, isFiltered, onAction }: DeadLetterActionsProps) {
  const { can } = useGround();
  const replayable = selected.filter(mayReplay);
  if (selected.length === 0) {
    return (
      <>
        {can.replay && shown.some(mayReplay) && (
          <button type="button" class="button" onClick={() => onAction({ kind: "replay all" })}>
            {isFiltered ? "Replay all matching" : "Replay all"}
          </button>
        )}
        {can.change && (
          <button type="button" class="button" onClick={() => onAction({ kind: "delete all" })}>
            {isFiltered ? "Delete all matching…" : "Delete all…"}
          </button>
        )}
      </>
    );
  }
  return (
    <>
      {can.replay && replayable.length > 0 && (
        <button type="button" class="button primary" onClick={() => onAction({ kind: "replay", rows: replayable })}>
          Replay {replayable.length} selected
        </button>
      )}
      {can.change && (
        <button type="button" class="button" onClick={() => onAction({ kind: "delete", rows: selected })}>
          Delete {selected.length} selected…
        </button>
      )}
    </>
  );
}
