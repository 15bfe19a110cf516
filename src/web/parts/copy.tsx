/** A value with a button that copies it. */
import { useState } from "preact/hooks";
import { CheckIcon, CopyIcon } from "./icons.tsx";

export function Copyable({ value, label, href }: { value: string; label: string; href?: string | null }) {
  const [isCopied, setCopied] = useState(false);
  const copy = (): void => {
    navigator.clipboard?.writeText(value).then(
      () => {
        setCopied(true);
        setTimeout(() => setCopied(false), 1_500);
      },
      () => {},
    );
  };
  return (
    <span class="copyable">
      {href ? (
        <a class="mono" href={href} {...(href.startsWith("#") ? {} : { target: "_blank", rel: "noreferrer" })}>
          {value}
        </a>
      ) : (
        <span class="mono">{value}</span>
      )}
      <button type="button" class="button quiet icon-only" aria-label={`Copy ${label}`} onClick={copy}>
        {isCopied ? <CheckIcon /> : <CopyIcon />}
      </button>
    </span>
  );
}
