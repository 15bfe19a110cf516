/** A table of deliveries. */
import type { ListedDelivery } from "../../client/api-types.generated.ts";
import { DELIVERY_STATES } from "../parts/delivery-state.ts";
import { sentence } from "../parts/notice.tsx";
import { Pill } from "../parts/pills.tsx";
import { Table } from "../parts/table.tsx";
import { When } from "../parts/when.tsx";
import { hrefOf } from "../routing.ts";

export function DeliveryTable({ deliveries }: { deliveries: readonly ListedDelivery[] }) {
  return (
    <Table class="log" time="Time" headings={{ Event: "", State: "", App: "medium", "Next attempt": "medium", Delivery: "wide" }}>
      <tbody>
        {deliveries.map((one) => (
          <tr key={one.delivery_id} class="linked">
            <td class="numeric nowrap">
              <When at={one.at} bare />
            </td>
            <th scope="row">
              <a class="row-link" href={hrefOf(["deliveries", one.delivery_id])}>
                {one.event_type}
              </a>{" "}
              <span class="aside">{sentence(one.detail)}</span>
            </th>
            <td>
              <Pill {...DELIVERY_STATES[one.state]} />
            </td>
            <td class="medium">{one.app}</td>
            <td class="medium numeric nowrap">{one.next_attempt_at === null ? "–" : <When at={one.next_attempt_at} bare />}</td>
            <td class="wide mono faint">{one.delivery_id.slice(0, 12)}</td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}
