/** Loads again what a view or a part of it shows. */
import type { ComponentChildren } from "preact";
import type { Loaded } from "../use-load.ts";
import { RefreshIcon } from "./icons.tsx";

interface RefreshProps {
  readonly of: Pick<Loaded<unknown>, "isLoading" | "reload">;
  readonly class?: string;
  readonly children?: ComponentChildren;
}

export function Refresh({ of: { isLoading, reload }, class: kind = "", children }: RefreshProps) {
  return (
    <button type="button" class={`button ${kind}`} disabled={isLoading} onClick={reload}>
      <RefreshIcon /> Refresh
      {children}
    </button>
  );
}
