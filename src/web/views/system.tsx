/** Posthorn itself: what waits, the streams, the replicas, what it depends on, and the busiest apps now. */
import { useEffect } from "preact/hooks";
import type { System } from "../../client/api-types.generated.ts";
import { memory } from "../../model/bytes.ts";
import { call } from "../api.ts";
import { count, duration, percent, shortCount } from "../format.ts";
import { Metric, Metrics } from "../parts/metrics.tsx";
import { Failed, Loading, sentence } from "../parts/notice.tsx";
import { Pill } from "../parts/pills.tsx";
import { Table } from "../parts/table.tsx";
import { When } from "../parts/when.tsx";
import { hrefOf } from "../routing.ts";
import { useLoad } from "../use-load.ts";
import { StreamTable } from "./stream-table.tsx";

const READ_EVERY_MS = 5_000;

export function SystemPage() {
  const { value, error, reload } = useLoad("system", (signal) => call<System>("v1/system", { signal }));
  useEffect(() => {
    document.title = "System · Posthorn";
    const timer = setInterval(reload, READ_EVERY_MS);
    return () => clearInterval(timer);
  }, [reload]);
  return (
    <>
      <div class="head">
        <h1 tabIndex={-1}>System</h1>
      </div>
      {error !== null && <Failed what="The system" error={error} retry={reload} />}
      {value === null && error === null && <Loading what="the system" />}
      {value !== null && (
        <>
          <Metrics label="Now">
            <Metric label="Events waiting" value={value.events && shortCount(value.events.pending)} />
            <Metric label="Events in hand" value={value.events && shortCount(value.events.ack_pending)} />
            <Metric label="Oldest of them" value={value.events && duration(value.events.oldest_unacked_age_s * 1000)} />
            <Metric label="Attempts in flight" value={shortCount(value.in_flight)} />
            <Metric label="Waiting for a slot" value={shortCount(value.waiting)} />
          </Metrics>
          <Checks checks={value.checks} />
          <Servers servers={value.servers} />
          <BusiestApps apps={value.busiest_apps} />
          <StreamTable streams={value.streams} />
          <Replicas replicas={value.replicas} />
        </>
      )}
    </>
  );
}

const CHECK_NAMES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    lifecycle: "Posthorn",
    nats: "NATS",
    redis: "Redis",
    events: "Events",
    registry: "Registry",
    permissions: "Permissions",
    records: "Records",
    streams: "Streams",
  }),
);

function Checks({ checks }: Pick<System, "checks">) {
  return (
    <section aria-labelledby="checks">
      <h2 id="checks">Dependencies</h2>
      <ul class="card found checks">
        {Object.entries(checks).map(([name, { ok, required, detail }]) => (
          <li key={name}>
            <Pill kind={ok ? "ok" : required ? "bad" : "warn"} text={ok ? "Works" : required ? "Fails" : "Impaired"} />
            <span class="found-what">
              <strong>{CHECK_NAMES.get(name) ?? name}</strong>
              <span class="muted">{sentence(detail)}</span>
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

const SERVER_NAMES = { nats: "NATS", redis: "Redis" } as const;

function Servers({ servers }: Pick<System, "servers">) {
  return (
    <section aria-labelledby="servers">
      <h2 id="servers">Servers</h2>
      <Table class="system" headings={{ Server: "", Version: "", "Connected since": "medium", "Memory used": "right" }}>
        <tbody>
          {servers.map((server) => (
            <tr key={server.address}>
              <th scope="row">
                {SERVER_NAMES[server.kind]} <span class="mono faint">{server.address}</span>
              </th>
              <td class="numeric">{server.version ?? "?"}</td>
              <td class="medium numeric nowrap">
                {server.connected_since === null ? <Pill kind="bad" text="Not connected" /> : <When at={server.connected_since} />}
              </td>
              <td class="right numeric">{server.kind === "redis" ? memory(server.used_memory_bytes, server.max_memory_bytes) : ""}</td>
            </tr>
          ))}
        </tbody>
      </Table>
    </section>
  );
}

function BusiestApps({ apps }: { apps: System["busiest_apps"] }) {
  return (
    <section aria-labelledby="busiest">
      <h2 id="busiest">Busiest apps, last 5 minutes</h2>
      {apps === null && <p class="muted">Unknown, because Redis does not answer.</p>}
      {apps?.length === 0 && <p class="muted">No attempts.</p>}
      {apps !== null && apps.length > 0 && (
        <Table class="system" headings={{ App: "", Attempts: "right", Delivered: "right", Parked: "right" }}>
          <tbody>
            {apps.map(({ app, attempts, failures, parked }) => (
              <tr key={app} class="linked">
                <th scope="row">
                  <a class="row-link" href={hrefOf(["apps", app], { range: "1h" })}>
                    {app}
                  </a>
                </th>
                <td class="right numeric">{count(attempts)}</td>
                <td class={`right numeric ${failures * 2 >= attempts ? "bad" : ""}`}>{percent((attempts - failures) / attempts)}</td>
                <td class="right numeric">{parked === null ? "?" : count(parked)}</td>
              </tr>
            ))}
          </tbody>
        </Table>
      )}
    </section>
  );
}

function Replicas({ replicas }: Pick<System, "replicas">) {
  return (
    <section aria-labelledby="replicas">
      <h2 id="replicas">Replicas</h2>
      <Table
        class="system"
        headings={{ Host: "", State: "", Version: "medium", Started: "medium", "In flight": "right", Waiting: "right medium" }}
      >
        <tbody>
          {replicas.map(({ id, host, version, started_at: startedAt, ready, in_flight: inFlight, waiting, this: isThis }) => (
            <tr key={id}>
              <th scope="row" title={id}>
                {host ?? "unknown"} <span class="mono faint">{id.slice(0, 8)}</span>
                {isThis && <span class="aside">answers this page</span>}
              </th>
              <td>
                {ready === null ? (
                  <Pill kind="plain" text="Unknown" />
                ) : (
                  <Pill kind={ready ? "ok" : "bad"} text={ready ? "Ready" : "Not ready"} />
                )}
              </td>
              <td class="medium">{version ?? "?"}</td>
              <td class="medium numeric nowrap">{startedAt === null ? "?" : <When at={startedAt} />}</td>
              <td class="right numeric">{inFlight ?? "?"}</td>
              <td class="right medium numeric">{waiting ?? "?"}</td>
            </tr>
          ))}
        </tbody>
      </Table>
    </section>
  );
}
