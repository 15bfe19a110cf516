/**
 * The one way a consumed message ends. A poison message and one that can't be decoded become dead letters; everything else is handled,
 * then acknowledged, or given back when its handling failed.
 *
 * HANDLE-1  A message is acknowledged only after its handling, or its dead letter, is stored.
 * HANDLE-2  A message is poison when it was delivered more than 10 times in vain: its handling may be what kills the process, so it
 *           becomes a dead letter undecoded. Deliveries that were given back don't count. While their number is unknown, no message is
 *           poison.
 * HANDLE-3  A message whose lease is over is dropped: another replica has it.
 * HANDLE-4  A message whose handling rejects because a stream refuses its outcome is given back, so that other messages of the consumer
 *           get their turn. The delay doubles, up to 4 s: every attempt costs the receiver a request. The refusal itself is logged once
 *           (PUBLISH-3).
 * HANDLE-5  While Redis takes no notes of give-backs, such a message is held and handled again here: given back, it would count towards
 *           poison.
 */
import type { GiveUp } from "../delivery/give-up.ts";
import { isLeaseOver, LeaseOver } from "../delivery/source-lease.ts";
import { AppError, isRefusedForNow, messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import type { ConsumedMessage, GiveBacks } from "./message.ts";

/** How a message ends: acknowledged, or delivered again after `delayMs`. */
export type MessageEnd = { readonly kind: "ack" } | { readonly kind: "nak"; readonly delayMs: number };

export const ACK: MessageEnd = { kind: "ack" };

/** The first delay after a fault that is not the message's. */
export const AGAIN_AFTER_MS = 1_000;
/** The longest delay after a refusal: deliveries resume at most this long after the store has room. */
const LONGEST_DELAY_MS = 4_000;

/** The delay doubles with each delivery. */
export function growingDelayMs({ deliveries }: Pick<ConsumedMessage, "deliveries">, longestMs = LONGEST_DELAY_MS): number {
  return Math.min(longestMs, AGAIN_AFTER_MS * 2 ** (deliveries - 1));
}

export type Decoded<T> = { readonly ok: true; readonly content: T } | { readonly ok: false; readonly problem: string };

export interface MessageHandlerOptions<T> {
  readonly decode: (message: ConsumedMessage) => Decoded<T>;
  /**
   * Resolves when the message can end. May keep the message instead of handling it ("later") and pass it to the message handler again.
   */
  readonly handle: (message: ConsumedMessage, content: T) => Promise<MessageEnd> | "later";
  /** The app that dead letters of the stream's messages belong to; null: none. */
  readonly appOf: (message: ConsumedMessage) => string | null;
  /** Called after the message has ended, however it ended. */
  readonly onEnd?: (message: ConsumedMessage) => void;
  /** Delay after a fault that may be the message's. */
  readonly retryDelayMs?: (message: ConsumedMessage) => number;
}

export interface MessageHandlerDependencies {
  readonly giveBacks: Pick<GiveBacks, "count" | "mayGiveBack">;
  readonly giveUp: Pick<GiveUp, "message">;
  readonly clock: Clock;
  readonly logger: Logger;
}

export function createMessageHandler<T>(
  { giveBacks, giveUp, clock, logger }: MessageHandlerDependencies,
  { decode, handle, appOf, onEnd, retryDelayMs }: MessageHandlerOptions<T>,
): (message: ConsumedMessage) => void {
  const fail = (message: ConsumedMessage, error: unknown, handleAt = clock.now() + LONGEST_DELAY_MS): void => {
    // HANDLE-5.
    if (isTransient(error) && !giveBacks.mayGiveBack()) {
      clock.after(AGAIN_AFTER_MS, () => {
        if (!message.isOurs()) fail(message, new LeaseOver(message));
        else if (clock.now() < handleAt) fail(message, error, handleAt);
        else begin(message);
      });
      return;
    }
    endFailed(message, error, logger, retryDelayMs?.(message));
    onEnd?.(message);
  };

  const endAfter = (message: ConsumedMessage, work: Promise<MessageEnd>): void => {
    work.then(
      (end) => {
        if (end.kind === "nak") message.nak(end.delayMs);
        else message.ack();
        onEnd?.(message);
      },
      (error: unknown) => fail(message, error),
    );
  };

  const begin = (message: ConsumedMessage): void => {
    try {
      const decoded = decode(message);
      if (!decoded.ok)
        return endAfter(
          message,
          giveUp.message(message, "invalid", decoded.problem, appOf(message)).then(() => ACK),
        );
      const work = handle(message, decoded.content);
      if (work !== "later") endAfter(message, work);
    } catch (fault) {
      fail(message, fault);
    }
  };

  return (message) => {
    if (!isSuspect(message)) return begin(message);
    void isPoison(message, giveBacks).then((isOne) => {
      if (!isOne) return begin(message);
      endAfter(
        message,
        giveUp.message(message, "redelivered", poisonError(message), appOf(message)).then(() => ACK),
      );
    });
  };
}

/** Decodes a message's text with a function that throws for a text of another form. */
export function decodedText<T>(decode: (text: string) => T): (message: ConsumedMessage) => Decoded<T> {
  return ({ data }) => {
    try {
      return { ok: true, content: decode(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("utf8")) };
    } catch (error) {
      return { ok: false, problem: messageOf(error) };
    }
  };
}

/** Ends a message whose handling failed. @param delayMs after a fault that may be the message's */
export function endFailed(message: ConsumedMessage, error: unknown, logger: Logger, delayMs = AGAIN_AFTER_MS): void {
  // HANDLE-3.
  if (isLeaseOver(error)) return message.drop();
  if (!isRefusedForNow(error)) {
    const { subject, stream, sequence } = message;
    logger.error({ subject, stream, sequence, error: messageOf(error) }, "message will be handled again");
  }
  if (isTransient(error)) message.nak(growingDelayMs(message));
  else message.fail(delayMs);
}

/** The error says nothing about the message: NATS did not answer, or the process stops. */
function isTransient(error: unknown): boolean {
  return error instanceof AppError ? error.retryable : error instanceof Error && error.name === "NatsError";
}

/** Deliveries in vain before a message counts as poison (HANDLE-2). */
const MAX_REDELIVERIES = 10;

function isSuspect({ deliveries }: ConsumedMessage): boolean {
  return deliveries - 1 > MAX_REDELIVERIES;
}

async function isPoison(message: ConsumedMessage, giveBacks: Pick<GiveBacks, "count">): Promise<boolean> {
  const givenBack = await giveBacks.count(message);
  return givenBack !== null && message.deliveries - 1 - givenBack > MAX_REDELIVERIES;
}

function poisonError({ deliveries }: ConsumedMessage): string {
  return `redelivered ${deliveries - 1} times without being acknowledged`;
}

const MAX_DELIVERIES_WAITING = 5;

/**
 * Whether a message that only waits has been delivered so often, as after several restarts, that it is stored again instead. Its
 * redelivery count then remains a count of crashes.
 */
export function shouldRequeue({ deliveries }: ConsumedMessage): boolean {
  return deliveries > MAX_DELIVERIES_WAITING;
}
