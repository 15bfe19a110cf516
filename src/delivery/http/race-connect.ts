/**
 * Connects to the first of several addresses that accepts (RFC 8305 section 5): the next address is tried when one has failed or
 * has not answered within 250 ms, and the earlier tries continue.
 */
import { connect, isIP, type Socket } from "node:net";
import { isSenderFault } from "./sender-fault.ts";

export type Raced = (...result: [error: null, socket: Socket] | [error: Error, socket: null]) => void;

const ATTEMPT_DELAY_MS = 250;
/** A name can have thousands of addresses; trying them all would be a scan. */
const MAX_ADDRESSES = 8;
const KEEP_ALIVE_MS = 60_000;

/** Calls back once. The returned function cancels the race. There is no deadline. */
export function raceConnect(addresses: readonly string[], port: number, raced: Raced): () => void {
  const left = inTurns(addresses).slice(0, MAX_ADDRESSES);
  const sockets = new Set<Socket>();
  let timer: NodeJS.Timeout | undefined;
  const errors: Error[] = [];
  let isOver = false;

  const finish = (winner: Socket | null): void => {
    isOver = true;
    clearTimeout(timer);
    for (const socket of sockets) if (socket !== winner) socket.destroy();
  };

  const tryNext = (): void => {
    clearTimeout(timer);
    const host = left.shift();
    if (host === undefined) {
      if (sockets.size > 0) return;
      finish(null);
      // An error that is the receiver's says more: this machine may have no IPv6.
      return raced(errors.find((error) => !isSenderFault(error)) ?? errors[0] ?? new Error("no address to connect to"), null);
    }
    const socket = connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
    sockets.add(socket);
    // The winner's owner adds listeners of its own; a loser may still fail.
    socket.on("error", (error) => errors.push(error));
    const onClose = (): void => {
      sockets.delete(socket);
      if (!isOver) tryNext();
    };
    socket.once("close", onClose);
    socket.once("connect", () => {
      if (isOver) return;
      finish(socket);
      socket.off("close", onClose);
      raced(null, socket);
    });
    if (left.length > 0) timer = setTimeout(tryNext, ATTEMPT_DELAY_MS);
  };
  tryNext();

  return () => {
    if (!isOver) finish(null);
  };
}

/** Alternates between the families, beginning with that of the first address. */
function inTurns(addresses: readonly string[]): string[] {
  const [first = ""] = addresses;
  const family = isIP(first);
  const same = addresses.filter((address) => isIP(address) === family);
  const other = addresses.filter((address) => isIP(address) !== family);
  return same.flatMap((address, at) => [address, ...other.slice(at, at + 1)]).concat(other.slice(same.length));
}
