/** A table of attempts. */
import type { WebhookRequest } from "../../client/api-types.generated.ts";
import { duration } from "../format.ts";
import { sentence } from "../parts/notice.tsx";
import { OutcomePill } from "../parts/pills.tsx";
import { Table } from "../parts/table.tsx";
import { When } from "../parts/when.tsx";
import { setQuery } from "../routing.ts";
import { attemptId } from "../rows.ts";

/** @param isStale newer rows are being loaded */
export function RequestTable({ rows, isStale }: { rows: readonly WebhookRequest[]; isStale: boolean }) {
  return (
    <Table
      class="log"
      isStale={isStale}
      time="Time"
      headings={{ Event: "", Outcome: "", Attempt: "right medium", Took: "right medium", Organization: "wide", Delivery: "wide" }}
    >
      <tbody>
        {rows.map((one) => (
          <tr key={attemptId(one)} class="linked">
            <td class="numeric nowrap">
              <When at={one.date} bare />
            </td>
            <th scope="row">
              <button type="button" class="row-link" onClick={() => setQuery({ open: attemptId(one) })}>
                {one.event_type}
              </button>{" "}
              {one.error && <span class="aside">{sentence(one.error)}</span>}
            </th>
            <td>
              <OutcomePill outcome={one.outcome} code={one.response_code} />
            </td>
            <td class="right medium numeric">{one.attempt}</td>
            <td class="right medium numeric nowrap">{duration(one.duration_ms)}</td>
            <td class="wide wrap">{one.organization_id ?? <span class="faint">internal</span>}</td>
            <td class="wide mono faint">{one.delivery_id.slice(0, 12)}</td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}
