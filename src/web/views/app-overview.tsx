/** An app's charts and installations. */
import { useEffect, useRef } from "preact/hooks";
import type { AppStats } from "../../client/api-types.generated.ts";
import { sum } from "../../client/app-condition.ts";
import { call, withQuery } from "../api.ts";
import { linearScale, logScale } from "../chart-scale.ts";
import { date, dateAndHour, duration, hour, percent, shortCount } from "../format.ts";
import { OUTCOME_ORDER, OUTCOME_TEXTS } from "../outcomes.ts";
import { Chart } from "../parts/chart.tsx";
import type { Series } from "../parts/chart-data.ts";
import { Metric, Metrics } from "../parts/metrics.tsx";
import { Empty, Failed, Loading } from "../parts/notice.tsx";
import { Segments } from "../parts/segments.tsx";
import { type Place, setQuery } from "../routing.ts";
import { useLoad } from "../use-load.ts";
import type { AppRow } from "../wire.ts";
import { offsetAt } from "../zone.ts";
import { Installations } from "./installations.tsx";

const RANGES: ReadonlyArray<{ value: AppStats["range"]; text: string; words: string }> = [
  { value: "1h", text: "1 hour", words: "last hour" },
  { value: "6h", text: "6 hours", words: "last 6 hours" },
  { value: "24h", text: "24 hours", words: "last 24 hours" },
  { value: "7d", text: "7 days", words: "last 7 days" },
  { value: "30d", text: "30 days", words: "last 30 days" },
];

export function AppOverview({ row, place }: { row: AppRow; place: Place }) {
  const range = RANGES.find(({ value }) => value === place.query["range"]) ?? (RANGES[2] as (typeof RANGES)[number]);
  const stats = useLoad(`${row.slug} ${range.value}`, (signal) =>
    call<AppStats>(withQuery(`v1/apps/${row.slug}/stats`, { range: range.value }), { signal }),
  );
  useReloadWith(row.attempts === null ? null : sum(row.attempts), stats.reload);
  const { value } = stats;

  return (
    <>
      <div class="toolbar">
        <h2 class="toolbar-title">Attempts</h2>
        <Segments
          label="Range"
          value={range.value}
          options={RANGES}
          onChange={(next) => setQuery({ range: next === "24h" ? null : next })}
        />
      </div>
      {stats.error !== null && <Failed what="The stats" error={stats.error} retry={stats.reload} />}
      {value === null && stats.error === null && <Loading what="the stats" />}
      {value !== null && (
        <>
          <Metrics label={`Attempts of the ${range.words}`}>
            <Metric label="Attempts" value={shortCount(value.totals.attempts)} />
            <Metric label="Success rate" value={value.totals.success_rate === null ? "–" : percent(value.totals.success_rate)} />
            <Metric label="Median" value={latency(value.totals.latency_ms.p50)} />
            <Metric label="95th percentile" value={latency(value.totals.latency_ms.p95)} />
            <Metric label="99th percentile" value={latency(value.totals.latency_ms.p99)} />
          </Metrics>
          {value.totals.attempts === 0 ? (
            <Empty title={`No attempts in the ${range.words}.`}>
              <p>Test events and manual resends are not counted; the request log shows them.</p>
            </Empty>
          ) : (
            <Charts stats={value} words={range.words} />
          )}
        </>
      )}
      <Installations row={row} place={place} />
    </>
  );
}

function Charts({ stats, words }: { stats: AppStats; words: string }) {
  const { periods, totals, step_s } = stats;
  const outcomes: Series[] = OUTCOME_ORDER.filter((key) => totals.outcomes[key] > 0 || key === "delivered").map((key) => ({
    key,
    label: OUTCOME_TEXTS[key].label,
    values: periods.map((period) => period.outcomes[key]),
    total: totals.outcomes[key],
  }));
  const percentiles: Series[] = (["p50", "p95", "p99"] as const).map((key) => ({
    key,
    label: key,
    values: periods.map(({ latency_ms }) => latency_ms[key]),
    total: totals.latency_ms[key],
  }));
  const latencies = percentiles.flatMap(({ values }) => values.filter((value) => value !== null));
  const labels = periods.map(({ start }) => labelsOf(Date.parse(start), step_s * 1000));
  return (
    <div class="charts">
      <Chart
        title="Attempts by outcome"
        kind="bars"
        series={outcomes}
        periods={labels}
        scale={linearScale(Math.max(...periods.map(({ attempts }) => attempts)))}
        format={shortCount}
        range={words}
      />
      {latencies.length === 0 ? (
        <div class="card chart">
          <h3>Response time</h3>
          <Empty title="No answers in this period." />
        </div>
      ) : (
        <Chart
          title="Response time"
          kind="lines"
          series={percentiles}
          periods={labels}
          scale={logScale(Math.min(...latencies), Math.max(...latencies))}
          format={duration}
          range={words}
        />
      )}
    </div>
  );
}

function latency(ms: number | null): string {
  return ms === null ? "–" : duration(ms);
}

function labelsOf(start: number, stepMs: number): { short: string; full: string } {
  const zone = offsetAt(start);
  if (stepMs >= 86_400_000) return { short: date(start), full: `${dateAndHour(start)} ${zone}, one day` };
  return { short: stepMs > 3_600_000 ? date(start) : hour(start), full: `${dateAndHour(start)}–${hour(start + stepMs)} ${zone}` };
}

const NOT_MORE_OFTEN_THAN_MS = 10_000;

/** Reloads, at a limited rate, when the app's live overview changes. */
function useReloadWith(value: number | null, reload: () => void): void {
  const loaded = useRef({ value, at: Date.now() });
  useEffect(() => {
    if (value === loaded.current.value) return;
    const wait = Math.max(0, loaded.current.at + NOT_MORE_OFTEN_THAN_MS - Date.now());
    const timer = setTimeout(() => {
      loaded.current = { value, at: Date.now() };
      reload();
    }, wait);
    return () => clearTimeout(timer);
  }, [value, reload]);
}
