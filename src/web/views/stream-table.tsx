/** A table of the streams, with their sizes beside their limits. */
import type { System } from "../../client/api-types.generated.ts";
import { bytes } from "../../model/bytes.ts";
import { count } from "../format.ts";
import { Pill } from "../parts/pills.tsx";
import { Table } from "../parts/table.tsx";
import { When } from "../parts/when.tsx";

export function StreamTable({ streams }: Pick<System, "streams">) {
  return (
    <section aria-labelledby="streams">
      <h2 id="streams">Streams</h2>
      {streams === null ? (
        <p class="muted">Unknown, because NATS does not answer.</p>
      ) : (
        <Table class="system" headings={{ Stream: "", Messages: "right", Size: "right", Limits: "medium", "Oldest message": "wide" }}>
          <tbody>
            {streams.map((stream) => (
              <tr key={stream.name}>
                <th scope="row" title={stream.name}>
                  {stream.purpose} {stream.refusing && <Pill kind="bad" text="Refuses" />}
                </th>
                <td class="right numeric">{count(stream.messages)}</td>
                <td class="right numeric nowrap">{bytes(stream.bytes)}</td>
                <td class="medium">{limitsOf(stream) || <span class="faint">none</span>}</td>
                <td class="wide numeric nowrap">{stream.oldest_at === null ? "–" : <When at={stream.oldest_at} />}</td>
              </tr>
            ))}
          </tbody>
        </Table>
      )}
    </section>
  );
}

const DAY_S = 86_400;

function limitsOf({ max_messages, max_bytes, max_age_s }: NonNullable<System["streams"]>[number]): string {
  return [
    max_messages === null ? null : `${count(max_messages)} messages`,
    max_bytes === null ? null : bytes(max_bytes),
    max_age_s === null ? null : max_age_s >= DAY_S ? `${Math.round(max_age_s / DAY_S)} days` : `${Math.round(max_age_s / 60)} min`,
  ]
    .filter((text) => text !== null)
    .join(", ");
}
