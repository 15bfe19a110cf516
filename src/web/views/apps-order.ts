/** Sorts the table of apps by a column, in either direction. */
import { installedOf } from "../../client/app-condition.ts";
import type { Entry } from "./app-rows.tsx";

export type SortKey = "attention" | "name" | "attempts" | "rate" | "installations" | "parked" | "dead";

export function readSort(sort: string): [key: SortKey, isDescending: boolean] {
  return [sort.replace(/^-/, "") as SortKey, sort.startsWith("-")];
}

/** Numbers sort from the highest first, the success rate from the lowest. */
export function nextSort(of: SortKey, sort: string): string {
  const first = of === "name" || of === "attention" || of === "rate" ? of : `-${of}`;
  return sort === first ? (first.startsWith("-") ? of : `-${of}`) : first;
}

/** Unknown values come last in both directions; equal ones sort by name. */
export function order(key: SortKey, isDescending: boolean): (a: Entry, b: Entry) => number {
  const sortedBy = ({ row, condition, attempts, rate }: Entry): number | string | null => {
    const values = {
      name: row.name.toLowerCase(),
      attention: condition.rank,
      attempts,
      rate,
      installations: installedOf(row),
      parked: row.parked,
      dead: row.dead_letters,
    };
    return values[key] ?? null;
  };
  return (a, b) => {
    const [x, y] = [sortedBy(a), sortedBy(b)];
    if (x !== y) {
      if (x === null) return 1;
      if (y === null) return -1;
      return (x < y ? -1 : 1) * (isDescending ? -1 : 1);
    }
    return a.row.name.toLowerCase() < b.row.name.toLowerCase() ? -1 : 1;
  };
}
