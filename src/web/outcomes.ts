/** Outcomes of attempts and reasons of dead letters, in words. */
import type { Outcome } from "../model/outcome.ts";

interface OutcomeText {
  readonly label: string;
  readonly meaning: string;
}

/** Charts stack them in this order. */
export const OUTCOME_TEXTS: Readonly<Record<Outcome, OutcomeText>> = {
  delivered: { label: "Delivered", meaning: "The receiver accepted it." },
  failed: { label: "Failed", meaning: "The receiver returned an error. Posthorn will retry until the schedule is exhausted." },
  timed_out: { label: "Timed out", meaning: "The receiver did not answer in time. Posthorn will retry until the schedule is exhausted." },
  unreachable: { label: "Unreachable", meaning: "The connection failed. Posthorn will retry until the schedule is exhausted." },
  rejected: {
    label: "Rejected",
    meaning: "The receiver refused it. Posthorn retries a refusal only if it may concern every webhook, as with 404.",
  },
  gone: { label: "Gone", meaning: "The receiver answered 410 Gone. The integration is broken until it is enabled again." },
  sender_failed: {
    label: "Not sent",
    meaning: "Posthorn could not send it: the receiver is not the cause. Posthorn will retry until the schedule is exhausted.",
  },
  blocked: { label: "Blocked", meaning: "Webhooks to this address are not allowed." },
};

export const OUTCOME_ORDER = Object.keys(OUTCOME_TEXTS) as Outcome[];

/** For a filter. */
export const OUTCOME_OPTIONS = [
  { value: "", text: "All outcomes" },
  ...OUTCOME_ORDER.map((value) => ({ value, text: OUTCOME_TEXTS[value].label })),
];

export const REASON_TEXTS: ReadonlyMap<string, OutcomeText> = new Map(
  Object.entries({
    exhausted: { label: "Exhausted", meaning: "The last attempt of the retry schedule failed." },
    rejected: { label: "Rejected", meaning: "The receiver refused it." },
    gone: { label: "Gone", meaning: "The receiver answered 410." },
    blocked: { label: "Blocked", meaning: "Webhooks to this address are not allowed." },
    uninstalled: { label: "Uninstalled", meaning: "The installation or the app was removed." },
    expired: { label: "Expired", meaning: "It was parked for longer than allowed." },
    overflow: { label: "Overflow", meaning: "There was no room to store it: its app had used up its share, or it was too large." },
    redelivered: { label: "Redelivered", meaning: "It was redelivered too often without being completed." },
    discarded: { label: "Discarded", meaning: "A person discarded it while it was parked." },
    invalid: { label: "Invalid", meaning: "The event could not be read." },
    unreadable: { label: "Unreadable", meaning: "The dead letter can’t be read: it was damaged, or stored by another program." },
  }),
);
