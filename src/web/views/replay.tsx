/** Replays with progress: the selected dead letters one by one, or all matching ones in one call. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { DeadLetter, DeadLetterReplay } from "../../client/api-types.generated.ts";
import { ApiError, call } from "../api.ts";
import { count, counted } from "../format.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Loading, sentence } from "../parts/notice.tsx";
import type { DeadLetterFilter } from "./delete-dead-letters.tsx";

interface Progress {
  readonly done: number;
  readonly of: number;
  readonly skipped: number;
  readonly state: "asking" | "counting" | "running" | "done" | "failed";
  readonly error: string | null;
}

const CONCURRENCY = 4;
const POLL_EVERY_MS = 500;

export function ReplaySelected({
  deadLetters,
  onClose,
  onDone,
}: {
  deadLetters: readonly DeadLetter[];
  onClose: () => void;
  onDone: () => void;
}) {
  // Replayed dead letters disappear from the list, so the selection is kept.
  const [chosen] = useState(deadLetters);
  const [progress, setProgress] = useState<Progress>({ done: 0, of: chosen.length, skipped: 0, state: "asking", error: null });
  const isStopped = useRef(false);

  const run = async (): Promise<void> => {
    setProgress((before) => ({ ...before, state: "running" }));
    const queue = [...chosen];
    let failure: string | null = null;
    const work = async (): Promise<void> => {
      for (let deadLetter = queue.shift(); deadLetter !== undefined && failure === null && !isStopped.current; deadLetter = queue.shift()) {
        try {
          await call(`v1/dead-letters/${deadLetter.sequence}/replay`, { method: "POST" });
          setProgress((before) => ({ ...before, done: before.done + 1 }));
        } catch (error) {
          // It was replayed elsewhere, or can't be replayed.
          if (error instanceof ApiError && (error.status === 404 || error.status === 409))
            setProgress((before) => ({ ...before, done: before.done + 1, skipped: before.skipped + 1 }));
          else failure = error instanceof Error ? error.message : String(error);
        }
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, work));
    setProgress((before) => ({ ...before, state: failure === null ? "done" : "failed", error: failure }));
    onDone();
  };
  const close = (): void => {
    isStopped.current = true;
    onClose();
  };

  return (
    <ReplayDialog progress={progress} onClose={close} onRun={() => void run()}>
      <p>{counted(chosen.length, "dead letter")} will be replayed. Each is removed from the list once it is stored for delivery.</p>
    </ReplayDialog>
  );
}

export function ReplayAll({ filter, onClose, onDone }: { filter: DeadLetterFilter; onClose: () => void; onDone: () => void }) {
  const [progress, setProgress] = useState<Progress>({ done: 0, of: 0, skipped: 0, state: "counting", error: null });
  const isOpen = useRef(true);

  const replay = (dryRun: boolean): Promise<DeadLetterReplay> =>
    call<DeadLetterReplay>("v1/dead-letters/replay", { method: "POST", body: { ...filter, dry_run: dryRun } });
  const wholeOf = async (begun: DeadLetterReplay, onProgress: (replay: DeadLetterReplay) => void): Promise<DeadLetterReplay> => {
    let now = begun;
    while (now.state === "running" && isOpen.current) {
      onProgress(now);
      await new Promise((resolve) => setTimeout(resolve, POLL_EVERY_MS));
      now = await call<DeadLetterReplay>(`v1/dead-letters/replays/${begun.replay_id}`);
    }
    if (now.state === "failed") throw new ApiError(0, now.error ?? "the replay failed");
    return now;
  };
  const failed = (error: unknown): void => {
    const text = error instanceof Error ? error.message : String(error);
    setProgress((before) => ({ ...before, state: "failed", error: text }));
  };

  useEffect(() => {
    replay(true)
      .then((begun) => wholeOf(begun, ({ matched }) => setProgress((before) => ({ ...before, of: matched }))))
      .then(({ matched }) => setProgress((before) => ({ ...before, of: matched, state: "asking" })))
      .catch(failed);
    return () => {
      isOpen.current = false;
    };
  }, []);

  const run = async (): Promise<void> => {
    setProgress((before) => ({ ...before, state: "running" }));
    const show = (now: DeadLetterReplay, state: Progress["state"]): void =>
      setProgress((before) => ({
        ...before,
        done: now.replayed + now.skipped,
        of: Math.max(before.of, now.matched),
        skipped: now.skipped,
        state,
      }));
    try {
      show(await wholeOf(await replay(false), (now) => show(now, "running")), "done");
    } catch (error) {
      failed(error);
    }
    onDone();
  };

  return (
    <ReplayDialog progress={progress} onClose={onClose} onRun={() => void run()}>
      <p>
        <strong>{counted(progress.of, "dead letter")}</strong> {progress.of === 1 ? "matches" : "match"} and will be replayed
        {filter.app === null ? ", for all apps" : ""}.
      </p>
    </ReplayDialog>
  );
}

interface ReplayDialogProps {
  readonly progress: Progress;
  readonly onClose: () => void;
  readonly onRun: () => void;
  readonly children: ComponentChildren;
}

function ReplayDialog({ progress, onClose, onRun, children }: ReplayDialogProps) {
  const { state, done, of, skipped, error } = progress;
  const isOver = state === "done" || state === "failed";
  return (
    <Dialog
      title="Replay dead letters"
      onClose={onClose}
      close={isOver ? "Close" : state === "running" ? "Close and continue" : "Cancel"}
      footer={
        (state === "asking" || state === "counting") && (
          <button type="button" class="button primary" disabled={state === "counting" || of === 0} onClick={onRun}>
            Replay {state === "asking" ? count(of) : ""}
          </button>
        )
      }
    >
      {state === "counting" && <Loading what="their number" />}
      {state === "asking" && children}
      {(state === "running" || isOver) && (
        <div role="status">
          <progress max={Math.max(1, of)} value={state === "done" ? Math.max(1, of) : done} aria-label="Replayed" />
          <p>
            {state === "done" ? "Done: " : ""}
            {count(done - skipped)} of {count(of)} replayed{skipped > 0 && `, ${count(skipped)} skipped`}.
          </p>
        </div>
      )}
      {error !== null && (
        <p class="action-error" role="alert">
          {sentence(error)}
        </p>
      )}
    </Dialog>
  );
}
