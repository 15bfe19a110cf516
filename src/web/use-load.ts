/** Loads something for a view. What was loaded before stays while it is loaded again, also when that fails. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "./api.ts";

export interface Loaded<T> {
  readonly value: T | null;
  /** Why the last try failed. */
  readonly error: ApiError | null;
  readonly isLoading: boolean;
  readonly reload: () => void;
}

/** @param key what is loaded: with another one the value of the last is gone. */
export function useLoad<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ key: string; value: T | null; error: ApiError | null; isLoading: boolean }>({
    key,
    value: null,
    error: null,
    isLoading: true,
  });
  const running = useRef<AbortController | null>(null);
  const latest = useRef(load);
  latest.current = load;

  const reload = useCallback(() => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    setState((before) => ({ ...(before.key === key ? before : { key, value: null, error: null }), isLoading: true }));
    latest.current(controller.signal).then(
      (value) => {
        if (!controller.signal.aborted) setState({ key, value, error: null, isLoading: false });
      },
      (reason: unknown) => {
        if (controller.signal.aborted) return;
        const error = reason instanceof ApiError ? reason : new ApiError(0, String(reason));
        setState((before) => ({ key, value: before.key === key ? before.value : null, error, isLoading: false }));
      },
    );
  }, [key]);

  useEffect(() => {
    reload();
    return () => running.current?.abort();
  }, [reload]);

  const isCurrent = state.key === key;
  return { value: isCurrent ? state.value : null, error: isCurrent ? state.error : null, isLoading: !isCurrent || state.isLoading, reload };
}
