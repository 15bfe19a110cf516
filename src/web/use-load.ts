/** Loads data for a view. The previous data stays during a reload, also when that fails. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "./api.ts";

export interface Loaded<T> {
  readonly value: T | null;
  /** The error of the last load. */
  readonly error: ApiError | null;
  readonly isLoading: boolean;
  /** Loads now; a load that is running is abandoned. */
  readonly reload: () => void;
  /** Loads after the load that is running: one may call it faster than loads end. */
  readonly refresh: () => void;
}

/** @param key identifies the data: another key drops the previous data */
export function useLoad<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ key: string; value: T | null; error: ApiError | null; isLoading: boolean }>({
    key,
    value: null,
    error: null,
    isLoading: true,
  });
  const running = useRef<AbortController | null>(null);
  const isStale = useRef(false);
  const latest = useRef(load);
  latest.current = load;

  const reload = useCallback(() => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    isStale.current = false;
    const end = (next: (before: typeof state) => typeof state): void => {
      if (controller.signal.aborted) return;
      running.current = null;
      setState(next);
      if (isStale.current) reload();
    };
    setState((before) => ({ ...(before.key === key ? before : { key, value: null, error: null }), isLoading: true }));
    latest.current(controller.signal).then(
      (value) => end(() => ({ key, value, error: null, isLoading: false })),
      (reason: unknown) => {
        const error = reason instanceof ApiError ? reason : new ApiError(0, String(reason));
        end((before) => ({ key, value: before.key === key ? before.value : null, error, isLoading: false }));
      },
    );
  }, [key]);

  const refresh = useCallback(() => {
    if (running.current === null) reload();
    else isStale.current = true;
  }, [reload]);

  useEffect(() => {
    reload();
    return () => running.current?.abort();
  }, [reload]);

  const isCurrent = state.key === key;
  return {
    value: isCurrent ? state.value : null,
    error: isCurrent ? state.error : null,
    isLoading: !isCurrent || state.isLoading,
    ...{ reload, refresh },
  };
}
