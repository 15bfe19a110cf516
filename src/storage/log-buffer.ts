/** Attempts and notes that wait to be written, bounded, and the batch that is being written. */
import type { Batch } from "./batch-writer.ts";
import type { LogEntry, Note } from "./log-entry.ts";

export interface LogBuffer {
  /** Drops the oldest attempt if the buffer is full. */
  add(entry: LogEntry): void;
  /** Replaces a waiting note of the same name; drops a new one if the buffer is full. */
  addNote(name: string, note: Note): void;
  /** @returns the next batch, which counts as buffered until the next call; null if nothing waits */
  nextBatch(): Batch | null;
  /** The buffered note of that name. */
  findNote(name: string): Note | undefined;
  /** The buffered attempt that delivered the run. */
  findDelivered(dedupKey: string): LogEntry | undefined;
  entries(): number;
  notes(): number;
  dropped(): number;
}

const MAX_BATCH = 1_000;

type Delivered = ReadonlyMap<string, LogEntry>;

const EMPTY: Batch = { entries: [], notes: [] };
const NONE: Delivered = new Map();

export function createLogBuffer(maxRows: number): LogBuffer {
  let waiting: LogEntry[] = [];
  let notes = new Map<string, Note>();
  let batchNotes: ReadonlyMap<string, Note> = new Map();
  let batch = EMPTY;
  let dropped = 0;
  /** Dedup key → the attempt that delivered, for waiting attempts and for the batch. Each batch gets new maps (model/slots.ts). */
  let waitingDelivered = new Map<string, LogEntry>();
  let batchDelivered = NONE;

  /** Almost always takes all notes, and then a new map replaces the old one. */
  const takeNotes = (): Note[] => {
    const all = [...notes];
    batchNotes = all.length <= MAX_BATCH * 2 ? notes : new Map(all.slice(0, MAX_BATCH * 2));
    notes = new Map(all.slice(batchNotes.size));
    return [...batchNotes.values()];
  };

  return {
    add(entry) {
      waiting.push(entry);
      if (!entry.failed) waitingDelivered.set(entry.dedupKey, entry);
      if (waiting.length + batch.entries.length <= maxRows) return;
      const oldest = waiting.shift();
      dropped++;
      if (oldest !== undefined) waitingDelivered.delete(oldest.dedupKey);
    },
    addNote(name, note) {
      if (notes.size < maxRows || notes.has(name)) notes.set(name, note);
    },
    nextBatch() {
      if (waiting.length === 0 && notes.size === 0) {
        batch = EMPTY;
        batchDelivered = NONE;
        batchNotes = new Map();
        return null;
      }
      batch = { entries: waiting.slice(0, MAX_BATCH), notes: takeNotes() };
      waiting = waiting.slice(MAX_BATCH);
      batchDelivered = waitingDelivered;
      waitingDelivered = new Map(waiting.filter(({ failed }) => !failed).map((entry) => [entry.dedupKey, entry]));
      return batch;
    },
    findNote: (name) => notes.get(name) ?? batchNotes.get(name),
    findDelivered: (dedupKey) => waitingDelivered.get(dedupKey) ?? batchDelivered.get(dedupKey),
    entries: () => waiting.length + batch.entries.length,
    notes: () => notes.size + batch.notes.length,
    dropped: () => dropped,
  };
}
