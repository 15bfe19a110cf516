/**
 * `npm run bench:backlog [-- --only slow,burst] [--rounds 3] [--burst 5000] [--processes 1,2]`: a backlog whose deliveries have to wait.
 * `slow`: healthy receivers that answer after 100 ms, until the process is full: what is parked, and what a delivery costs.
 * `burst`: events of an app that hangs, of one whose connections are reset and of one that throttles, and what an event stored behind
 * them waits, beside the time in which a bare consumer reads past them.
 */

import { AckPolicy } from "nats";
import { type Contestant, posthorn } from "./support/contenders.ts";
import { readOptions } from "./support/options.ts";
import type { Behaviour } from "./support/start-receiver.ts";
import { cpuUs, median, monotonicUs, residentMb } from "./support/usage.ts";
import { bodyOf, createWorld, type Workload, type World } from "./support/world.ts";

const defaults = {
  only: "slow,burst",
  rounds: 3,
  deliveries: 20_000,
  destinations: 100,
  "fan-out": [1, 10],
  burst: 5_000,
  processes: [1, 2],
};
const options = readOptions("backlog", defaults);
const { rounds, deliveries, destinations, "fan-out": fanOuts, burst, processes } = options;

const SLOW_MS = 100;
/** Events of healthy apps behind a burst; with the burst's own app they are as many as contenders.ts makes. */
const BEHIND = 99;
const BAD: readonly Behaviour[] = ["hangs", "resets", "throttles"];
const ALONE: Workload = { destinations: BEHIND + 1, bodyBytes: 1_000, fanOut: 1 };

async function messagesOf(world: World, name: string, stream: string): Promise<{ readonly messages: number; readonly last_seq: number }> {
  return (await world.manager.streams.info(name.replace(/EVENTS$/, stream))).state;
}

async function started(
  world: World,
  workload: Workload,
  count: number,
): Promise<{ readonly contestant: Contestant; readonly stream: string }> {
  const { name } = world.nextStream();
  const contestant = await posthorn(count)(world, workload);
  const stream = name.replace(/\d+/, (digits) => String(Number(digits) + 1));
  return { contestant, stream };
}

async function slow(world: World, workload: Workload, count: number): Promise<string> {
  const { contestant, stream } = await started(world, workload, count);
  const pids = contestant.processes.map(({ pid }) => pid ?? 0);
  const events = Math.round(deliveries / workload.fanOut);
  world.receiver.behave([...world.receiver.urls.keys()], "slow", SLOW_MS);
  for (const pid of pids) process.kill(pid, "SIGSTOP");
  const reached = world.receiver.expect(events * workload.fanOut);
  await contestant.fill(events);
  const used = (): number => [...pids, world.nats.pid(), world.redis.pid()].reduce((sum, pid) => sum + cpuUs(pid), 0);
  const [usedBefore, startedAt] = [used(), monotonicUs()];
  for (const pid of pids) process.kill(pid, "SIGCONT");
  const seconds = ((await reached) - startedAt) / 1e6;
  const perDeliveryUs = (used() - usedBefore) / (events * workload.fanOut);
  const parked = await messagesOf(world, stream, "PARKED");
  await contestant.stop();
  return `${Math.round((events * workload.fanOut) / seconds)}/s, ${perDeliveryUs.toFixed(0)} µs of the stack, ${parked.last_seq} parked`;
}

