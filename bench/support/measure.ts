/** One measurement of one contender: a backlog drained, and the delay of single events at half of that rate. */
import type { Contender } from "./contenders.ts";
import { cpuUs, monotonicUs, percentile, residentMb } from "./usage.ts";
import type { Workload, World } from "./world.ts";

export interface Measured {
  readonly perSecond: number;
  /** Microseconds of CPU per delivery. */
  readonly workerUs: number;
  readonly natsUs: number;
  readonly redisUs: number;
  readonly residentMb: number;
  /** From publish to receipt at half of the rate above, in ms; null where it was not measured. */
  readonly delays: { readonly p50: number; readonly p99: number; readonly p999: number } | null;
}

export interface MeasureOptions {
  /** Handled before anything is measured: code is compiled, connections are open. */
  readonly warmUp: number;
  readonly deliveries: number;
  /** 0: delays are not measured. */
  readonly delaySeconds: number;
}

/** Until marks, log rows and acks of the last delivery are written. */
const SETTLE_MS = 250;

export async function measure(world: World, contender: Contender, workload: Workload, options: MeasureOptions): Promise<Measured> {
  const contestant = await contender(world, workload);
  const pids = contestant.processes.map(({ pid }) => pid ?? 0);
  const eventsFor = (deliveries: number): number => Math.max(1, Math.round(deliveries / workload.fanOut));
  const used = (): readonly number[] => [pids.reduce((sum, pid) => sum + cpuUs(pid), 0), cpuUs(world.nats.pid()), cpuUs(world.redis.pid())];

  /** The workers are suspended while the backlog is stored, so that none of that is measured. */
  const drain = async (deliveries: number) => {
    const events = eventsFor(deliveries);
    for (const pid of pids) process.kill(pid, "SIGSTOP");
    const reached = world.receiver.expect(events * workload.fanOut);
    await contestant.fill(events);
    const before = used();
    const startUs = monotonicUs();
    for (const pid of pids) process.kill(pid, "SIGCONT");
    const seconds = ((await reached) - startUs) / 1e6;
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const count = events * workload.fanOut;
    const [workerUs = 0, natsUs = 0, redisUs = 0] = used().map((us, at) => (us - (before[at] ?? 0)) / count);
    return { perSecond: count / seconds, workerUs, natsUs, redisUs };
  };

  await drain(options.warmUp);
  const drained = await drain(options.deliveries);
  const resident = pids.reduce((sum, pid) => sum + residentMb(pid), 0);

  let delays: Measured["delays"] = null;
  if (options.delaySeconds > 0) {
    const rate = drained.perSecond / workload.fanOut / 2;
    // The first second is not counted: what waits from before is gone then.
    void world.receiver.expect(Number.MAX_SAFE_INTEGER);
    await world.publishAtRate(workload, rate, 1);
    const total = Math.floor(rate * options.delaySeconds) * workload.fanOut;
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const reached = world.receiver.expect(total);
    await world.publishAtRate(workload, rate, options.delaySeconds);
    await reached;
    const { latenciesUs } = await world.receiver.report();
    const sorted = latenciesUs.map((us) => us / 1000).sort((a, b) => a - b);
    delays = { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99), p999: percentile(sorted, 0.999) };
  }
  await contestant.stop();
  await world.clean();
  return { ...drained, residentMb: resident, delays };
}
