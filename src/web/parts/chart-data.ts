/** The data of a chart. */
import type { Scale } from "../chart-scale.ts";

export interface Series {
  readonly key: string;
  readonly label: string;
  /** One value per period; null: none. */
  readonly values: readonly (number | null)[];
  /** For the whole range, in the legend. */
  readonly total: number | null;
}

/** Its CSS variables are named after the keys. */
export const colourOf = (key: string) => ({ "--series": `var(--${key.replace("_", "-")})` });

export interface ChartProps {
  readonly title: string;
  readonly kind: "bars" | "lines";
  readonly series: readonly Series[];
  /** The periods in words: for the axis, and in full. */
  readonly periods: ReadonlyArray<{ readonly short: string; readonly full: string }>;
  readonly scale: Scale;
  readonly format: (value: number) => string;
  /** The range of the totals: "last 24 hours". */
  readonly range: string;
}

export function shown(value: number | null, format: (value: number) => string): string {
  return value === null ? "–" : format(value);
}
