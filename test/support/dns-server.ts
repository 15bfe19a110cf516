/** A DNS server of our own on loopback, whose answers are written out and may change from one look-up to the next. */
import { createSocket } from "node:dgram";
import { type AddressInfo, isIP } from "node:net";
import { createNameResolver, type NameResolver } from "../../src/delivery/http/name-resolver.ts";

/** Addresses, or a response code such as 2 (SERVFAIL); null: no answer at all. */
type NameAnswer = readonly string[] | number | null;

/** What is answered for a name, or for its nth look-up, from 1. */
export type Zone = Readonly<Record<string, readonly string[] | ((nth: number) => NameAnswer)>>;

export interface DnsServer {
  readonly address: string;
  /** Asks this server, for what is given to the sender. */
  readonly resolver: NameResolver;
  /** Questions for a name so far, A and AAAA together counted once. */
  lookups(name: string): number;
  stop(): Promise<void>;
}

const TYPE_A = 1;
const TYPE_AAAA = 28;

/** @param ttlS how long its answers may be kept; 0: not at all */
export async function startDnsServer(zone: Zone, ttlS = 0): Promise<DnsServer> {
  const asked = new Map<string, number>();
  const socket = createSocket("udp4");
  socket.on("message", (query, { port, address }) => {
    const { name, type, end } = questionOf(query);
    if (type === TYPE_A) asked.set(name, (asked.get(name) ?? 0) + 1);
    const known = Object.hasOwn(zone, name);
    const entry = (known ? zone[name] : undefined) ?? [];
    const given = typeof entry === "function" ? entry(asked.get(name) ?? 1) : entry;
    if (given === null) return;
    const addresses = typeof given === "number" ? [] : given;
    const records = addresses.filter((text) => (isIP(text) === 4 ? TYPE_A : TYPE_AAAA) === type).map((text) => record(type, text, ttlS));
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(typeof given === "number" ? 0x8180 + given : known ? 0x8180 : 0x8183, 2);
    head.writeUInt16BE(records.length, 6);
    head.writeUInt32BE(0, 8);
    socket.send(Buffer.concat([head, query.subarray(12, end), ...records]), port, address);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));

  const address = `127.0.0.1:${(socket.address() as AddressInfo).port}`;
  const resolver = createNameResolver({ timeoutMs: 60_000, servers: [address] });

  return {
    address,
    resolver,
    lookups: (name) => asked.get(name) ?? 0,
    stop: () => {
      resolver.close();
      return new Promise((resolve) => socket.close(() => resolve()));
    },
  };
}

function questionOf(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length).toLowerCase());
    at += 1 + length;
  }
  return { name: labels.join("."), type: query.readUInt16BE(at + 1), end: at + 5 };
}

/** The name is that of the question. */
function record(type: number, address: string, ttlS: number): Buffer {
  const data = type === TYPE_A ? Buffer.from(address.split(".").map(Number)) : ipv6Bytes(address);
  const head = Buffer.from([0xc0, 0x0c, 0, type, 0, 1, 0, 0, ttlS >> 8, ttlS & 0xff, 0, data.length]);
  return Buffer.concat([head, data]);
}

function ipv6Bytes(address: string): Buffer {
  // The URL parser writes dotted parts as groups.
  const [head = "", tail = ""] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split("::");
  const groups = (text: string): number[] => (text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16)));
  const left = groups(head);
  const right = groups(tail);
  const all = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}
