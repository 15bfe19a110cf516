/** A table of dead letters. Those that may be replayed or deleted can be selected. */
import type { DeadLetter } from "../../client/api-types.generated.ts";
import { useGround } from "../ground.ts";
import { sentence } from "../parts/notice.tsx";
import { ReasonPill } from "../parts/pills.tsx";
import { Table } from "../parts/table.tsx";
import { When } from "../parts/when.tsx";
import { hrefOf, setQuery } from "../routing.ts";
import { deadLetterType, mayReplay } from "../rows.ts";

export interface DeadLetterTableProps {
  readonly deadLetters: readonly DeadLetter[];
  readonly showsApp: boolean;
  /** Sequences. */
  readonly selected: ReadonlySet<number>;
  readonly onSelect: (selected: ReadonlySet<number>) => void;
}

export function DeadLetterTable({ deadLetters, showsApp, selected, onSelect }: DeadLetterTableProps) {
  const { can } = useGround();
  const isSelectable = (deadLetter: DeadLetter): boolean => can.change || (can.replay && mayReplay(deadLetter));
  const selectable = deadLetters.filter(isSelectable).map(({ sequence }) => sequence);
  const isAllSelected = selectable.length > 0 && selectable.every((sequence) => selected.has(sequence));
  const toggle = (sequence: number, isOn: boolean): void => {
    const next = new Set(selected);
    if (isOn) next.add(sequence);
    else next.delete(sequence);
    onSelect(next);
  };
  return (
    <Table
      class="dead"
      first={
        can.replay && (
          <th scope="col" class="tick">
            <input
              type="checkbox"
              aria-label="Select all shown"
              checked={isAllSelected}
              onChange={(event) => onSelect(new Set(event.currentTarget.checked ? selectable : []))}
            />
          </th>
        )
      }
      time="Given up"
      headings={{ ...(showsApp ? { App: "medium" } : {}), Event: "", Reason: "", Attempts: "right medium", Organization: "wide" }}
    >
      <tbody>
        {deadLetters.map((deadLetter) => (
          <DeadLetterRow
            key={deadLetter.sequence}
            deadLetter={deadLetter}
            showsApp={showsApp}
            isSelected={selected.has(deadLetter.sequence)}
            isSelectable={isSelectable(deadLetter)}
            onToggle={can.replay ? (isOn) => toggle(deadLetter.sequence, isOn) : null}
          />
        ))}
      </tbody>
    </Table>
  );
}

interface DeadLetterRowProps {
  readonly deadLetter: DeadLetter;
  readonly showsApp: boolean;
  readonly isSelectable: boolean;
  readonly isSelected: boolean;
  /** Null: nothing can be selected. */
  readonly onToggle: ((isOn: boolean) => void) | null;
}

function DeadLetterRow({ deadLetter, showsApp, isSelectable, isSelected, onToggle }: DeadLetterRowProps) {
  return (
    <tr class="linked">
      {onToggle !== null && (
        <td class="tick">
          {isSelectable && (
            <input
              type="checkbox"
              aria-label={`Select ${deadLetterType(deadLetter)} ${deadLetter.sequence}`}
              checked={isSelected}
              onChange={(event) => onToggle(event.currentTarget.checked)}
            />
          )}
        </td>
      )}
      <td class="nowrap numeric">
        <When at={deadLetter.dead_lettered_at} bare />
      </td>
      {showsApp && (
        <td class="medium">
          {deadLetter.app == null ? <span class="faint">none</span> : <a href={hrefOf(["apps", deadLetter.app])}>{deadLetter.app}</a>}
        </td>
      )}
      <th scope="row">
        <button type="button" class="row-link" onClick={() => setQuery({ open: String(deadLetter.sequence) })}>
          {deadLetterType(deadLetter)}
        </button>{" "}
        {deadLetter.error !== null && <span class="aside">{sentence(deadLetter.error)}</span>}
      </th>
      <td>
        <ReasonPill reason={deadLetter.reason} />
      </td>
      <td class="right medium numeric">{deadLetter.attempts_made ?? 0}</td>
      <td class="wide wrap">{deadLetter.event?.organization_id}</td>
    </tr>
  );
}
