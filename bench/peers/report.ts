/** The rounds of a run as lines and as a Markdown table. */
import { median } from "../support/usage.ts";
import type { Measured } from "./measure.ts";

export function describe({ perSecond, productUs, storesUs, productMb, storesMb, p50, p99, crash, beside }: Measured): string {
  const parts = [
    `${perSecond.toFixed(0)}/s, product ${productUs.toFixed(0)} µs and stores ${storesUs.toFixed(0)} µs a delivery`,
    `${productMb.atRest.toFixed(0)} → ${productMb.loaded.toFixed(0)} MB and stores ${storesMb.toFixed(0)} MB`,
    `p50 ${ms(p50)} and p99 ${ms(p99)} at half rate`,
  ];
  if (crash !== null) parts.push(`kill -9: ${crash.lost} of ${crash.accepted} lost, ${crash.twice} twice, ${crash.refused} refused`);
  if (beside !== null) parts.push(`beside a hanging endpoint: p99 ${ms(beside.p99)}, ${beside.delivered} of ${beside.sent}`);
  return parts.join("; ");
}

export function table(all: ReadonlyMap<string, readonly Measured[]>): string {
  return `| | deliveries/s | CPU of product µs | of stores µs | memory at rest → loaded MB | of stores MB | p50 · p99 | p99 beside a hanging endpoint | lost · twice after kill -9 |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
${[...all].map(([name, rounds]) => `| ${[name, ...row(rounds)].join(" | ")} |`).join("\n")}
`;
}

/** Medians of the rounds; the faults are in the first one. */
function row(rounds: readonly Measured[]): readonly string[] {
  const of = (value: (measured: Measured) => number): number => median(rounds.map(value));
  const whole = (value: (measured: Measured) => number): string => of(value).toFixed(0);
  const rates = rounds.map(({ perSecond }) => perSecond);
  const spread = rounds.length === 1 ? "" : ` (${Math.min(...rates).toFixed(0)}–${Math.max(...rates).toFixed(0)})`;
  const crash = rounds.find((measured) => measured.crash !== null)?.crash;
  const beside = rounds.find((measured) => measured.beside !== null)?.beside;
  return [
    `${whole(({ perSecond }) => perSecond)}${spread}`,
    whole(({ productUs }) => productUs),
    whole(({ storesUs }) => storesUs),
    `${whole(({ productMb }) => productMb.atRest)} → ${whole(({ productMb }) => productMb.loaded)}`,
    whole(({ storesMb }) => storesMb),
    `${ms(of(({ p50 }) => p50))} · ${ms(of(({ p99 }) => p99))}`,
    beside == null ? "" : `${ms(beside.p99)}${beside.delivered < beside.sent ? ` (${beside.delivered} of ${beside.sent})` : ""}`,
    crash == null ? "" : `${crash.lost} · ${crash.twice} of ${crash.accepted}`,
  ];
}

function ms(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "not within the time";
  return value < 1_000 ? `${value.toFixed(value < 10 ? 1 : 0)} ms` : `${(value / 1_000).toFixed(1)} s`;
}
