/** The numbers of a chart as a table. */
import { type ChartProps, shown } from "./chart-data.ts";

export function ChartTable({ series, periods, format }: Pick<ChartProps, "series" | "periods" | "format">) {
  return (
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
  );
}
