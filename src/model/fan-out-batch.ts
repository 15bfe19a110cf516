/**
 * A batch of a large fan-out: one event and some of its installations, as they were when it was first handled. The retries stream
 * stores it until its deliveries are made.
 */
import { crc32 } from "node:zlib";
import { encodeEvent, eventIn, eventSize } from "./delivery-message.ts";
import type { Event } from "./event.ts";
import { jsonObject, numberIn, parseJsonObject, stringsOf } from "./json-object.ts";

export interface Target {
  readonly app: string;
  readonly uuid: string;
}

export interface FanOutBatch {
  readonly event: Event;
  readonly eventSequence: number;
  readonly targets: readonly Target[];
}

interface WireBatch {
  readonly event_sequence: number;
  /** Installations by app: most fan-outs are to few apps. */
  readonly targets: Readonly<Record<string, readonly string[]>>;
}

/** Characters of a uuid in quotes, with a comma. */
const TARGET_SIZE = 39;

/** Estimates the characters of the batch without encoding it. */
export function batchSize({ event, targets }: FanOutBatch): number {
  return eventSize(event) + targets.length * TARGET_SIZE;
}

export function encodeBatch({ event, eventSequence, targets }: FanOutBatch): string {
  const byApp = Map.groupBy(targets, ({ app }) => app);
  const wire: WireBatch = {
    event_sequence: eventSequence,
    targets: Object.fromEntries([...byApp].map(([app, ofApp]) => [app, ofApp.map(({ uuid }) => uuid)])),
  };
  return `${JSON.stringify(wire).slice(0, -1)},"event":${encodeEvent(event)}}`;
}

/** @throws AppError when the text is not a batch */
export function decodeBatch(text: string): FanOutBatch {
  const members = parseJsonObject("batch", text);
  const targets = Object.entries(jsonObject("targets", members["targets"])).flatMap(([app, uuids]) =>
    stringsOf(`targets.${app}`, uuids).map((uuid) => ({ app, uuid })),
  );
  return { event: eventIn(members, text), eventSequence: numberIn({ path: "", members }, "event_sequence"), targets };
}

/**
 * Splits targets into batches by a hash of their uuid. A target's batch depends only on the number of batches: repeating this after a
 * crash, with a changed registry, puts no target into two batches or none.
 */
export function batchesOf(targets: readonly Target[], count: number): Target[][] {
  const batches: Target[][] = Array.from({ length: count }, () => []);
  for (const { app, uuid } of targets) batches[crc32(uuid) % count]?.push({ app, uuid });
  return batches;
}
