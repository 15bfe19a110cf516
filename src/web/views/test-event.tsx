/** Sends a test event and shows the result. */
import { useState } from "preact/hooks";
import type { TestResult } from "../../client/api-types.generated.ts";
import { ApiError, call } from "../api.ts";
import { duration } from "../format.ts";
import { OUTCOME_TEXTS } from "../outcomes.ts";
import { Dialog } from "../parts/dialog.tsx";
import { RequestView, ResponseView } from "../parts/exchanged.tsx";
import { Facts, TraceId } from "../parts/facts.tsx";
import { Choice, Field, Form, Submit, useForm } from "../parts/form.tsx";
import { OutcomePill } from "../parts/pills.tsx";
import { PublishedTypes } from "../parts/published-types.tsx";
import { useInstallationOptions } from "../use-installation-options.ts";

const PING = "test.ping";
const EXAMPLE = '{\n  "message": "This is a test."\n}';

export function TestEvent({ slug, onClose }: { slug: string; onClose: () => void }) {
  const [result, setResult] = useState<TestResult | null>(null);
  const installations = useInstallationOptions(slug, "Any");
  const form = useForm(async (data) => {
    setResult(null);
    const body = {
      event_type: String(data.get("event_type")).trim() || PING,
      installation_uuid: data.get("installation_uuid") || null,
      data: dataOf(String(data.get("data"))),
    };
    setResult(await call<TestResult>(`v1/apps/${slug}/test`, { method: "POST", body }));
  });

  return (
    <Dialog
      title="Send a test event"
      onClose={onClose}
      close="Close"
      footer={<Submit form={form}>{form.isRunning ? "Sending…" : result === null ? "Send" : "Send again"}</Submit>}
    >
      <Form form={form}>
        <p class="muted">One attempt, now. It is logged, but neither counted nor retried.</p>
        <Field name="event_type" label="Event type">
          {(attributes) => (
            <>
              <input {...attributes} class="mono" placeholder={PING} list="published-types" spellcheck={false} autocomplete="off" />
              <PublishedTypes app={slug} />
            </>
          )}
        </Field>
        <Choice name="installation_uuid" label="Installation" value="" options={installations} />
        <Field name="data" label="Data">
          {(attributes) => (
            <textarea {...attributes} class="mono" rows={4} spellcheck={false}>
              {EXAMPLE}
            </textarea>
          )}
        </Field>
      </Form>
      <div role="status">{result !== null && <Result result={result} />}</div>
    </Dialog>
  );
}

function dataOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiError(0, "", [{ path: "data", message: `The data is not JSON: ${(error as Error).message}.` }]);
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
      <ResponseView {...result} />
      <RequestView {...result} />
    </section>
  );
}
