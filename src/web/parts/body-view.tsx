/** A request's or response's body: JSON laid out, anything else as it came, and where it was cut. */
import { useState } from "preact/hooks";
import { type JsonLayout, layOutJson } from "../json-text.ts";
import { Code } from "./code.tsx";

export function BodyView({ title, text, isCut }: { title: string; text: string; isCut: boolean }) {
  const [isRaw, setRaw] = useState(false);
  const layout = layOutJson(text);
  return (
    <section class="detail-section">
      <div class="section-head">
        <h3>{title}</h3>
        {layout !== null && (
          <button type="button" class="button quiet small" aria-pressed={isRaw} onClick={() => setRaw(!isRaw)}>
            As sent
          </button>
        )}
      </div>
      {text === "" ? (
        <p class="muted">Empty.</p>
      ) : (
        <Code label={title}>
          {layout === null || isRaw ? text : <JsonTokens layout={layout} />}
          {isCut && <span class="cut">⋯ cut here, the rest was not kept</span>}
        </Code>
      )}
    </section>
  );
}

export function JsonTokens({ layout }: { layout: JsonLayout }) {
  return (
    <>
      {layout.tokens.map(({ kind, text }, index) =>
        kind === "space" || kind === "mark" ? (
          text
        ) : (
          <span key={index} class={`json-${kind}`}>
            {text}
          </span>
        ),
      )}
    </>
  );
}
