/**
 * Server-side request forgery: URLs that lead into the sender's own network. A URL that is accepted is tried only where this
 * machine has the address, so that the kit sees the connection, and nobody else gets it.
 */
import { lookup } from "node:dns/promises";
import { networkInterfaces } from "node:os";
import { messageOf } from "../model/app-error.ts";
import { status } from "./answers.ts";
import { type Check, type Finding, fail, pass, skipped, standardWebhooks } from "./check.ts";
import { listenAt } from "./private-listener.ts";
import type { Trial } from "./trial.ts";

interface PrivateTarget {
  /** As it stands in a URL. */
  readonly host: string;
  /** The address that it means. */
  readonly address: string;
}

/** `own`: it is the address of the receiver. `unseen`: the URL was accepted, and this machine can't see a connection to it. */
export type TargetOutcome =
  | { readonly kind: "connected" | "not connected" | "unseen" | "own" }
  | { readonly kind: "refused"; readonly why: string };

const LOOPBACK = "127.0.0.1";
const SOURCE = `${standardWebhooks("Server side request forgery")}; OWASP API7:2023`;

const loopback = (hosts: readonly string[]): PrivateTarget[] => hosts.map((host) => ({ host, address: LOOPBACK }));
const plain = (hosts: readonly string[]): PrivateTarget[] => hosts.map((host) => ({ host, address: host.replace(/^\[|\]$/g, "") }));

/** Metadata services of clouds; the fourth is Alibaba's, the fifth Azure's. */
const METADATA = ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "100.100.100.200", "168.63.129.16"];
const PRIVATE = ["10.0.0.1", "172.16.0.1", "192.168.0.1", "[fc00::1]", "[fe80::1]"];
const PRIVATE_ADDRESS = /^(?:10\.|172\.(?:1[6-9]|2\d|3[01])\.|192\.168\.|f[cd])/;

const ownAddresses = (): string[] => Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address));

async function addressOf(name: string): Promise<string> {
  return lookup(name).then(
    ({ address }) => address,
    () => name,
  );
}

/** The sender is on this machine, as far as its requests show. */
function isLocal({ isForwarded, baseline }: Trial): boolean {
  const from = baseline.attempts[0]?.from ?? "";
  return !isForwarded && (from.startsWith("127.") || ownAddresses().includes(from));
}

async function outcomeOf(trial: Trial, { host, address }: PrivateTarget): Promise<TargetOutcome> {
  const { protocol, hostname } = new URL(trial.receiver.url);
  if (address === hostname.replace(/^\[|\]$/g, "").replace("localhost", LOOPBACK)) return { kind: "own" };
  const listener = isLocal(trial) ? await listenAt(address) : null;
  const isConnected = (): boolean => listener !== null && listener.connections() > 0;
  try {
    // Nothing but its address is a reason to refuse it: the scheme is the receiver's, and the port the scheme's where it can be.
    const { id } = await trial.register(`${protocol}//${host}${listener === null ? "" : `:${listener.port}`}/`);
    if (listener === null) return { kind: "unseen" };
    await trial.send(id);
    await trial.untilQuiet();
    return { kind: isConnected() ? "connected" : "not connected" };
  } catch (error) {
    trial.signal.throwIfAborted();
    return isConnected() ? { kind: "connected" } : { kind: "refused", why: messageOf(error) };
  } finally {
    await listener?.stop();
  }
}

export function judgeTargets(outcomes: ReadonlyArray<readonly [host: string, outcome: TargetOutcome]>): Finding {
  const of = (wanted: TargetOutcome["kind"]): string => outcomes.flatMap(([host, { kind }]) => (kind === wanted ? [host] : [])).join(", ");
  const [connected, unseen, own, refused, avoided] = [of("connected"), of("unseen"), of("own"), of("refused"), of("not connected")];
  if (connected !== "") return fail(`connected to ${connected}`);
  if (unseen !== "") return skipped(`accepted ${unseen}; this machine can't see whether the sender connects there`);
  if (own !== "") return skipped(`the receiver is at the address of ${own}: give it another one with --listen`);
  const why = outcomes.flatMap(([, outcome]) => (outcome.kind === "refused" ? [outcome.why] : []))[0];
  return pass([refused && `refused ${refused} (${why})`, avoided && `never connected to ${avoided}`].filter(Boolean).join("; "));
}

function targets(name: string, what: string, found: (trial: Trial) => PrivateTarget[] | Promise<PrivateTarget[]>): Check {
  return {
    name: `address-${name}`,
    expected: `The sender refuses, or never connects to, ${what}.`,
    source: SOURCE,
    async run(trial) {
      const all = await found(trial);
      return judgeTargets(await Promise.all(all.map(async (target) => [target.host, await outcomeOf(trial, target)] as const)));
    },
  };
}

export const ADDRESS_CHECKS: readonly Check[] = [
  targets("loopback", "loopback and unspecified addresses", () => [
    ...loopback([LOOPBACK, "0.0.0.0"]),
    ...plain(["[::1]"]),
    { host: "[::]", address: "::1" },
  ]),
  targets("spelling", "127.0.0.1 in decimal, octal, hexadecimal and short forms", () =>
    loopback(["2130706433", "017700000001", "0177.0.0.1", "0x7f000001", "0x7f.1", "127.1"]),
  ),
  targets("ipv6", "127.0.0.1 within an IPv6 address", () => [
    ...loopback(["[::ffff:127.0.0.1]", "[::ffff:7f00:1]"]),
    ...plain(["[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::1]"]),
  ]),
  targets("metadata", "the metadata services of clouds", () => plain(METADATA)),
  targets("private", "private networks and this machine's addresses in them", () => {
    const own = ownAddresses().filter((address) => PRIVATE_ADDRESS.test(address));
    return plain([...PRIVATE, ...own.map((address) => (address.includes(":") ? `[${address}]` : address))]);
  }),
  targets("name", "names that lead to private addresses (localhost, and those of --private-name)", async ({ privateNames }) => [
    ...loopback(["localhost", "localhost."]),
    ...(await Promise.all(privateNames.map(async (host) => ({ host, address: await addressOf(host) })))),
  ]),
  {
    name: "address-redirect",
    expected: `A redirect to ${LOOPBACK} is not followed.`,
    source: SOURCE,
    async run(trial) {
      const listener = isLocal(trial) ? await listenAt(LOOPBACK) : null;
      if (listener === null) return skipped("the sender is not on this machine, which would see the connection");
      try {
        const location = `http://${LOOPBACK}:${listener.port}/`;
        await Promise.all([302, 307].map((code) => trial.deliver(status(code, { location }))));
        await trial.untilQuiet();
        return listener.connections() === 0 ? pass("302 and 307 were not followed") : fail(`connected to ${location}`);
      } finally {
        await listener.stop();
      }
    },
  },
];
