/** Names and values, one below the other. */
import type { ComponentChildren } from "preact";
import { useGround } from "../ground.ts";
import { Copyable } from "./copy.tsx";
import { sentence } from "./notice.tsx";

/** Pairs without a value are omitted. */
export function Facts({ facts }: { facts: ReadonlyArray<readonly [name: string, value: ComponentChildren]> }) {
  return (
    <dl class="facts">
      {facts
        .filter(([, value]) => value !== null && value !== undefined)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

/** The recorded error, and its meaning. */
export function Lead({ what, meaning }: { what: string | null; meaning: string }) {
  return (
    <div class="lead">
      {what !== null && <p>{sentence(what)}</p>}
      <p class="muted">{meaning}</p>
    </div>
  );
}

/** Links to the trace backend if POSTHORN_TRACE_URL is set. */
export function TraceId({ id }: { id: string }) {
  const { trace_url } = useGround().session;
  return <Copyable value={id} label="trace id" href={trace_url?.replaceAll("{trace_id}", id) ?? null} />;
}
