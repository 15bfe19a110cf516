/** The outcomes in words. */
import type { Outcome } from "../model/outcome.ts";

interface OutcomeText {
  readonly label: string;
  readonly meaning: string;
}

/** In the order in which charts stack them. */
export const OUTCOME_TEXTS: Readonly<Record<Outcome, OutcomeText>> = {
  delivered: { label: "Delivered", meaning: "The receiver took it." },
  failed: { label: "Failed", meaning: "The receiver answered that it can't now; it is tried again as long as the schedule has attempts." },
  timed_out: { label: "Timed out", meaning: "No answer within the deadline; it is tried again as long as the schedule has attempts." },
  unreachable: { label: "Unreachable", meaning: "No connection could be made; it is tried again as long as the schedule has attempts." },
  rejected: { label: "Rejected", meaning: "The receiver refused it; it is not tried again by itself." },
  gone: { label: "Gone", meaning: "The receiver answered 410: the integration is broken until somebody enables it." },
  blocked: { label: "Blocked", meaning: "The address is not one that webhooks may go to." },
};

export const OUTCOME_ORDER = Object.keys(OUTCOME_TEXTS) as Outcome[];

export const REASON_TEXTS: ReadonlyMap<string, OutcomeText> = new Map(
  Object.entries({
    exhausted: { label: "Exhausted", meaning: "The last attempt of the retry schedule failed." },
    rejected: { label: "Rejected", meaning: "The receiver refused it." },
    gone: { label: "Gone", meaning: "The receiver answered 410." },
    blocked: { label: "Blocked", meaning: "The address is not one that webhooks may go to." },
    uninstalled: { label: "Uninstalled", meaning: "The installation or the app was removed." },
    expired: { label: "Expired", meaning: "It was parked for too long." },
    overflow: { label: "Overflow", meaning: "The app had used up its share of the room for parked deliveries." },
    redelivered: { label: "Redelivered", meaning: "It was handed out again and again without an end." },
    discarded: { label: "Discarded", meaning: "A person discarded it while it was parked." },
    invalid: { label: "Invalid", meaning: "The event could not be read." },
    unreadable: { label: "Unreadable", meaning: "The dead letter itself can’t be read: it was damaged or stored by another program." },
  }),
);
