/** Shows the result of an action for a few seconds. */

import type { ComponentChildren } from "preact";
import { createContext } from "preact";
import { useCallback, useContext, useRef, useState } from "preact/hooks";

export type Say = (text: string, kind?: "ok" | "bad") => void;

const Context = createContext<Say>(() => {});
const SHOWN_MS = 6_000;

export const useSay = (): Say => useContext(Context);

export function ToastArea({ children }: { children: ComponentChildren }) {
  const [toast, setToast] = useState<{ text: string; kind: "ok" | "bad" } | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const say = useCallback<Say>((text, kind = "ok") => {
    clearTimeout(timer.current);
    setToast({ text, kind });
    timer.current = setTimeout(() => setToast(null), SHOWN_MS);
  }, []);
  return (
    <Context.Provider value={say}>
      {children}
      <div class="toast-area" role="status" aria-live="polite">
        {toast && <div class={`toast toast-${toast.kind}`}>{toast.text}</div>}
      </div>
    </Context.Provider>
  );
}
