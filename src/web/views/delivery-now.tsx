/** The current state of a delivery, whatever the outcome of the attempt that is shown. */
import type { ComponentChildren } from "preact";
import type { DeliveryAnswer, ExplainedDelivery } from "../../client/api-types.generated.ts";
import { ApiError, call } from "../api.ts";
import { REASON_TEXTS } from "../outcomes.ts";
import { DELIVERY_STATES } from "../parts/delivery-state.ts";
import { Facts } from "../parts/facts.tsx";
import { Failed, Loading, Notes, sentence } from "../parts/notice.tsx";
import { Pill, ReasonPill } from "../parts/pills.tsx";
import { Refresh } from "../parts/refresh.tsx";
import { When } from "../parts/when.tsx";
import { hrefOf } from "../routing.ts";
import { useLoad } from "../use-load.ts";

const PARKED_TEXTS = {
  disabled: "The installation is disabled. It is delivered when the installation is enabled.",
  broken: "The integration is broken. Posthorn probes it with one parked delivery; a success releases the others.",
  stopped: "A dead letter stops its order key. Replay, resend or delete it, or let the app continue after a dead letter.",
  throttled: "The app’s receiver has asked for a pause. Parked deliveries are sent when it is over.",
  circuit: "The app’s circuit is open. Parked deliveries are sent when an attempt succeeds.",
  ordered: "The app is ordered. It waits for earlier deliveries.",
  queue: "It waits for earlier deliveries, or for a free slot of the app’s concurrency limit.",
} as const;

export function DeliveryNow({ id }: { id: string }) {
  const { value, error, isLoading, reload } = useLoad(id, (signal) => read(id, signal));
  return (
    <section class="detail-section" aria-labelledby="delivery-now">
      <div class="section-head">
        <h3 id="delivery-now">Delivery state</h3>
        <Refresh of={{ isLoading, reload }} class="quiet small" />
      </div>
      {error !== null && <Failed what="The delivery state" error={error} retry={reload} />}
      {value === null && error === null && <Loading what="the delivery state" />}
      {value === "unknown" && <p class="muted">Nothing is known about it any more.</p>}
      {value !== null && value !== "unknown" && error === null && <State answer={value} />}
    </section>
  );
}

async function read(id: string, signal: AbortSignal): Promise<DeliveryAnswer | "unknown"> {
  try {
    return await call<DeliveryAnswer>(`v1/deliveries/${id}`, { signal });
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return "unknown";
    throw error;
  }
}

function State({ answer: { delivery, notes } }: { answer: DeliveryAnswer }) {
  const { state, app, delivered_at, next_attempt_at, parked, stopped_by, dead_letter } = delivery;
  return (
    <>
      <p>
        <Pill {...DELIVERY_STATES[state]} /> {meaningOf(delivery)}
      </p>
      <Facts
        facts={[
          ["Delivered", delivered_at && <When at={delivered_at} />],
          ["Next attempt", next_attempt_at && <When at={next_attempt_at} />],
          ["Parked since", parked && <When at={parked.since} />],
          ["Expires", parked && parked.because !== "stopped" && <When at={parked.expires_at} />],
          [
            "Order stopped",
            stopped_by && (
              <>
                <When at={stopped_by.since} /> by{" "}
                <a href={hrefOf(["apps", app, "dead-letters"], { open: String(stopped_by.dead_letter) })}>
                  dead letter {stopped_by.dead_letter}
                </a>
              </>
            ),
          ],
          ["Given up", dead_letter && <When at={dead_letter.at} />],
          ["Reason", dead_letter && <ReasonPill reason={dead_letter.reason} />],
          [
            "Number",
            dead_letter && (
              <a href={hrefOf(["apps", app, "dead-letters"], { open: String(dead_letter.sequence) })}>{dead_letter.sequence}</a>
            ),
          ],
        ]}
      />
      {delivery.skipped.map(({ at, detail: what }) => (
        <p key={at} class="muted">
          <When at={at} /> {sentence(what)}
        </p>
      ))}
      <Notes notes={notes} />
    </>
  );
}

function meaningOf({ state, detail, parked, dead_letter, stopped_by }: ExplainedDelivery): ComponentChildren {
  // It has two reasons then.
  if (state === "parked" && stopped_by !== null && parked?.because !== "stopped") return sentence(detail);
  if (state === "parked" && parked !== null)
    return parked.because === "rate_limit" || parked.because === "pace" ? sentence(detail) : PARKED_TEXTS[parked.because];
  if (state === "dead_letter" && dead_letter !== null)
    return sentence(dead_letter.error ?? REASON_TEXTS.get(dead_letter.reason)?.meaning ?? dead_letter.reason);
  return state === "throttled" || state === "pending" || state === "test_failed" || state === "unknown" ? sentence(detail) : null;
}
