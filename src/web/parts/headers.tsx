/** Header fields as they were sent. */

export function Headers({ title, headers }: { title: string; headers: Readonly<Record<string, string>> }) {
  const fields = Object.entries(headers);
  return (
    <section class="detail-section">
      <h3>{title}</h3>
      {fields.length === 0 ? (
        <p class="muted">None.</p>
      ) : (
        <div class="table-frame code-frame">
          <table class="headers">
            <tbody>
              {fields.map(([name, value]) => (
                <tr key={name}>
                  <th scope="row" class="mono">
                    {name}
                  </th>
                  <td class={value === "[redacted]" ? "mono faint" : "mono wrap"}>{value}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
