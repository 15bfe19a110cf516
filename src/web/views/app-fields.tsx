/** The fields of an app. A form has those that its user may change; others are shown, and can't be changed. */
import { useState } from "preact/hooks";
import { type AppTexts, BY_DATA } from "../app-form.ts";
import { Choice, TextField } from "../parts/form.tsx";

export const APP_STATUSES = { internal: "Internal", unpublished: "Unpublished", published: "Published" } as const;

const ORDERS = {
  none: "No order: all at once",
  app: "One at a time",
  installation: "One at a time for each installation",
  project: "One at a time for each project",
  [BY_DATA]: "One at a time for each value in the data",
} as const;

const ON_EXHAUSTED = { continue: "The next one is sent", stop: "Those behind it wait until it is replayed or deleted" } as const;

/** How deliveries are attempted. */
export function DeliveryFields({ texts, isDisabled }: { texts: AppTexts; isDisabled: boolean }) {
  return (
    <>
      <TextField
        name="retry_schedule_s"
        label="Retries after"
        value={texts.retry_schedule_s}
        placeholder="Default"
        help="Delays before the 2nd, 3rd, … attempt, such as 5s, 30s, 5m. “none” for no retries, empty for the default."
        isMono
        isDisabled={isDisabled}
      />
      <TextField
        name="retry_on"
        label="Retries on"
        value={texts.retry_on}
        placeholder="Default"
        help="Answers that are retried, such as 404, 429, 5xx. “none” for no answer, empty for the default."
        isMono
        isDisabled={isDisabled}
      />
      <div class="field-row">
        <TextField
          name="timeout_ms"
          label="Timeout"
          value={texts.timeout_ms}
          placeholder="Default"
          help="Such as 500ms, 10s."
          isDisabled={isDisabled}
        />
        <TextField
          name="max_in_flight"
          label="Attempts at once"
          value={texts.max_in_flight}
          placeholder="Default"
          help="At most, over all replicas."
          inputMode="numeric"
          isDisabled={isDisabled}
        />
        <TextField
          name="rate_limit.per_s"
          label="Attempts a second"
          value={texts["rate_limit.per_s"]}
          placeholder="No limit"
          help="The rest waits."
          inputMode="decimal"
          isDisabled={isDisabled}
        />
        <TextField
          name="rate_limit.burst"
          label="Burst"
          value={texts["rate_limit.burst"]}
          placeholder="One second’s"
          help="At once, after a pause."
          inputMode="numeric"
          isDisabled={isDisabled}
        />
      </div>
      <OrderFields texts={texts} isDisabled={isDisabled} />
    </>
  );
}

function OrderFields({ texts, isDisabled }: { texts: AppTexts; isDisabled: boolean }) {
  const [order, setOrder] = useState(texts.order_by);
  return (
    <div class="field-row">
      <Choice name="order_by" label="Order" value={texts.order_by} options={ORDERS} isDisabled={isDisabled} onChange={setOrder} />
      {order === BY_DATA && (
        <TextField
          name="order_pointer"
          label="Value in the data"
          value={texts.order_pointer}
          placeholder="/issue/id"
          help="A JSON Pointer."
          isMono
          isDisabled={isDisabled}
        />
      )}
      {order !== "none" && (
        <Choice
          name="on_exhausted"
          label="When one is given up"
          value={texts.on_exhausted}
          options={ON_EXHAUSTED}
          isDisabled={isDisabled}
        />
      )}
    </div>
  );
}
