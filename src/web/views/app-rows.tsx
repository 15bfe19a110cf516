/** The rows of the table of apps. */
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Condition, installedOf } from "../../client/app-condition.ts";
import { count, counted, percent, shortCount } from "../format.ts";
import { Pill } from "../parts/pills.tsx";
import { RateSpark, VolumeSpark } from "../parts/sparks.tsx";
import { hrefOf } from "../routing.ts";
import type { AppRow } from "../wire.ts";

export interface Entry {
  readonly row: AppRow;
  readonly condition: Condition;
  readonly attempts: number | null;
  readonly rate: number | null;
  /** Searched text. */
  readonly text: string;
}

/** Rows added per scroll: a thousand rows at once would be slow to render and to navigate. */
const ROWS_AT_ONCE = 60;

export function Rows({ entries }: { entries: readonly Entry[] }) {
  const [shown, setShown] = useState(ROWS_AT_ONCE);
  const end = useRef<HTMLTableRowElement>(null);
  useEffect(() => {
    if (end.current === null) return;
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (entry?.isIntersecting) setShown((before) => before + ROWS_AT_ONCE);
      },
      { rootMargin: "600px" },
    );
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [shown, entries.length]);
  return (
    <tbody>
      {entries.slice(0, shown).map((entry) => (
        <Row key={entry.row.slug} entry={entry} />
      ))}
      {shown < entries.length && (
        <tr ref={end}>
          <td colSpan={7}>
            <button type="button" class="button quiet" onClick={() => setShown(shown + ROWS_AT_ONCE)}>
              {counted(entries.length - shown, "more app")}…
            </button>
          </td>
        </tr>
      )}
    </tbody>
  );
}

function Row({ entry }: { entry: Entry }) {
  return useMemo(() => {
    const { row, condition, attempts, rate } = entry;
    const { broken, disabled } = row.installations;
    return (
      <tr class="linked">
        <th scope="row">
          <a class="row-link" href={hrefOf(["apps", row.slug])}>
            {row.name}
          </a>
          <span class="sub">{row.slug}</span>
          <span class="narrow-only">
            <Pill {...condition} />
          </span>
        </th>
        <td class="wide">
          <Pill {...condition} />
        </td>
        <td class="right">
          <Sparked spark={row.attempts && <VolumeSpark attempts={row.attempts} />}>{known(attempts)}</Sparked>
        </td>
        <td class="right">
          <Sparked spark={row.attempts && row.delivered && <RateSpark attempts={row.attempts} delivered={row.delivered} />}>
            {rate === null ? <Unknown isNothing={attempts === 0} /> : percent(rate)}
          </Sparked>
        </td>
        <td class="right wide numeric">
          {count(installedOf(row))}
          {broken > 0 && <span class="sub bad">{count(broken)} broken</span>}
          {broken === 0 && disabled > 0 && <span class="sub">{count(disabled)} disabled</span>}
        </td>
        <td class="right wide numeric">{zeroFaint(row.parked)}</td>
        <td class="right medium numeric">{zeroFaint(row.dead_letters)}</td>
      </tr>
    );
  }, [entry]);
}

function Sparked({ spark, children }: { spark: ComponentChildren; children: ComponentChildren }) {
  return (
    <span class="sparked">
      {spark}
      <span class="numeric">{children}</span>
    </span>
  );
}

function Unknown({ isNothing }: { isNothing: boolean }) {
  return (
    <span class="faint" title={isNothing ? "No attempts" : "Unknown now"}>
      {isNothing ? "–" : "?"}
    </span>
  );
}

export function known(value: number | null): ComponentChildren {
  return value === null ? <Unknown isNothing={false} /> : shortCount(value);
}

function zeroFaint(value: number | null): ComponentChildren {
  return value === 0 ? <span class="faint">0</span> : known(value);
}
