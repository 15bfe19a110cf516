/** The pull requests of one consumer that the server has not answered in full. */
import { type Msg, type NatsConnection, nanos } from "nats";
import type { Clock } from "../model/clock.ts";
import { pullSubject } from "./api-subjects.ts";
import type { HeldShare } from "./held-bytes.ts";

export interface PullRequests {
  /** Messages that were asked for and have not arrived. */
  outstanding(): number;
  /** When the server last sent anything, or the first outstanding message was asked for; milliseconds since the epoch. */
  lastReceivedAt(): number;
  /** Since when messages have been asked for without interruption; milliseconds since the epoch. */
  pullingSince(): number;
  /** Asks for as many messages as may be held on top of `held`, once they are a quarter of `window`. */
  topUp(held: number, limit: number, window: number): void;
  /** A message or a status arrived. */
  received(): void;
  messageArrived(): void;
  /** @returns whether the status only ends a pull request, in whole or in part, or keeps it alive; others mean that the consumer is unusable */
  statusArrived(message: Msg, code: number): boolean;
  /** The server silently stopped answering: it sends a heartbeat every 2.5 s as long as messages are asked for. */
  isServerSilent(): boolean;
  /** The outstanding requests are void. */
  reset(): void;
}

const EXPIRES_MS = 30_000;
const IDLE_HEARTBEAT_MS = 2_500;
const MISSED_HEARTBEATS = 3;

export interface PullRequestsDependencies {
  readonly connection: NatsConnection;
  readonly clock: Clock;
  /** Limits what is asked for. */
  readonly share?: Pick<HeldShare, "room" | "asked"> | undefined;
}

export function createPullRequests(
  { connection, clock, share }: PullRequestsDependencies,
  { stream, consumer, inbox }: { readonly stream: string; readonly consumer: string; readonly inbox: string },
): PullRequests {
  const state = { outstanding: 0, lastReceivedAt: clock.now(), pullingSince: clock.now() };
  const setOutstanding = (count: number): void => {
    state.outstanding = count;
    share?.asked(count);
  };
  const remove = (count: number): void => setOutstanding(Math.max(0, state.outstanding - count));

  return {
    outstanding: () => state.outstanding,
    lastReceivedAt: () => state.lastReceivedAt,
    pullingSince: () => state.pullingSince,
    topUp(held, limit, window) {
      const used = held + state.outstanding;
      const free = limit <= used ? 0 : Math.min(limit - used, share?.room(used) ?? limit);
      // Small top-ups cost a round trip each: wait until a quarter is free, unless nothing is on its way.
      if (free <= 0 || (state.outstanding > 0 && free < window / 4)) return;
      if (state.outstanding === 0) state.lastReceivedAt = state.pullingSince = clock.now();
      setOutstanding(state.outstanding + free);
      const request = { batch: free, expires: nanos(EXPIRES_MS), idle_heartbeat: nanos(IDLE_HEARTBEAT_MS) };
      connection.publish(pullSubject(stream, consumer), JSON.stringify(request), { reply: inbox });
    },
    received() {
      state.lastReceivedAt = clock.now();
    },
    messageArrived: () => remove(1),
    statusArrived({ headers }, code) {
      if (code === 100) return true;
      if (code !== 408 && code !== 404 && !(code === 409 && headers?.has("Nats-Pending-Messages"))) return false;
      remove(Number(headers?.get("Nats-Pending-Messages") || state.outstanding));
      return true;
    },
    isServerSilent: () => state.outstanding > 0 && clock.now() - state.lastReceivedAt > MISSED_HEARTBEATS * IDLE_HEARTBEAT_MS,
    reset() {
      setOutstanding(0);
      state.lastReceivedAt = clock.now();
    },
  };
}
