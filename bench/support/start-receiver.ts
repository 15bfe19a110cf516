/** Starts receiver.ts and talks to it. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/** `slow`: answers after 5 s, or what was said. */
export type Behaviour = "answers" | "hangs" | "slow" | "resets" | "throttles";

export type ToReceiver =
  | { readonly kind: "expect"; readonly count: number }
  | { readonly kind: "behave"; readonly destinations: readonly number[]; readonly behaviour: Behaviour; readonly slowMs: number }
  | { readonly kind: "report" };

export interface Report {
  readonly kind: "report";
  readonly total: number;
  /** Requests by destination. */
  readonly counts: readonly number[];
  /** Requests that came after a younger one of the same key. */
  readonly inversions: number;
  /** Requests since the start that wanted to be refused (receiver.ts), which count nowhere else; and of how many events. */
  readonly refused: number;
  readonly refusedEvents: number;
  /** From publish to receipt, of the requests whose event said when it was sent. */
  readonly latenciesUs: readonly number[];
  /** The numbers of events that have one, a number for each request. */
  readonly numbers: readonly number[];
}

export type FromReceiver =
  | { readonly kind: "listening"; readonly port: number; readonly tracesPort: number }
  | { readonly kind: "reached"; readonly atUs: number }
  | Report;

export interface Receiver {
  readonly pid: number;
  /** One per destination. */
  readonly urls: readonly string[];
  readonly tracesUrl: string;
  /** Counts from zero. @returns resolves to the time (monotonicUs) of the last of so many requests. */
  expect(count: number): Promise<number>;
  behave(destinations: readonly number[], behaviour: Behaviour, slowMs?: number): void;
  report(): Promise<Report>;
  stop(): void;
}

const SLOW_MS = 5_000;

/** Addresses of the loopback network: one port is enough for any number of origins. */
function addressOf(destination: number): string {
  return `127.${1 + (destination >> 16)}.${(destination >> 8) & 255}.${destination & 255}`;
}

export function destinationAt(address: string): number {
  const [, high = 1, middle = 0, low = 0] = address.split(".").map(Number);
  return ((high - 1) << 16) | (middle << 8) | low;
}

const SCRIPT = fileURLToPath(new URL("./receiver.ts", import.meta.url));

export async function startReceiver(destinations: number): Promise<Receiver> {
  const child = fork(SCRIPT, [String(destinations)], { stdio: "inherit" });
  const next = nextMessageOf(child);
  const { port, tracesPort } = await next("listening");
  return {
    pid: child.pid ?? 0,
    urls: Array.from({ length: destinations }, (_, destination) => `http://${addressOf(destination)}:${port}/webhooks`),
    tracesUrl: `http://127.0.0.1:${tracesPort}/v1/traces`,
    async expect(count) {
      const reached = next("reached");
      send(child, { kind: "expect", count });
      return (await reached).atUs;
    },
    behave: (of, behaviour, slowMs = SLOW_MS) => send(child, { kind: "behave", destinations: of, behaviour, slowMs }),
    report() {
      const report = next("report");
      send(child, { kind: "report" });
      return report;
    },
    stop: () => void child.kill(),
  };
}

function send(child: ChildProcess, message: ToReceiver): void {
  child.send(message);
}

/** @returns waits for the next message of a kind. A later wait for the same kind replaces the earlier one, which then never resolves. */
function nextMessageOf(child: ChildProcess) {
  const waiting = new Map<string, (message: FromReceiver) => void>();
  child.on("message", (message: FromReceiver) => {
    waiting.get(message.kind)?.(message);
    waiting.delete(message.kind);
  });
  return <Kind extends FromReceiver["kind"]>(kind: Kind): Promise<Extract<FromReceiver, { kind: Kind }>> =>
    new Promise((resolve) => {
      waiting.set(kind, (message) => resolve(message as Extract<FromReceiver, { kind: Kind }>));
    });
}
