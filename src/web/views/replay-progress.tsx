/** A replay that was started: its counts, and buttons that pause, resume and cancel it. */
import type { Replay } from "../../client/api-types.generated.ts";
import { call } from "../api.ts";
import { count } from "../format.ts";
import { ActionError, Dialog, useAction } from "../parts/dialog.tsx";
import { Facts } from "../parts/facts.tsx";

const STATES: Readonly<Record<Replay["state"], string>> = {
  running: "Sending",
  paused: "Paused",
  done: "Done",
  cancelled: "Cancelled",
  failed: "Stopped",
};

const WAITS: Readonly<Record<NonNullable<Replay["waiting_for"]>, string>> = {
  events: "newer events to be delivered",
  throttled: "the receiver, which has asked for a pause",
  circuit: "the app's circuit, which is open",
  rate: "the app's rate limit",
  queue: "parked deliveries of the app",
  capacity: "fresh deliveries, which go first",
  retries: "deliveries that are retried",
};

interface ReplayProgressProps {
  readonly replay: Replay;
  readonly onChange: (replay: Replay) => void;
  readonly onClose: () => void;
  readonly onAnother: () => void;
}

export function ReplayProgress({ replay, onChange, onClose, onAnother }: ReplayProgressProps) {
  const { id, state, percent, found, sent, done, skipped, failed, error, waiting_for: waits } = replay;
  const change = (verb: string) => async (): Promise<void> => onChange(await call<Replay>(`v1/replays/${id}/${verb}`, { method: "POST" }));
  const pause = useAction(change("pause"));
  const resume = useAction(change("resume"));
  const cancel = useAction(change("cancel"));
  const isOver = state !== "running" && state !== "paused";
  const isChanging = pause.isRunning || resume.isRunning || cancel.isRunning;
  return (
    <Dialog
      title="Send again"
      onClose={onClose}
      close={state === "running" ? "Close and continue" : "Close"}
      footer={
        <>
          {isOver && (
            <button type="button" class="button" onClick={onAnother}>
              Send more
            </button>
          )}
          {!isOver && (
            <>
              <button type="button" class="button danger" disabled={isChanging} onClick={cancel.run}>
                Cancel replay
              </button>
              <button type="button" class="button" disabled={isChanging} onClick={state === "paused" ? resume.run : pause.run}>
                {state === "paused" ? "Resume" : "Pause"}
              </button>
            </>
          )}
        </>
      }
    >
      <div role="status">
        <progress max={100} value={percent} aria-label="Read" />
        <p>
          {STATES[state]}: {count(sent)} of {count(found)} sent, {count(done)} delivered
          {failed > 0 && `, ${count(failed)} failed again`}
          {skipped > 0 && `, ${count(skipped)} skipped`}.{state === "running" && waits !== null && ` Waits for ${WAITS[waits]}.`}
        </p>
      </div>
      <Facts
        facts={[
          ["Replay", <span class="mono">{id}</span>],
          ["Rate", `${replay.rate_per_s} per second`],
          ["Error", error],
        ]}
      />
      <ActionError error={pause.error ?? resume.error ?? cancel.error} />
    </Dialog>
  );
}
