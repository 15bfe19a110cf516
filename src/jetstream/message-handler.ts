/** Ends a message as its work ended: acknowledged, or given back to be handled again. */
import { messageOf } from "../model/app-error.ts";
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
        const { subject, stream, sequence } = message;
        logger.error({ subject, stream, sequence, error: messageOf(error) }, "message will be handled again");
        message.nak(AGAIN_AFTER_MS);
        onSettled?.();
      },
    );
  };
}
