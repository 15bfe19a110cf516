/** Sends a test event and shows the result. */
import { useRef, useState } from "preact/hooks";
import type { InstallationsOfApp, TestResult } from "../../client/api-types.generated.ts";
import { ApiError, call, withQuery } from "../api.ts";
import { duration } from "../format.ts";
import { OUTCOME_TEXTS } from "../outcomes.ts";
import { ActionError, Dialog, useAction } from "../parts/dialog.tsx";
import { Exchanged } from "../parts/exchanged.tsx";
import { Facts, TraceId } from "../parts/facts.tsx";
import { OutcomePill } from "../parts/pills.tsx";
import { useLoad } from "../use-load.ts";

const EXAMPLE = '{\n  "message": "This is a test."\n}';

export function TestEvent({ slug, onClose }: { slug: string; onClose: () => void }) {
  const form = useRef<HTMLFormElement>(null);
  const [result, setResult] = useState<TestResult | null>(null);
  const installations = useLoad(slug, (signal) =>
    call<InstallationsOfApp>(withQuery(`v1/apps/${slug}/installations`, { limit: 100 }), { signal }),
  );
  const { run, isRunning, error } = useAction(async () => {
    const given = new FormData(form.current ?? undefined);
    setResult(null);
    setResult(
      await call<TestResult>(`v1/apps/${slug}/test`, {
        method: "POST",
        body: {
          event_type: given.get("type"),
          installation_uuid: given.get("installation") || null,
          data: dataOf(String(given.get("data"))),
        },
      }),
    );
  });

  return (
    <Dialog
      title="Send a test event"
      onClose={onClose}
      footer={
        <>
          <button type="button" class="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" form="test-event" class="button primary" disabled={isRunning}>
            {isRunning ? "Sending…" : result === null ? "Send" : "Send again"}
          </button>
        </>
      }
    >
      <form
        id="test-event"
        ref={form}
        class="fields"
        onSubmit={(event) => {
          event.preventDefault();
          run();
        }}
      >
        <p class="muted">One attempt, now. It is logged, but neither counted nor retried.</p>
        <label class="field">
          <span>Event type</span>
          <input
            name="type"
            class="mono"
            defaultValue="test.ping"
            required
            pattern="[a-z0-9_]+\.[a-z0-9_]+"
            title="resource.action of a-z, 0-9 and _"
          />
        </label>
        <label class="field">
          <span>Installation</span>
          <select name="installation">
            <option value="">Any</option>
            {installations.value?.items.map(({ uuid, organization_id, status }) => (
              <option key={uuid} value={uuid}>
                Organization {organization_id} · {status} · {uuid.slice(0, 8)}
              </option>
            ))}
          </select>
        </label>
        <label class="field">
          <span>Data</span>
          <textarea name="data" class="mono" rows={4} spellcheck={false}>
            {EXAMPLE}
          </textarea>
        </label>
      </form>
      <ActionError error={error} />
      <div role="status">{result !== null && <Result result={result} />}</div>
    </Dialog>
  );
}

function dataOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiError(0, `the data is not JSON: ${(error as Error).message}`);
  }
}

function Result({ result }: { result: TestResult }) {
  const { outcome, response_code, duration_ms, error, webhook_url, trace_id } = result;
  return (
    <section class="detail-section" aria-label="Result">
      <p>
        <OutcomePill outcome={outcome} code={response_code} /> {error ?? OUTCOME_TEXTS[outcome].meaning}
      </p>
      <Facts
        facts={[
          ["Response time", duration(duration_ms)],
          ["URL", <span class="mono">{webhook_url}</span>],
          ["Trace", <TraceId id={trace_id} />],
        ]}
      />
      <Exchanged {...result} />
    </section>
  );
}