/** Until a consumer that does nothing but read has passed them all. */
async function bare(world: World, stream: string): Promise<number> {
  const { num_pending: pending } = await world.manager.consumers.add(stream, { durable_name: "bare", ack_policy: AckPolicy.None });
  const startedAt = monotonicUs();
  const subscription = world.connection.subscribe("bare");
  world.connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.bare`, JSON.stringify({ batch: pending }), { reply: "bare" });
  let read = 0;
  for await (const _ of subscription) if (++read === pending) break;
  return (monotonicUs() - startedAt) / 1_000;
}

async function behind(
  world: World,
  bad: Behaviour,
  count: number,
): Promise<{ readonly waitMs: number; readonly cpuMs: number; readonly parked: number; readonly bareMs: number; readonly mb: number }> {
  const { contestant, stream } = await started(world, ALONE, count);
  const pids = contestant.processes.map(({ pid }) => pid ?? 0);
  world.receiver.behave([...world.receiver.urls.keys()], "answers");
  const warm = world.receiver.expect(BEHIND * 10);
  await contestant.fill(BEHIND * 10);
  await warm;
  world.receiver.behave([BEHIND], bad);
  for (const pid of pids) process.kill(pid, "SIGSTOP");
  const subject = `${stream
    .toLowerCase()
    .replaceAll("_", "-")
    .replace(/-events$/, "")}.events.issue.created`;
  for (let at = 0; at < burst; at++) {
    world.connection.publish(subject, bodyOf(1_000, String(BEHIND), 0));
    if (at % 1_000 === 0) await world.connection.flush();
  }
  for (let at = 0; at < BEHIND; at++) world.connection.publish(subject, bodyOf(1_000, String(at), monotonicUs()));
  await world.connection.flush();
  const total = await messagesOf(world, stream, "EVENTS");
  if (total.messages < burst + BEHIND) throw new Error("not everything was stored");
  void world.receiver.expect(Number.MAX_SAFE_INTEGER);
  const used = (): number => pids.reduce((sum, pid) => sum + cpuUs(pid), 0);
  const [startedAt, usedBefore] = [monotonicUs(), used()];
  for (const pid of pids) process.kill(pid, "SIGCONT");
  let most = 0;
  for (;;) {
    const { counts } = await world.receiver.report();
    most = Math.max(most, ...pids.map(residentMb));
    if (counts.slice(0, BEHIND).every((of) => of > 0)) break;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const [waitMs, cpuMs] = [(monotonicUs() - startedAt) / 1_000, (used() - usedBefore) / 1_000];
  const { last_seq: parked } = await messagesOf(world, stream, "PARKED");
  for (let left = burst; left > 100; ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    most = Math.max(most, ...pids.map(residentMb));
    const [consumer] = (await world.manager.consumers.list(stream).next()).filter(({ name }) => name !== "bare");
    left = (consumer?.num_pending ?? 0) + (consumer?.num_ack_pending ?? 0);
  }
  const bareMs = await bare(world, stream);
  await contestant.stop();
  return { waitMs, cpuMs, parked, bareMs, mb: most };
}

const only = options.only.split(",");
const ms = (of: readonly number[]): string => `${median(of).toFixed(0)} (${Math.min(...of).toFixed(0)}–${Math.max(...of).toFixed(0)})`;
if (only.includes("slow")) {
  const world = await createWorld(destinations);
  for (let round = 1; round <= rounds; round++) {
    for (const fanOut of fanOuts) {
      for (const count of processes) {
        const result = await slow(world, { destinations, bodyBytes: 1_000, fanOut }, count);
        console.log(`answers after ${SLOW_MS} ms, fan-out ${fanOut}, ${count} processes, ${round}/${rounds}: ${result}`);
      }
    }
  }
  await world.stop();
}
if (only.includes("burst")) {
  const world = await createWorld(BEHIND + 1);
  for (const count of processes) {
    for (const bad of BAD) {
      const all: Array<Awaited<ReturnType<typeof behind>>> = [];
      for (let round = 1; round <= rounds; round++) all.push(await behind(world, bad, count));
      const [waits, bares, mb] = [all.map(({ waitMs }) => waitMs), all.map(({ bareMs }) => bareMs), all.map((one) => one.mb)];
      console.log(
        `behind ${burst} events of an app that ${bad}, ${count} processes: ${ms(waits)} ms; a bare consumer ${ms(bares)} ms ` +
          `(${(median(waits) / median(bares)).toFixed(2)} ×); worker CPU ${ms(all.map(({ cpuMs }) => cpuMs))} ms, ` +
          `parked by then ${ms(all.map(({ parked }) => parked))}; ${Math.max(...mb).toFixed(0)} MB`,
      );
    }
  }
  await world.stop();
}
process.exit(0);
