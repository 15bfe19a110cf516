/** Ends a message as its work ended: acknowledged, given back to be handled again, or left to whoever has it by now. */
import { LeaseOver } from "../delivery/source-lease.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import type { Logger } from "../model/logger.ts";
import type { ConsumedMessage } from "./message.ts";

/** After a fault that is not the message's. */
export const AGAIN_AFTER_MS = 1_000;

/** @param onSettled told afterwards. */
export type CompleteMessage = (message: ConsumedMessage, work: Promise<unknown>, onSettled?: () => void) => void;

export function createCompleteMessage(logger: Logger): CompleteMessage {
  return (message, work, onSettled) => {
    work.then(
      () => {
        message.ack();
        onSettled?.();
      },
      (error: unknown) => {
        endFailed(message, error, logger);
        onSettled?.();
      },
    );
  };
}

export function endFailed(message: ConsumedMessage, error: unknown, logger: Logger, delayMs = AGAIN_AFTER_MS): void {
  if (error instanceof LeaseOver) return message.drop();
  const { subject, stream, sequence } = message;
  logger.error({ subject, stream, sequence, error: messageOf(error) }, "message will be handled again");
  if (isOfTheMoment(error)) message.nak(delayMs);
  else message.fail(delayMs);
}

/** Says nothing about the message: NATS does not answer, or there was no time before a stop. */
function isOfTheMoment(error: unknown): boolean {
  return error instanceof AppError ? error.retryable : error instanceof Error && error.name === "NatsError";
}
