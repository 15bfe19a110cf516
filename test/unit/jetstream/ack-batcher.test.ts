import type { NatsConnection } from "nats";
import { expect, test } from "vitest";
import { createAckBatcher } from "../../../src/jetstream/ack-batcher.ts";
import { createManualClock } from "../../support/manual-clock.ts";

function start() {
  const clock = createManualClock();
  const written: string[] = [];
  const pongs: Array<PromiseWithResolvers<void>> = [];
  let onReconnect = (): void => {};
  let isDraining = false;
  const state = {
    up: true,
    onReconnect(listener: () => void) {
      onReconnect = listener;
      return () => {};
    },
    onDisconnect: () => () => {},
  };
  const connection = {
    isClosed: () => false,
    isDraining: () => isDraining,
    publish(subject: string) {
      if (isDraining) throw new Error("CONNECTION_DRAINING");
      written.push(subject);
    },
    flush() {
      written.push("PING");
      const pong = Promise.withResolvers<void>();
      pongs.push(pong);
      return pong.promise;
    },
  } as unknown as NatsConnection;
  const acks = createAckBatcher(connection, state, clock);
  return {
    ...{ clock, acks, pongs },
    take: () => written.splice(0),
    disconnect() {
      state.up = false;
      for (const pong of pongs.splice(0)) pong.reject(new Error("disconnected"));
    },
    reconnect() {
      state.up = true;
      onReconnect();
    },
    drain() {
      isDraining = true;
    },
  };
}

test("acks leave at the next tick, and those of half a second share one PING", async () => {
  const { clock, acks, pongs, take } = start();
  for (let tick = 0; tick < 10; tick++) {
    acks.ack(`ack-${tick}`);
    await clock.advance(25);
  }
  expect(take()).toEqual(Array.from({ length: 10 }, (_, tick) => `ack-${tick}`));
  await clock.advance(500);
  expect(take()).toEqual(["PING"]);
  expect(acks.unconfirmed()).toBe(10);
  pongs[0]?.resolve();
  await clock.advance(0);
  expect(acks.unconfirmed()).toBe(0);
  await clock.advance(10_000);
  expect(take()).toEqual([]);
});

test("many acks are confirmed at once", async () => {
  const { clock, acks, take } = start();
  for (let at = 0; at < 100; at++) acks.ack(`ack-${at}`);
  await clock.advance(25);
  expect(take().at(-1)).toBe("PING");
});

test("acks that no PONG has followed are sent again after a reconnect, before or after their PING", async () => {
  const { clock, acks, pongs, take, disconnect, reconnect } = start();
  acks.ack("confirmed");
  await clock.advance(600);
  pongs[0]?.resolve();
  acks.ack("pinged");
  await clock.advance(600);
  acks.ack("sent");
  await clock.advance(25);
  disconnect();
  acks.ack("while it was down");
  await clock.advance(1_000);
  take();
  reconnect();
  expect(take()).toEqual(["pinged", "sent", "while it was down", "PING"]);
});

test("what ends while the connection drains is not answered, and fails nobody", async () => {
  const { clock, acks, drain, take } = start();
  acks.ack("before");
  drain();
  acks.send("given-back", new Uint8Array());
  acks.flush();
  await clock.advance(1_000);
  expect(take()).toEqual([]);
});
