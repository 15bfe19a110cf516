/** Between the workers and their parent: each can ask for the metrics of all. */
import cluster, { type Worker } from "node:cluster";
import type { Clock } from "../model/clock.ts";
import { mergeMetrics } from "../telemetry/merge-metrics.ts";

export type WorkerMessage =
  /** From a worker: it wants the metrics of all. To a worker: the parent wants its own. */
  | { readonly kind: "metrics wanted"; readonly request: number }
  | { readonly kind: "metrics"; readonly request: number; readonly text: string };

/** A worker that has not answered by then is left out. */
export const ANSWER_WITHIN_MS = 1_000;

/** @returns the metrics of all workers together; those of this process when it is no worker */
export function createMetricsOfAll(render: () => string, clock: Clock): () => string | Promise<string> {
  const { worker } = cluster;
  if (worker === undefined) return render;
  const waiting = new Map<number, (text: string) => void>();
  let requests = 0;
  worker.on("message", (message: WorkerMessage) => {
    if (message.kind === "metrics wanted") send(worker, { kind: "metrics", request: message.request, text: render() });
    if (message.kind === "metrics") waiting.get(message.request)?.(message.text);
  });
  return () =>
    new Promise((resolve) => {
      const request = ++requests;
      const answer = (text: string): void => {
        cancel();
        waiting.delete(request);
        resolve(text);
      };
      const cancel = clock.after(2 * ANSWER_WITHIN_MS, () => answer(render()));
      waiting.set(request, answer);
      send(worker, { kind: "metrics wanted", request });
    });
}

/** The parent's part. */
export function createMetricsExchange(clock: Clock): (from: Worker, workers: readonly Worker[], message: WorkerMessage) => void {
  const rounds = new Map<number, { readonly texts: Map<number, string>; readonly end: () => void; readonly workers: number }>();
  let started = 0;

  return (from, workers, message) => {
    if (message.kind === "metrics") {
      const round = rounds.get(message.request);
      round?.texts.set(from.id, message.text);
      if (round?.texts.size === round?.workers) round?.end();
      return;
    }
    const request = ++started;
    const texts = new Map<number, string>();
    const end = (): void => {
      cancel();
      rounds.delete(request);
      send(from, { kind: "metrics", request: message.request, text: mergeMetrics([...texts.values()]) });
    };
    const cancel = clock.after(ANSWER_WITHIN_MS, end);
    rounds.set(request, { texts, end, workers: workers.length });
    for (const worker of workers) send(worker, { kind: "metrics wanted", request });
  };
}

/** A worker that ends at this moment gets nothing. */
function send(worker: Worker, message: WorkerMessage): void {
  if (worker.isConnected()) worker.send(message, () => {});
}
