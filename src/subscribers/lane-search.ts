/**
 * Finds a delivery's message in the retries, parked and dead-letters lanes: at the place where it was noted, else by
 * looking at a bounded number of messages of each queue that it can be in. Nothing here counts as a redelivery.
 */
import type { JetStreamClient, JetStreamManager, SeqMsgRequest, StoredMsg } from "nats";
import type { DeadLetterReason } from "../model/delivery.ts";
import { decodeLaneMessage } from "../model/lane-message.ts";
import type { LanePlace, LocatedDelivery } from "../model/whereabouts.ts";
import type { BusNames } from "./names.ts";
import { readPage } from "./read-page.ts";
import { isNotFound } from "./topology.ts";

export interface LaneSearch {
  /** Null: the message is not there any more. */
  at(deliveryId: string, place: LanePlace): Promise<LocatedDelivery | null>;
  /** What is found of the deliveries. @param app null: all apps' messages are looked at. */
  search(deliveryIds: ReadonlySet<string>, app: string | null): Promise<LocatedDelivery[]>;
  /** What a search looks at, in words. */
  readonly looksAt: string;
}

/** Messages looked at under one subject, oldest first. */
const MOST_IN_QUEUE = 200;
/** Dead letters looked at, of the newest. */
const MOST_DEAD_LETTERS = 2_000;

export function createLaneSearch(jetStream: JetStreamClient, manager: JetStreamManager, names: BusNames): LaneSearch {
  const { streams, prefix } = names;
  const streamOf = { retries: streams.retries, parked: streams.parked, "dead-letters": streams.deadLetters } as const;

  const get = async (stream: string, request: object): Promise<StoredMsg | null> => {
    try {
      return await manager.streams.getMessage(stream, request as SeqMsgRequest);
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  };

  const walk = async (lane: LanePlace["lane"], subject: string, wanted: ReadonlySet<string>): Promise<LocatedDelivery[]> => {
    const found: LocatedDelivery[] = [];
    for (let looked = 0, from = 1; looked < MOST_IN_QUEUE && found.length < wanted.size; looked++) {
      const message = await get(streamOf[lane], { seq: from, next_by_subj: subject });
      if (message === null) break;
      const located = locate(lane, message.subject, message.seq, message.time.getTime(), message.string());
      if (located !== null && wanted.has(located.delivery.id)) found.push(located);
      from = message.seq + 1;
    }
    return found;
  };

  const searchDeadLetters = async (filterSubjects: string, wanted: ReadonlySet<string>): Promise<LocatedDelivery[]> => {
    const { last_seq: last } = (await manager.streams.info(streams.deadLetters)).state;
    const from = Math.max(1, last - MOST_DEAD_LETTERS + 1);
    const { messages } = await readPage(jetStream, streams.deadLetters, { filterSubjects, opt_start_seq: from }, MOST_DEAD_LETTERS);
    return messages.flatMap((message) => {
      const text = message.string();
      if (![...wanted].some((id) => text.includes(id))) return [];
      const located = locate("dead-letters", message.subject, message.seq, message.info.timestampNanos / 1e6, text);
      return located !== null && wanted.has(located.delivery.id) ? [located] : [];
    });
  };

  return {
    async at(deliveryId, { lane, sequence }) {
      const message = await get(streamOf[lane], { seq: sequence });
      const located = message && locate(lane, message.subject, message.seq, message.time.getTime(), message.string());
      return located?.delivery.id === deliveryId ? located : null;
    },

    async search(deliveryIds, app) {
      const token = app ?? "*";
      const found = await Promise.all([
        walk("retries", `${prefix}.retries.*.${token}`, deliveryIds),
        walk("parked", `${prefix}.parked.${token}`, deliveryIds),
        walk("parked", `${prefix}.parked.${token}.*`, deliveryIds),
        searchDeadLetters(`${prefix}.dead-letters.${token}`, deliveryIds),
      ]);
      return found.flat();
    },

    looksAt: `the oldest ${MOST_IN_QUEUE} messages of the retries and parked lanes and the newest ${MOST_DEAD_LETTERS} dead letters`,
  };
}

/** Null for what no lane could read. */
function locate(lane: LanePlace["lane"], subject: string, sequence: number, storedAt: number, text: string): LocatedDelivery | null {
  const [, , first = "", installationUuid] = subject.split(".");
  try {
    const { delivery, dueAt } = decodeLaneMessage(text);
    const found = { sequence, storedAt, delivery };
    if (lane === "retries") return { ...found, lane, dueAt: dueAt ?? storedAt, rungS: Number(first) };
    if (lane === "parked") return { ...found, lane, queue: subject, ofInstallation: installationUuid !== undefined };
    const { reason, error } = JSON.parse(text) as { reason: DeadLetterReason; error: string | null };
    return { ...found, lane, reason, error };
  } catch {
    return null;
  }
}
