/**
 * The server's index of a stream's subjects, by which it looks up a subject's next message and chooses what a filtered consumer hands out.
 *
 * INDEX-1  Before release 2.10.25 it can lose live messages. In each block of the stream it keeps the first and the last sequence of a
 *          subject, and it does not correct the last one when that message is deleted. When one message is left it may take the stale
 *          sequence for it (removeSeqPerSubject in the server's filestore.go): of three messages, the second is lost when the third and
 *          then the first are deleted. A lost message is not found by its subject or a wildcard, and no new filtered consumer hands it
 *          out, until it is deleted or its block is compacted.
 * INDEX-2  The message is still found by its sequence and by `>`, and counts by a pattern include it. A stream without deleted messages
 *          between others has lost none.
 * INDEX-3  A count by one subject begins at the block that had the subject's first message when that was last looked up. Once the block
 *          is gone, 2.9.10 counts nothing (SubjectsState in filestore.go). By a pattern it counts all blocks.
 */
import type { NatsConnection } from "nats";

const FIRST_COMPLETE = [2, 10, 25] as const;

/** INDEX-1. */
export function mayLoseMessages(connection: NatsConnection): boolean {
  const version = (connection.info?.version ?? "").split(/[.-]/).map(Number);
  for (const [at, wanted] of FIRST_COMPLETE.entries()) {
    const found = version[at] ?? 0;
    if (found !== wanted) return !(found > wanted);
  }
  return false;
}
