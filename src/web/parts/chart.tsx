/**
 * A chart over time: stacked bars or lines. The legend shows the totals, or the values of the period that the pointer or
 * the arrow keys select; a table has the same numbers.
 */
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { type ChartProps, colourOf, shown } from "./chart-data.ts";
import { ChartPlot } from "./chart-plot.tsx";
import { ChartTable } from "./chart-table.tsx";

export function Chart({ title, kind, series, periods, scale, format, range }: ChartProps) {
  const [at, setAt] = useState<number | null>(null);
  const [frame, width] = useWidth();
  const heading = useId();
  const said = (index: number | null): string =>
    `${index === null ? range : periods[index]?.full}: ${series
      .map((one) => `${one.label} ${shown(index === null ? one.total : (one.values[index] ?? null), format)}`)
      .join(", ")}`;
  const select = (index: number | null): void => setAt(index === null ? null : Math.max(0, Math.min(periods.length - 1, index)));

  const onKeyDown = (event: KeyboardEvent): void => {
    const from = at ?? periods.length;
    const to = { ArrowLeft: from - 1, ArrowRight: at === null ? 0 : from + 1, Home: 0, End: periods.length - 1 }[event.key];
    if (event.key === "Escape") setAt(null);
    if (to === undefined) return;
    event.preventDefault();
    select(to);
  };

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
        <ChartPlot {...{ kind, series, periods, scale, format, width, at }} onSelect={select} />
      </div>
      <ul class="legend">
        {series.map(({ key, label, values, total }) => (
          <li key={key}>
            <span class="swatch" style={colourOf(key)} aria-hidden="true" />
            {label} <strong class="numeric">{shown(at === null ? total : (values[at] ?? null), format)}</strong>
          </li>
        ))}
      </ul>
      <ChartTable {...{ series, periods, format }} />
    </figure>
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
