/** The plot of a chart: grid, axis, and stacked bars or lines. */
import type { TargetedPointerEvent } from "preact";
import { type ChartProps, colourOf, type Series } from "./chart-data.ts";

const HEIGHT = 190;
const MARGIN = { top: 8, right: 6, bottom: 22, left: 56 };
const LABEL_WIDTH = 64;

export interface ChartPlotProps extends Pick<ChartProps, "kind" | "series" | "periods" | "scale" | "format"> {
  readonly width: number;
  /** The selected period; null: none. */
  readonly at: number | null;
  readonly onSelect: (period: number | null) => void;
}

export function ChartPlot({ kind, series, periods, scale, format, width, at, onSelect }: ChartPlotProps) {
  const inner = { width: Math.max(0, width - MARGIN.left - MARGIN.right), height: HEIGHT - MARGIN.top - MARGIN.bottom };
  const step = inner.width / periods.length;
  const y = (value: number): number => MARGIN.top + inner.height * (1 - scale.at(value));
  const x = (index: number): number => MARGIN.left + step * (index + 0.5);
  const onPointerMove = (event: TargetedPointerEvent<SVGSVGElement>): void => {
    const left = event.clientX - event.currentTarget.getBoundingClientRect().left - MARGIN.left;
    if (step > 0) onSelect(Math.floor(left / step));
  };
  const every = Math.max(1, Math.ceil(periods.length / Math.max(1, Math.floor(inner.width / LABEL_WIDTH))));

  return (
    <svg
      width={width}
      height={HEIGHT}
      aria-hidden="true"
      focusable="false"
      onPointerMove={onPointerMove}
      onPointerLeave={() => onSelect(null)}
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
          return value == null ? null : <circle key={key} class="dot" style={colourOf(key)} cx={x(at)} cy={y(value)} r="3.5" />;
        })}
    </svg>
  );
}

function bars(series: readonly Series[], length: number, x: (index: number) => number, y: (value: number) => number, step: number) {
  const below = new Array<number>(length).fill(0);
  // Without gaps where a bar is a minute of six hours.
  const width = step < 5 ? step : Math.min(22, step - 2);
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
    return <path key={key} class="bar" style={colourOf(key)} d={path} />;
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
      <path class="line" style={colourOf(key)} d={path} />
      {alone.map((index) => (
        <circle key={index} class="dot" style={colourOf(key)} cx={x(index)} cy={y(values[index] ?? 0)} r="2.5" />
      ))}
    </g>
  );
}
