/**
 * `npm run bench:peers [-- --only posthorn,outpost] [--outpost ~/src/outpost] [--rounds 3] [--seconds 5]`: Posthorn and other webhook
 * senders at the same work, in turns, each with its own stores. Peers whose program is not here are skipped (docs/comparison.md).
 */
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { orUsage } from "../support/options.ts";
import { startReceiver } from "../support/start-receiver.ts";
import { machine } from "../support/usage.ts";
import { benthos } from "./benthos.ts";
import { bullmq } from "./bullmq.ts";
import { convoy } from "./convoy.ts";
import { type Measured, type MeasureOptions, measure } from "./measure.ts";
import { outpost } from "./outpost.ts";
import type { Peer } from "./peer.ts";
import { posthorn, posthornByHttp } from "./posthorn.ts";
import { findProgram, howToGet, NO_PROGRAM, type Program } from "./program.ts";
import { describe, table } from "./report.ts";
import { createSite } from "./site.ts";
import { svix } from "./svix.ts";
import { webhookx } from "./webhookx.ts";

const PEERS: readonly Peer[] = [posthorn, posthornByHttp, outpost, svix, convoy, webhookx, bullmq, benthos];
const SOURCED = PEERS.filter(({ source }) => source !== null);

const OPTIONS = {
  only: { type: "string" },
  rounds: { type: "string", default: "3" },
  seconds: { type: "string", default: "5" },
  endpoints: { type: "string", default: "100" },
  "fan-out": { type: "string", default: "1" },
  bytes: { type: "string", default: "1000" },
  /** How long is waited for deliveries after a fault, in the first round; 0: no faults. */
  "recovery-seconds": { type: "string", default: "75" },
  ...Object.fromEntries(SOURCED.map(({ name }) => [name, { type: "string" } as const])),
} as const;
const USAGE = `npm run bench:peers -- [--only ${PEERS.map(({ name }) => name).join(",")}] [--rounds N] [--seconds N] [--endpoints N]
  [--fan-out N (a divisor of the endpoints)] [--bytes N] [--recovery-seconds N] [${SOURCED.map(({ name }) => `--${name} <path>`).join("] [")}]`;
const { values } = orUsage(USAGE, () => parseArgs({ options: OPTIONS }));
const paths: Readonly<Record<string, string | boolean | undefined>> = values;
const rounds = Number(values.rounds);
const options: MeasureOptions = {
  endpoints: Number(values.endpoints),
  fanOut: Number(values["fan-out"]),
  bodyBytes: Number(values.bytes),
  seconds: Number(values.seconds),
  recoverySeconds: Number(values["recovery-seconds"]),
};
const names = values.only?.split(",") ?? PEERS.map(({ name }) => name);
const unknown = names.filter((name) => !PEERS.some((peer) => peer.name === name));
const { endpoints, fanOut, bodyBytes, seconds, recoverySeconds } = options;
const areCounts = [rounds, endpoints, fanOut, bodyBytes].every((value) => Number.isInteger(value) && value >= 1);
if (unknown.length > 0 || !areCounts || !(seconds > 0) || !(recoverySeconds >= 0) || endpoints % fanOut !== 0) {
  console.error(`usage: ${USAGE}`);
  process.exit(64);
}
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));

const programs = new Map<Peer, Program>();
for (const peer of PEERS.filter(({ name }) => names.includes(name))) {
  const path = paths[peer.name];
  const program = peer.source === null ? NO_PROGRAM : findProgram(peer.name, peer.source, typeof path === "string" ? path : undefined);
  if (program !== null) programs.set(peer, program);
  else console.log(`${peer.name} is skipped: it is not here. To measure it, ${howToGet(peer)}.`);
}

const all = new Map<string, Measured[]>();
const [loadBefore = 0] = loadavg();
for (let round = 1; round <= rounds; round++) {
  for (const [peer, program] of programs) {
    try {
      const measured = await measureOnce(peer, program, round === 1 ? options : { ...options, recoverySeconds: 0 });
      all.set(peer.name, [...(all.get(peer.name) ?? []), measured]);
      console.log(`${peer.name} ${round}/${rounds} (load ${loadavg()[0]?.toFixed(1)}): ${describe(measured)}`);
    } catch (error) {
      console.error(`${peer.name} ${round}/${rounds} failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}
const command = ["npm run bench:peers --", ...process.argv.slice(2)].join(" ");
const versions = [...programs].map(([{ name }, { version }]) => (version === "" ? name : `${name} ${version}`)).join(", ");
console.log(`
Made by \`${command}\` on ${new Date().toISOString().slice(0, 10)}. Machine: ${machine()}, load ${loadBefore.toFixed(1)} before the run.
Programs: ${versions}.

${table(all)}`);
process.exit(0);

async function measureOnce(peer: Peer, program: Program, of: MeasureOptions): Promise<Measured> {
  const site = createSite(peer.name);
  // One more, which hangs.
  const receiver = await startReceiver(of.endpoints + 1);
  try {
    const product = await peer.start(site, program);
    try {
      return await measure({ product, site, receiver }, of);
    } finally {
      await product.stop();
    }
  } finally {
    receiver.stop();
    await site.stop();
  }
}
