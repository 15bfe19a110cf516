/** Single messages of a stream, read without a consumer. */
import type { JetStreamManager, SeqMsgRequest, StoredMsg } from "nats";
import { isDeletedAlready, isNotFound, isStreamMissing } from "./nats-errors.ts";

/** Null when there is no message at the sequence, or not any more. */
export function messageAt(manager: JetStreamManager, stream: string, sequence: number): Promise<StoredMsg | null> {
  return unlessNoMessage(manager.streams.getMessage(stream, { seq: sequence }));
}

/**
 * The first message of a subject or pattern from a sequence on; null when there is none.
 * @param subject other than `>`, some servers miss messages (INDEX-1): use readSubject
 */
export function nextMessage(manager: JetStreamManager, stream: string, subject: string, from: number): Promise<StoredMsg | null> {
  // The server's JSApiMsgGetRequest has next_by_subj since 2.9; the library's type lacks it.
  const request = { seq: from, next_by_subj: subject } as SeqMsgRequest;
  return unlessNoMessage(manager.streams.getMessage(stream, request));
}

/** Does nothing when the message is not there any more. */
export async function deleteMessage(manager: JetStreamManager, stream: string, sequence: number): Promise<void> {
  try {
    await manager.streams.deleteMessage(stream, sequence, false);
  } catch (error) {
    if (!isDeletedAlready(error)) throw error;
  }
}

/** The last message of a subject; null when there is none. */
export function lastMessage(manager: JetStreamManager, stream: string, subject: string): Promise<StoredMsg | null> {
  return unlessNoMessage(manager.streams.getMessage(stream, { last_by_subj: subject }));
}

/** A missing stream also answers 404, but says nothing about the message. */
async function unlessNoMessage(reading: Promise<StoredMsg>): Promise<StoredMsg | null> {
  try {
    return await reading;
  } catch (error) {
    if (isNotFound(error) && !isStreamMissing(error)) return null;
    throw error;
  }
}
