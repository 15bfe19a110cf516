/** Short words with a colour, which never says more than the word: red means failed, amber means waiting. */

import { type ConditionKind, conditionOf } from "../../client/app-condition.ts";
import type { InstallationStatus } from "../../model/app.ts";
import type { Outcome } from "../../model/outcome.ts";
import { OUTCOME_TEXTS, REASON_TEXTS } from "../outcomes.ts";
import type { AppRow } from "../wire.ts";

export function Pill({ kind, text, title }: { kind: ConditionKind; text: string; title?: string }) {
  return (
    <span class={`pill pill-${kind}`} title={title}>
      {text}
    </span>
  );
}

export function ConditionPill({ row }: { row: AppRow }) {
  const { kind, text } = conditionOf(row);
  return <Pill kind={kind} text={text} />;
}

export function OutcomePill({ outcome, code }: { outcome: Outcome; code: number }) {
  return (
    <Pill
      kind={outcome === "delivered" ? "ok" : "bad"}
      text={code === 0 ? OUTCOME_TEXTS[outcome].label : `${code} ${OUTCOME_TEXTS[outcome].label}`}
    />
  );
}

export function ReasonPill({ reason }: { reason: string }) {
  const known = REASON_TEXTS.get(reason);
  return (
    <Pill kind={reason === "discarded" ? "plain" : "bad"} text={known?.label ?? reason} {...(known ? { title: known.meaning } : {})} />
  );
}

const STATUS_KINDS = { active: "ok", broken: "bad", disabled: "plain" } as const;
const STATUS_TEXTS = { active: "Active", broken: "Broken", disabled: "Disabled" } as const;

export function StatusPill({ status }: { status: InstallationStatus }) {
  return <Pill kind={STATUS_KINDS[status]} text={STATUS_TEXTS[status]} />;
}
