/**
 * The overview of all apps or of one, kept current by server-sent events, or by polling where a proxy buffers those. The
 * events are read with fetch, because an EventSource can't send a token.
 */
import { useEffect, useState } from "preact/hooks";
import { ApiError, call, request } from "./api.ts";
import { createEventReader } from "./event-stream.ts";
import type { AppRow, OverviewMessage, StatusEventItem } from "./wire.ts";

export interface Live {
  readonly apps: ReadonlyMap<string, AppRow>;
  /** Start of the first hour of each row's attempts. */
  readonly hoursFrom: string;
  readonly unreadable: number | null;
  /** Sources that can't be read now. */
  readonly problems: OverviewMessage["problems"];
  /** How updates arrive; `lost`: not at all. */
  readonly mode: "pushed" | "polled" | "lost";
  /** The reason for `lost`. */
  readonly error: ApiError | null;
}

export type LiveState =
  | { readonly state: "loading" }
  | { readonly state: "failed"; readonly error: ApiError }
  | ({ readonly state: "ready" } & Live);

/** Without an event for this long, something on the way buffers the answer. */
const FIRST_EVENT_WITHIN_MS = 4_000;
/** The server sends at least a comment every 15 s. */
const SILENCE_MS = 40_000;
/** A stream that ends earlier was broken off; the server ends streams later. */
const EARLY_MS = 60_000;
const POLL_MS = 5_000;
/** Then the stream is tried again: the proxy's settings may have changed, or the network of the browser. */
const POLLED_FOR_MS = 60_000;
const RETRY_MS = 2_000;

export interface StatusListener {
  /** Gets every status event that is pushed. */
  onEvent(event: StatusEventItem): void;
  /** Status events before this may not have been pushed; what is read now has them. */
  onGap(): void;
}

export interface LiveFeed {
  readonly live: LiveState;
  /** @returns removes the listener */
  readonly onStatus: (listener: StatusListener) => () => void;
}

/** @param path `v1/overview` or `v1/apps/<slug>/overview`; null: not known yet */
export function useLive(path: string | null): LiveFeed {
  const [live, setLive] = useState<LiveState>({ state: "loading" });
  const [listeners] = useState(() => new Set<StatusListener>());

  useEffect(() => {
    if (path === null) return;
    const stop = new AbortController();
    void follow(path, stop.signal, setLive, {
      onEvent(event) {
        for (const listener of listeners) listener.onEvent(event);
      },
      onGap() {
        for (const listener of listeners) listener.onGap();
      },
    });
    return () => stop.abort();
  }, [path]);

  const [onStatus] = useState(() => (listener: StatusListener) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  });
  return { live, onStatus };
}

async function follow(
  path: string,
  signal: AbortSignal,
  show: (update: (before: LiveState) => LiveState) => void,
  { onEvent, onGap }: StatusListener,
): Promise<void> {
  let pollUntil = 0;
  const onOverview = (message: OverviewMessage): void => {
    show((before) => merged(before, message));
    if (hasAll(message)) onGap();
  };
  while (!signal.aborted) {
    try {
      if (Date.now() < pollUntil) {
        const message = await call<OverviewMessage>(path, { signal });
        show(() => whole(message, "polled"));
        onGap();
        await pause(POLL_MS, signal);
      } else if ((await stream(path, signal, onOverview, onEvent)) === "no event") {
        pollUntil = Date.now() + POLLED_FOR_MS;
      }
    } catch (error) {
      if (signal.aborted) return;
      const reason = error instanceof ApiError ? error : new ApiError(0, "the connection was lost");
      show((before) => (before.state === "ready" ? { ...before, mode: "lost", error: reason } : { state: "failed", error: reason }));
      await pause(RETRY_MS, signal);
    }
  }
}

/** Reads one connection until the server ends it. @throws ApiError when it ends early or is silent for too long */
async function stream(
  path: string,
  signal: AbortSignal,
  onOverview: (message: OverviewMessage) => void,
  onEvent: StatusListener["onEvent"],
): Promise<"ended" | "no event"> {
  const connection = new AbortController();
  const openedAt = Date.now();
  const abort = (): void => connection.abort();
  signal.addEventListener("abort", abort, { once: true });
  let hasEvent = false;
  let timer = setTimeout(abort, FIRST_EVENT_WITHIN_MS);
  try {
    const response = await request(`${path}/live`, { signal: connection.signal });
    const reader = createEventReader(({ event, data }) => {
      if (event === "status") return onEvent(JSON.parse(data) as StatusEventItem);
      onOverview(JSON.parse(data) as OverviewMessage);
      hasEvent = true;
    });
    const decoder = new TextDecoder();
    const body = response.body?.getReader();
    for (;;) {
      const read = await body?.read();
      if (read === undefined || read.done) {
        if (Date.now() - openedAt >= EARLY_MS) return "ended";
        throw new ApiError(0, "the connection was lost");
      }
      clearTimeout(timer);
      timer = setTimeout(abort, SILENCE_MS);
      reader(decoder.decode(read.value, { stream: true }));
    }
  } catch (error) {
    if (signal.aborted || !connection.signal.aborted) throw error;
    if (!hasEvent) return "no event";
    throw new ApiError(0, "the connection was lost");
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
    connection.abort();
  }
}

function whole(message: OverviewMessage, mode: Live["mode"]): LiveState {
  return { state: "ready", apps: new Map(message.items.map((row) => [row.slug, row])), ...headOf(message), mode, error: null };
}

/** The first of a stream, and after each gap in its status events. */
function hasAll(message: OverviewMessage): boolean {
  return message.removed === undefined;
}

function merged(before: LiveState, message: OverviewMessage): LiveState {
  if (hasAll(message) || before.state !== "ready") return whole(message, "pushed");
  const apps = new Map(before.apps);
  for (const row of message.items) apps.set(row.slug, row);
  for (const slug of message.removed ?? []) apps.delete(slug);
  return { state: "ready", apps, ...headOf(message), mode: "pushed", error: null };
}

function headOf({ hours_from, unreadable, problems }: OverviewMessage) {
  return { hoursFrom: hours_from, unreadable: unreadable ?? null, problems };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
