/** Scales of the charts: round values for the axis, and where a value goes. */

export interface Scale {
  readonly ticks: readonly number[];
  /** 0 at the bottom, 1 at the top. */
  at(value: number): number;
}

/** From zero to a round value at or above `most`. */
export function linearScale(most: number, wantedTicks = 4): Scale {
  const step = roundStep(Math.max(most, 1) / wantedTicks);
  const top = Math.ceil(Math.max(most, 1) / step) * step;
  const ticks = Array.from({ length: Math.round(top / step) + 1 }, (_, index) => index * step);
  return { ticks, at: (value) => value / top };
}

/** 1, 2 or 5 times a power of ten, at least 1: only whole things are counted. */
function roundStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((candidate) => candidate * power >= rough) ?? 10;
  return Math.max(1, factor * power);
}

/** For durations, which differ by powers of ten: p50 stays readable beside a p99 at the deadline. */
export function logScale(least: number, most: number): Scale {
  const bottom = Math.floor(Math.log10(Math.max(least, 0.1)));
  const top = Math.max(bottom + 1, Math.ceil(Math.log10(Math.max(most, 0.1))));
  const decades = Array.from({ length: top - bottom + 1 }, (_, index) => 10 ** (bottom + index));
  const ticks =
    top - bottom > 2 ? decades : decades.flatMap((decade, index) => (index < top - bottom ? [decade, 2 * decade, 5 * decade] : [decade]));
  return { ticks, at: (value) => (Math.log10(Math.max(value, 0.1)) - bottom) / (top - bottom) };
}
