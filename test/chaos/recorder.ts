/**
 * The receivers of a chaos run: real HTTP servers that record every request, and answer, refuse, reset, hang, drip or talk
 * garbage as they are told. What was delivered is what they have answered with 200 to the last byte.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Chance } from "./random.ts";

export type Mood = "well" | "flaky" | "fails" | "refuses" | "throttles" | "resets" | "hangs" | "drips" | "garbage" | "absent";

export interface Answered {
  readonly at: number;
  /** Of the attempt, from its traceparent. */
  readonly spanId: string;
}

interface Received {
  readonly deliveryId: string;
  /** Of its event in the stream. */
  readonly sequence: number;
  readonly spanId: string;
  readonly socket: Socket;
  /** When the answer was written out; null before, or when it was none. */
  deliveredAt: number | null;
  isOpen: boolean;
}

export interface Recorder {
  readonly url: string;
  /** How requests are answered from now on. */
  feel(mood: Mood): Promise<void>;
  /** The answers per delivery. */
  readonly delivered: ReadonlyMap<string, readonly Answered[]>;
  requests(): number;
  /** Deliveries whose first request came after that of a delivery of a later event. */
  inversions(): number;
  /**
   * How many deliveries a process that was just killed may have left without a mark: its connections are those that closed
   * since `since`; what was under way on them, or was answered within `unwrittenMs` before.
   */
  unmarkedOf(since: number, unwrittenMs: number): number;
  /** Deliveries under way, or answered within the last `unwrittenMs`: what a server that is killed now may not have been told. */
  unsettled(unwrittenMs: number): number;
  stop(): Promise<void>;
}

/** The time that a receiver takes. */
const LONGEST_ANSWER_MS = 20;
/** A flaky one fails one request in so many. */
const FLAKY_ONE_IN = 5;

export async function startRecorder(chance: Chance): Promise<Recorder> {
  const delivered = new Map<string, Answered[]>();
  const received: Received[] = [];
  const closedAt = new Map<Socket, number>();
  /** Those with a status of 200 whose bodies come byte by byte. */
  const dripping = new Set<Received>();
  let mood: Mood = "well";

  const answer = (one: Received, response: ServerResponse): void => {
    response.end("ok", () => {
      one.isOpen = false;
      one.deliveredAt = performance.now();
      const answered = { at: one.deliveredAt, spanId: one.spanId };
      const before = delivered.get(one.deliveryId);
      if (before === undefined) delivered.set(one.deliveryId, [answered]);
      else before.push(answered);
    });
  };

  const misbehave = (one: Received, response: ServerResponse): void => {
    const { socket } = one;
    const end = (): void => {
      one.isOpen = false;
    };
    response.once("close", end);
    switch (mood) {
      case "flaky":
      case "fails":
        response.writeHead(503).end("no", end);
        return;
      case "refuses":
        response.writeHead(404).end("no", end);
        return;
      case "throttles":
        response.writeHead(429, { "retry-after": "3" }).end("later", end);
        return;
      case "resets":
        socket.resetAndDestroy();
        return;
      case "garbage":
        socket.end("\u0000\u0001 this is not HTTP \r\n\r\n");
        return;
      case "drips": {
        response.writeHead(200, { "content-length": "1000" });
        dripping.add(one);
        response.once("close", () => dripping.delete(one));
        const drip = setInterval(() => (socket.destroyed ? clearInterval(drip) : response.write(".")), 50);
        return;
      }
      default:
        // Hangs.
        return;
    }
  };

  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    request.resume();
    request.on("error", () => {});
    response.on("error", () => {});
    request.on("end", () => {
      const one: Received = {
        deliveryId: String(request.headers["webhook-id"]),
        sequence: Number(request.headers["webhook-sequence"]),
        spanId: String(request.headers["traceparent"]).split("-")[2] ?? "",
        socket: request.socket,
        deliveredAt: null,
        isOpen: true,
      };
      received.push(one);
      const isWell = mood === "well" || (mood === "flaky" && chance.between(1, FLAKY_ONE_IN) > 1);
      if (!isWell) return misbehave(one, response);
      setTimeout(() => answer(one, response), chance.between(0, LONGEST_ANSWER_MS));
    });
  };

  const server = createServer(handle);
  server.on("connection", (socket) => socket.once("close", () => closedAt.set(socket, performance.now())));
  const listen = (port: number): Promise<void> => new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      // A body that the receiver itself cuts short makes the 200 count, or not, as its end arrives.
      for (const { deliveryId } of dripping) if (!delivered.has(deliveryId)) delivered.set(deliveryId, []);
      server.closeAllConnections();
    });
  await listen(0);
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}/`,
    delivered,
    async feel(next) {
      if (next === mood) return;
      if (mood === "absent") await listen(port);
      else if (next === "absent") await close();
      mood = next;
    },
    requests: () => received.length,
    inversions() {
      const known = new Set<string>();
      let newest = 0;
      let found = 0;
      for (const { deliveryId, sequence } of received) {
        if (known.has(deliveryId)) continue;
        known.add(deliveryId);
        if (sequence < newest) found++;
        newest = Math.max(newest, sequence);
      }
      return found;
    },
    unmarkedOf(since, unwrittenMs) {
      const isLost = ({ socket }: Received): boolean => (closedAt.get(socket) ?? 0) >= since;
      const isUnmarked = ({ isOpen, deliveredAt }: Received): boolean =>
        deliveredAt === null ? isOpen : deliveredAt >= since - unwrittenMs;
      return received.filter((one) => isLost(one) && isUnmarked(one)).length;
    },
    unsettled: (unwrittenMs) =>
      received.filter(({ isOpen, deliveredAt }) => (deliveredAt === null ? isOpen : deliveredAt >= performance.now() - unwrittenMs)).length,
    stop: close,
  };
}
