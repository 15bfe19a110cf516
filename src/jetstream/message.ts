/** A message that a pull consumer holds, from its receipt until it is acknowledged, given back or dropped. */
import { Empty, type Msg, type MsgHdrs } from "nats";
import type { Slotted } from "../model/slots.ts";
import type { AckBatcher } from "./ack-batcher.ts";
import { parseAckSubject } from "./api-subjects.ts";

export interface ConsumedMessage extends Slotted {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly stream: string;
  readonly consumer: string;
  readonly sequence: number;
  /** 1 for the first delivery. */
  readonly deliveries: number;
  /** When the server stored it, milliseconds since the epoch. */
  readonly storedAt: number;
  /** Messages that its consumer had not handed out when it handed out this one. */
  readonly pending: number;
  /** When the last heartbeat for it was sent; monotonic milliseconds. */
  heartbeatAt: number;
  /** JetStream hands it to nobody else before this time (LEASE-1); monotonic milliseconds. */
  leaseUntil: number;
  isOurs(): boolean;
  /** The value of a header by its lower-case name. */
  header(name: string): string | undefined;
  headerCount(): number;
  /** The first value of each header, by its name as received. */
  headers(): Record<string, string>;
  ack(): void;
  /** Gives it back: JetStream delivers it again after `delayMs`. Doesn't count towards a poison message. */
  nak(delayMs: number): void;
  /** Like `nak`, but the message itself may be the cause: counts towards a poison message, as a crash does. */
  fail(delayMs: number): void;
  /** Extends its ack_wait at the server: it is still being worked on. */
  working(): void;
  /** It was delivered again while it was held: from now on it is acknowledged on the newer reply subject. */
  renew(reply: string): void;
  /** Its consumer was deleted, which ends its lease. */
  lose(): void;
  /** Stops holding it without an answer to the server: another replica has it. */
  drop(): void;
}

/** The deliveries of a message that ended without a crash, counted over all replicas. */
export interface GiveBacks {
  note(message: Pick<ConsumedMessage, "stream" | "sequence">): void;
  /** Whether a message may be given back: Redis has every note, or the process stops and other replicas should get its messages at once. */
  mayGiveBack(): boolean;
  /** Null when the count can't be read. */
  count(message: Pick<ConsumedMessage, "stream" | "sequence">): Promise<number | null>;
}

/** The part of its pull consumer that a message calls. */
export interface MessageHolder {
  /** Monotonic milliseconds. */
  now(): number;
  /** Called once, when the message ends. @param isGivenBack it ended without an ack and without counting as a crash */
  completed(message: ConsumedMessage, isGivenBack: boolean): void;
}

export function createConsumedMessage(message: Msg, acks: AckBatcher, holder: MessageHolder): ConsumedMessage {
  return new HeldMessage(message, acks, holder);
}

const WORKING = new TextEncoder().encode("+WPI");

/** A class for its fixed shape: every message on the hot path is one, and closures would cost most of it. */
class HeldMessage implements ConsumedMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly stream: string;
  readonly consumer: string;
  readonly sequence: number;
  readonly deliveries: number;
  readonly storedAt: number;
  readonly pending: number;
  /** Not the client's message, which would keep several times the memory for as long as this one is held. */
  private readonly received: MsgHdrs | undefined;
  private readonly acks: AckBatcher;
  private readonly holder: MessageHolder;
  private reply: string;
  private lowerCase: Map<string, string> | undefined;
  private isCompleted = false;
  slot = -1;
  heartbeatAt = 0;
  leaseUntil = Number.POSITIVE_INFINITY;

  constructor(message: Msg, acks: AckBatcher, holder: MessageHolder) {
    this.received = message.headers;
    this.acks = acks;
    this.holder = holder;
    this.reply = message.reply ?? "";
    this.subject = message.subject;
    this.data = message.data ?? Empty;
    const { stream, consumer, sequence, deliveries, storedAt, pending } = parseAckSubject(this.reply);
    this.stream = stream;
    this.consumer = consumer;
    this.sequence = sequence;
    this.deliveries = deliveries;
    this.storedAt = storedAt;
    this.pending = pending;
  }

  header(name: string): string | undefined {
    if (this.received === undefined) return undefined;
    if (this.lowerCase === undefined) {
      this.lowerCase = new Map();
      for (const [key, values] of this.received) this.lowerCase.set(key.toLowerCase(), values[0] ?? "");
    }
    return this.lowerCase.get(name);
  }

  headerCount(): number {
    return this.received?.keys().length ?? 0;
  }

  headers(): Record<string, string> {
    return Object.fromEntries([...(this.received ?? [])].map(([key, values]) => [key, values[0] ?? ""]));
  }

  ack(): void {
    if (this.complete(false)) this.acks.ack(this.reply);
  }

  nak(delayMs: number): void {
    if (this.complete(true)) this.sendNak(delayMs);
  }

  fail(delayMs: number): void {
    if (this.complete(false)) this.sendNak(delayMs);
  }

  working(): void {
    if (!this.isCompleted) this.acks.send(this.reply, WORKING);
  }

  renew(reply: string): void {
    this.reply = reply;
  }

  isOurs(): boolean {
    return this.holder.now() < this.leaseUntil;
  }

  lose(): void {
    this.leaseUntil = Number.NEGATIVE_INFINITY;
  }

  drop(): void {
    this.complete(true);
  }

  private sendNak(delayMs: number): void {
    const delayNs = Math.max(1, Math.round(delayMs)) * 1_000_000;
    this.acks.send(this.reply, new TextEncoder().encode(`-NAK {"delay": ${delayNs}}`));
  }

  private complete(isGivenBack: boolean): boolean {
    if (this.isCompleted) return false;
    this.isCompleted = true;
    this.holder.completed(this, isGivenBack);
    return true;
  }
}
