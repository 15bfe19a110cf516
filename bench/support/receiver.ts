/**
 * The other end of every benchmark, as a process of its own: plain sockets and one fixed answer, so that it is never what
 * is waited for. One loopback address per destination, each with a behaviour that can be changed, and a port that takes traces by OTLP.
 * Started by start-receiver.ts, which it talks to over IPC.
 */
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { type Behaviour, destinationAt, type FromReceiver, type ToReceiver } from "./start-receiver.ts";
import { monotonicUs } from "./usage.ts";

const ANSWER = Buffer.from("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok");
const THROTTLED = Buffer.from("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n");
const END_OF_LINE = Buffer.from("\r\n");
const END_OF_HEAD = Buffer.from("\r\n\r\n");
/** Events of the benchmark carry the time at which they were sent. */
const SENT_AT = Buffer.from('"sent_at":');
const MAX_DIGITS = 20;
/** Events whose order is looked at have a key as the first member of their data. */
const KEY = Buffer.from('"data":{"key":"');
/** Events that are looked for one by one have a number. */
const NUMBER = Buffer.from('"number":');
/** An event that wants to be refused. */
const REFUSE = Buffer.from('"refuse":true');
const REFUSED = Buffer.from("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
/** Connections that wait to be accepted: many open at once. */
const BACKLOG = 4_096;

const behaviours: Behaviour[] = [];
/** Delay of the slow ones. */
let slowMs = 0;
const counts: number[] = [];
let expected = Number.POSITIVE_INFINITY;
let total = 0;
let latenciesUs: number[] = [];
let numbers: number[] = [];
let refused = 0;
/** When those were sent. */
const refusedAt = new Set<number>();
let inversions = 0;
/** Destination and key → when its youngest event was sent. */
const youngest = new Map<string, number>();

const tell = (message: FromReceiver): void => void process.send?.(message);

/** @returns NaN: it does not say */
function numberAfter(member: Buffer, body: Buffer): number {
  const at = body.indexOf(member);
  if (at === -1) return Number.NaN;
  return Number.parseInt(body.toString("latin1", at + member.length, at + member.length + MAX_DIGITS), 10);
}

function noteOrder(destination: number, body: Buffer, sentAtUs: number): void {
  const at = body.indexOf(KEY);
  if (at === -1) return;
  const keyAt = at + KEY.length;
  const key = `${destination} ${body.toString("latin1", keyAt, body.indexOf('"', keyAt))}`;
  if (sentAtUs < (youngest.get(key) ?? 0)) inversions++;
  else youngest.set(key, sentAtUs);
}

function count(destination: number, body: Buffer): void {
  const now = monotonicUs();
  counts[destination] = (counts[destination] ?? 0) + 1;
  const sentAtUs = numberAfter(SENT_AT, body);
  if (!Number.isNaN(sentAtUs)) {
    latenciesUs.push(now - sentAtUs);
    noteOrder(destination, body, sentAtUs);
  }
  const number = numberAfter(NUMBER, body);
  if (!Number.isNaN(number)) numbers.push(number);
  if (++total === expected) tell({ kind: "reached", atUs: now });
}

function answer(socket: Socket, destination: number): void {
  switch (behaviours[destination]) {
    case "hangs":
      return;
    case "resets":
      return void socket.resetAndDestroy();
    case "throttles":
      socket.write(THROTTLED);
      return;
    case "slow":
      return void setTimeout(() => socket.writable && socket.write(ANSWER), slowMs);
    default:
      socket.write(ANSWER);
  }
}

interface Body {
  readonly body: Buffer;
  /** Where the next request begins. */
  readonly end: number;
}

/** @returns null: not all of it is here */
function plainBody(bytes: Buffer, bodyAt: number, head: string): Body | null {
  const end = bodyAt + Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
  return bytes.length < end ? null : { body: bytes.subarray(bodyAt, end), end };
}

/** Trailers are not expected. @returns null: not all of it is here */
function chunkedBody(bytes: Buffer, bodyAt: number): Body | null {
  const chunks: Buffer[] = [];
  for (let at = bodyAt; ; ) {
    const sizeEnd = bytes.indexOf(END_OF_LINE, at);
    if (sizeEnd === -1) return null;
    const size = Number.parseInt(bytes.toString("latin1", at, sizeEnd), 16);
    const chunkAt = sizeEnd + END_OF_LINE.length;
    at = chunkAt + size + END_OF_LINE.length;
    if (bytes.length < at) return null;
    if (size === 0) return { body: Buffer.concat(chunks), end: at };
    chunks.push(bytes.subarray(chunkAt, chunkAt + size));
  }
}

function listen(): Server {
  return createServer({ noDelay: true }, (socket) => {
    const destination = destinationAt(socket.localAddress ?? "");
    let rest: Buffer | null = null;
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      let bytes = rest === null ? chunk : Buffer.concat([rest, chunk]);
      rest = null;
      for (;;) {
        const headEnd = bytes.indexOf(END_OF_HEAD);
        if (headEnd === -1) break;
        const head = bytes.toString("latin1", 0, headEnd);
        const bodyAt = headEnd + END_OF_HEAD.length;
        const received = /transfer-encoding: chunked/i.test(head) ? chunkedBody(bytes, bodyAt) : plainBody(bytes, bodyAt, head);
        if (received === null) break;
        const { body, end } = received;
        if (body.includes(REFUSE)) {
          refused++;
          refusedAt.add(numberAfter(SENT_AT, body));
          socket.write(REFUSED);
        } else {
          count(destination, body);
          answer(socket, destination);
        }
        bytes = bytes.subarray(end);
      }
      if (bytes.length > 0) rest = bytes;
    });
  });
}

interface Listening {
  listen(options: { port: number; host: string; backlog: number }, then: () => void): unknown;
  address(): unknown;
}

const portOf = (server: Listening): Promise<number> =>
  new Promise((resolve) => {
    server.listen({ port: 0, host: "0.0.0.0", backlog: BACKLOG }, () => resolve((server.address() as AddressInfo).port));
  });

const destinations = Number(process.argv[2] ?? 1);
for (let destination = 0; destination < destinations; destination++) behaviours.push("answers");
const traces = createHttpServer((request, response) => {
  request.resume().on("end", () => response.setHeader("content-type", "application/json").end("{}"));
});
tell({ kind: "listening", port: await portOf(listen()), tracesPort: await portOf(traces) });

process.on("message", (message: ToReceiver) => {
  switch (message.kind) {
    case "expect":
      total = 0;
      latenciesUs = [];
      numbers = [];
      counts.fill(0);
      inversions = 0;
      expected = message.count;
      return;
    case "behave":
      slowMs = message.slowMs;
      for (const destination of message.destinations) behaviours[destination] = message.behaviour;
      return;
    case "report":
      tell({ kind: "report", total, counts, inversions, refused, refusedEvents: refusedAt.size, latenciesUs, numbers });
      return;
  }
});
process.on("disconnect", () => process.exit(0));
