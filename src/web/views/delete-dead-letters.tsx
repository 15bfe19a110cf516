/** Deletes dead letters for good: chosen ones, or all that match. The question says how many. */
import { useState } from "preact/hooks";
import type { DeletedDeadLetters } from "../../client/api-types.generated.ts";
import { ApiError, call, request, withQuery } from "../api.ts";
import { count, counted } from "../format.ts";
import { Confirm, Dialog } from "../parts/dialog.tsx";
import { Failed, Loading } from "../parts/notice.tsx";
import { useSay } from "../parts/toast.tsx";
import { useLoad } from "../use-load.ts";

export interface DeadLetterFilter {
  readonly app: string | null;
  readonly event_type: string | null;
  readonly start: string | null;
  readonly end: string | null;
}

interface DeleteProps {
  readonly onClose: () => void;
  readonly onDone: () => void;
}

const CONCURRENCY = 4;

export function DeleteSelected({ sequences, onClose, onDone }: DeleteProps & { readonly sequences: readonly number[] }) {
  // Deleted dead letters disappear from the list, so the selection is kept.
  const [chosen] = useState(sequences);
  return (
    <Ask
      matching={chosen.length}
      onClose={onClose}
      onDone={onDone}
      run={async () => {
        const queue = [...chosen];
        const work = async (): Promise<void> => {
          for (let sequence = queue.shift(); sequence !== undefined; sequence = queue.shift()) await deleteOne(sequence);
        };
        await Promise.all(Array.from({ length: CONCURRENCY }, work));
        return chosen.length;
      }}
    />
  );
}

/** One that was deleted or replayed meanwhile is gone, too. */
async function deleteOne(sequence: number): Promise<void> {
  try {
    await request(`v1/dead-letters/${sequence}`, { method: "DELETE" });
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 404)) throw error;
  }
}

export function DeleteMatching({ filter, onClose, onDone }: DeleteProps & { readonly filter: DeadLetterFilter }) {
  // Deliveries that are given up after the question was asked are not deleted.
  const [query] = useState({ ...filter, end: filter.end ?? new Date().toISOString() });
  const remove = (dryRun: boolean, signal?: AbortSignal): Promise<DeletedDeadLetters> =>
    call(withQuery("v1/dead-letters", { ...query, dry_run: String(dryRun) }), { method: "DELETE", ...(signal && { signal }) });
  const { value, error, reload } = useLoad(JSON.stringify(query), (signal) => remove(true, signal));
  if (value === null) {
    return (
      <Dialog title="Delete dead letters" onClose={onClose}>
        {error === null ? <Loading what="their number" /> : <Failed what="The number of dead letters" error={error} retry={reload} />}
      </Dialog>
    );
  }
  return (
    <Ask
      matching={value.deleted}
      isMore={!value.complete}
      onClose={onClose}
      onDone={onDone}
      run={async () => {
        let deleted = 0;
        for (;;) {
          const part = await remove(false);
          deleted += part.deleted;
          if (part.complete) return deleted;
        }
      }}
    />
  );
}

interface AskProps extends DeleteProps {
  readonly matching: number;
  /** More match than could be counted. */
  readonly isMore?: boolean;
  /** @returns how many were deleted */
  readonly run: () => Promise<number>;
}

function Ask({ matching, isMore = false, run, onClose, onDone }: AskProps) {
  const say = useSay();
  if (matching === 0) {
    return (
      <Dialog title="Delete dead letters" onClose={onClose}>
        <p>No dead letter matches.</p>
      </Dialog>
    );
  }
  return (
    <Confirm
      title="Delete dead letters"
      action={isMore ? "Delete all" : `Delete ${count(matching)}`}
      danger
      onClose={onClose}
      onConfirm={async () => {
        say(`${counted(await run(), "dead letter")} deleted.`);
        onDone();
      }}
    >
      <p>
        <strong>
          {isMore && "More than "}
          {counted(matching, "dead letter")}
        </strong>{" "}
        will be deleted for good, with {matching === 1 ? "its event" : "their events"}. Deleted dead letters can’t be replayed.
      </p>
    </Confirm>
  );
}
