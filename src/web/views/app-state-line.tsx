/** An app's state in words, under its name. */
import { conditionOf } from "../../client/app-condition.ts";
import { appStateOf } from "../../client/app-state.ts";
import { shownAt } from "../format.ts";
import { Note } from "../parts/notice.tsx";
import { useNow } from "../use-now.ts";
import type { AppRow } from "../wire.ts";

export function AppStateLine({ row }: { row: AppRow }) {
  const text = appStateOf(row, shownAt(useNow()));
  const { kind } = conditionOf(row);
  if (kind === "ok" || kind === "plain") return <p class="head-state muted">{text}</p>;
  return <Note kind={kind}>{text}</Note>;
}
