/** Actions for an app whose receiver works again: what waits is sent now. */
import { call } from "../api.ts";
import { counted } from "../format.ts";
import { ActionError, useAction } from "../parts/dialog.tsx";
import { useSay } from "../parts/toast.tsx";
import type { AppRow } from "../wire.ts";

export function AppActions({ row: { slug, circuit } }: { row: AppRow }) {
  const say = useSay();
  const retry = useAction(async () => {
    const { deliveries } = await call<{ deliveries: number }>(`v1/apps/${slug}/retry-now`, { method: "POST" });
    say(deliveries === 0 ? "No delivery waits for a retry." : `${counted(deliveries, "delivery is", "deliveries are")} due now.`);
  });
  const close = useAction(async () => {
    await call(`v1/apps/${slug}/circuit/close`, { method: "POST" });
    say("The circuit is closed. Parked deliveries are being sent.");
  });
  return (
    <>
      <ActionError error={retry.error ?? close.error} />
      {circuit.state !== "closed" && (
        <button type="button" class="button" disabled={close.isRunning} onClick={close.run}>
          Close circuit
        </button>
      )}
      <button type="button" class="button" disabled={retry.isRunning} onClick={retry.run}>
        Retry now
      </button>
    </>
  );
}
