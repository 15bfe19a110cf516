/** The condition of an app and its troubles, in the words of the page. */
import type { AppAtAGlance } from "../client/api-types.generated.ts";
import { type ConditionKind, conditionOf } from "../client/app-condition.ts";
import { troublesOf, unknownText } from "../client/app-state.ts";
import type { Output } from "./output.ts";
import type { Column, Style } from "./table.ts";

export const CONDITION_STYLES: Readonly<Record<ConditionKind, Style>> = { bad: "red", warn: "yellow", ok: "green", plain: "dim" };

/** @param of undefined: the app was created after the others were read */
export function conditionColumns<T>(of: (row: T) => AppAtAGlance | undefined, { time }: Output): { state: Column<T>; why: Column<T> } {
  const shown = { now: Date.now(), time, minute: time };
  const ifSeen =
    <V>(read: (app: AppAtAGlance) => V) =>
    (row: T): V | undefined => {
      const app = of(row);
      return app && read(app);
    };
  const nameOf = ifSeen((app) => conditionOf(app).text.toLowerCase());
  const troubleOf = ifSeen((app) => [...troublesOf(app, shown), unknownText(app) ?? []].flat().join(" "));
  return {
    state: { title: "STATE", cell: (row) => nameOf(row) ?? null, style: ifSeen((app) => CONDITION_STYLES[conditionOf(app).kind]) },
    why: { title: "WHY", cell: (row) => troubleOf(row) ?? null, isDetail: true },
  };
}
