/** An app's state in words, under its name. */
import { appStateOf } from "../app-state.ts";
import { Note } from "../parts/notice.tsx";
import { useNow } from "../use-now.ts";
import type { AppRow } from "../wire.ts";

export function AppStateLine({ row }: { row: AppRow }) {
  const { kind, text } = appStateOf(row, useNow());
  if (kind === "ok" || kind === "plain") return <p class="head-state muted">{text}</p>;
  return <Note kind={kind}>{text}</Note>;
}
