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

/** So many are shown at first: a browser lays out a few thousand at once, and takes long for a hundred thousand. */
const SHOWN_TOKENS = 5_000;

export function JsonTokens({ layout: { tokens } }: { layout: JsonLayout }) {
  const [isWhole, setWhole] = useState(false);
  const shown = isWhole || tokens.length <= SHOWN_TOKENS ? tokens : tokens.slice(0, SHOWN_TOKENS);
  return (
    <>
      {shown.map(({ kind, text }, index) =>
        kind === "space" || kind === "mark" ? (
          text
        ) : (
          <span key={index} class={`json-${kind}`}>
            {text}
          </span>
        ),
      )}
      {shown.length < tokens.length && (
        <>
          {"\n"}
          <button type="button" class="button quiet small" onClick={() => setWhole(true)}>
            Show all
          </button>
        </>
      )}
    </>
  );
}
