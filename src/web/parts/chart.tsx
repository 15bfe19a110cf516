/**
 * A chart over time: stacked bars or lines. The legend shows the totals, or the values of the period that the pointer or
 * the arrow keys select; a table has the same numbers.
 */
import type { TargetedPointerEvent } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Scale } from "../chart-scale.ts";

export interface Series {
  readonly key: string;
  readonly label: string;
  /** One value per period; null: none. */
  readonly values: readonly (number | null)[];
  /** For the whole range, in the legend. */
  readonly total: number | null;
}

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

const HEIGHT = 190;
const MARGIN = { top: 8, right: 6, bottom: 22, left: 56 };
const LABEL_WIDTH = 64;

export function Chart({ title, kind, series, periods, scale, format, range }: ChartProps) {
  const [at, setAt] = useState<number | null>(null);
  const [frame, width] = useWidth();
  const heading = useId();
  const inner = { width: Math.max(0, width - MARGIN.left - MARGIN.right), height: HEIGHT - MARGIN.top - MARGIN.bottom };
  const step = inner.width / periods.length;
  const y = (value: number): number => MARGIN.top + inner.height * (1 - scale.at(value));
  const x = (index: number): number => MARGIN.left + step * (index + 0.5);
  const said = (index: number | null): string =>
    `${index === null ? range : periods[index]?.full}: ${series
      .map((one) => `${one.label} ${shown(index === null ? one.total : (one.values[index] ?? null), format)}`)
      .join(", ")}`;
  const move = (index: number): void => setAt(Math.max(0, Math.min(periods.length - 1, index)));

  const onKeyDown = (event: KeyboardEvent): void => {
    const from = at ?? periods.length;
    const to = { ArrowLeft: from - 1, ArrowRight: at === null ? 0 : from + 1, Home: 0, End: periods.length - 1 }[event.key];
    if (event.key === "Escape") setAt(null);
    if (to === undefined) return;
    event.preventDefault();
    move(to);
  };
  const onPointerMove = (event: TargetedPointerEvent<SVGSVGElement>): void => {
    const left = event.clientX - event.currentTarget.getBoundingClientRect().left - MARGIN.left;
    if (step > 0) move(Math.floor(left / step));
  };
  const every = Math.max(1, Math.ceil(periods.length / Math.max(1, Math.floor(inner.width / LABEL_WIDTH))));

  return (
    <figure class="card chart" aria-labelledby={heading}>
      <figcaption class="chart-head">
        <h3 id={heading}>{title}</h3>
        <span class="muted">{at === null ? range : periods[at]?.full}</span>
      </figcaption>
      <div
        ref={frame}
        class="chart-frame"
        role="slider"
        tabIndex={0}
        aria-label={`${title}, by time`}
        aria-valuemin={0}
        aria-valuemax={periods.length - 1}
        aria-valuenow={at ?? periods.length - 1}
        aria-valuetext={said(at)}
        onKeyDown={onKeyDown}
        onBlur={() => setAt(null)}
      >
        <svg
          width={width}
          height={HEIGHT}
          aria-hidden="true"
          focusable="false"
          onPointerMove={onPointerMove}
          onPointerLeave={() => setAt(null)}
        >
          {scale.ticks.map((tick) => (
            <g key={tick}>
              <path class="chart-grid" d={`M${MARGIN.left} ${Math.round(y(tick)) + 0.5}H${width - MARGIN.right}`} />
              <text class="chart-tick" x={MARGIN.left - 8} y={y(tick) + 4} text-anchor="end">
                {format(tick)}
              </text>
            </g>
          ))}
          {periods.map((period, index) =>
            (periods.length - 1 - index) % every === 0 ? (
              <text key={period.full} class="chart-tick" x={Math.min(x(index), width - 22)} y={HEIGHT - 5} text-anchor="middle">
                {period.short}
              </text>
            ) : null,
          )}
          {at !== null && <rect class="chart-cursor" x={x(at) - step / 2} y={MARGIN.top} width={step} height={inner.height} />}
          {kind === "bars" ? bars(series, periods.length, x, y, step) : series.map((one) => line(one, x, y))}
          {kind === "lines" &&
            at !== null &&
            series.map(({ key, values }) => {
              const value = values[at];
              return value == null ? null : <circle key={key} class={`dot dot-${key}`} cx={x(at)} cy={y(value)} r="3.5" />;
            })}
        </svg>
      </div>
      <ul class="legend">
        {series.map(({ key, label, values, total }) => (
          <li key={key}>
            <span class={`swatch fill-${key}`} aria-hidden="true" />
            {label} <strong class="numeric">{shown(at === null ? total : (values[at] ?? null), format)}</strong>
          </li>
        ))}
      </ul>
      <details class="chart-table">
        <summary>Show as table</summary>
        <div class="table-frame">
          <table>
            <thead>
              <tr>
                <th scope="col">Time</th>
                {series.map(({ key, label }) => (
                  <th key={key} scope="col" class="right">
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {periods.map(({ full }, index) => (
                <tr key={full}>
                  <th scope="row">{full}</th>
                  {series.map(({ key, values }) => (
                    <td key={key} class="right numeric">
                      {shown(values[index] ?? null, format)}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}

function shown(value: number | null, format: (value: number) => string): string {
  return value === null ? "–" : format(value);
}

function bars(series: readonly Series[], length: number, x: (index: number) => number, y: (value: number) => number, step: number) {
  const below = new Array<number>(length).fill(0);
  const width = Math.max(1, Math.min(22, step - 2));
  return series.map(({ key, values }) => {
    let path = "";
    for (const [index, value] of values.entries()) {
      if (value === null || value === 0) continue;
      const from = below[index] ?? 0;
      below[index] = from + value;
      // Even the smallest value gets a hairline.
      const top = Math.min(y(from + value), y(from) - 1);
      path += `M${x(index) - width / 2} ${y(from)}V${top}h${width}V${y(from)}z`;
    }
    return <path key={key} class={`fill-${key}`} d={path} />;
  });
}

function line({ key, values }: Series, x: (index: number) => number, y: (value: number) => number) {
  let path = "";
  const alone: number[] = [];
  for (const [index, value] of values.entries()) {
    if (value === null) continue;
    const hasBefore = values[index - 1] != null;
    path += `${hasBefore ? "L" : "M"}${x(index)} ${y(value)}`;
    if (!hasBefore && values[index + 1] == null) alone.push(index);
  }
  return (
    <g key={key}>
      <path class={`line line-${key}`} d={path} />
      {alone.map((index) => (
        <circle key={index} class={`dot dot-${key}`} cx={x(index)} cy={y(values[index] ?? 0)} r="2.5" />
      ))}
    </g>
  );
}

function useWidth() {
  const element = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (element.current === null) return;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return [element, width] as const;
}
