/** The response to an attempt, and its request. */
import { isCut } from "../json-text.ts";
import { BodyView } from "./body-view.tsx";
import { Headers } from "./headers.tsx";

interface ResponseViewProps {
  readonly response_headers?: Readonly<Record<string, string>> | null | undefined;
  readonly response_body?: string | null | undefined;
}

export function ResponseView({ response_headers, response_body }: ResponseViewProps) {
  return (
    <>
      {response_body === null || response_body === undefined ? (
        <section class="detail-section">
          <h3>Response body</h3>
          <p class="muted">There was no response.</p>
        </section>
      ) : (
        <BodyView title="Response body" text={response_body} isCut={isCut(response_body)} />
      )}
      {response_headers && <Headers title="Response headers" headers={response_headers} />}
    </>
  );
}

interface RequestViewProps {
  readonly request_headers: Readonly<Record<string, string>>;
  readonly request_body?: string | undefined;
}

export function RequestView({ request_headers, request_body = "" }: RequestViewProps) {
  return (
    <>
      <BodyView title="Request body" text={request_body} isCut={isCut(request_body)} />
      <Headers title="Request headers" headers={request_headers} />
    </>
  );
}
