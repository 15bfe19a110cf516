/**
 * Resolves names without getaddrinfo: one name server that doesn't answer would block its few threads for all destinations.
 * The hosts file, `localhost`, and the search list of resolv.conf work as with getaddrinfo; other sources of nsswitch.conf don't.
 *
 * NAME-1  There is one look-up per name at a time; concurrent callers share it.
 * NAME-2  A look-up ends within its time limit, and a caller can stop waiting earlier.
 * NAME-3  An answer is cached for the TTL of its record, at most MAX_KEPT_MS, and a failure for FAILED_MS. The connector asks the
 *         address guard at each connect, so that a cached address is checked, too.
 */
import { Resolver } from "node:dns";
import { isIP } from "node:net";
import { createHostsFile } from "./hosts-file.ts";
import { createSearchList } from "./search-list.ts";

export type Resolved = (...result: [error: null, addresses: readonly string[]] | [error: Error, addresses: null]) => void;

export interface NameResolver {
  /** Calls back once, possibly within the call. The returned function cancels the callback. The addresses are not empty. */
  resolve(name: string, resolved: Resolved): () => void;
  close(): void;
}

export interface NameResolverOptions {
  /** Limit of one look-up with all its queries. */
  readonly timeoutMs: number;
  /** `<address>[:port]`; without any, the system's servers. */
  readonly servers?: readonly string[];
  readonly hostsFile?: string;
  readonly resolvConf?: string;
}

/** `code` is a code of node:dns, or ETIMEOUT. */
export class NameError extends Error {
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }
}

const MAX_KEPT_MS = 60_000;
const FAILED_MS = 3_000;
const MAX_KEPT_NAMES = 10_000;
/** After one address family has answered, limit of the wait for the other (RFC 8305 section 3). */
const OTHER_FAMILY_MS = 250;
/** Timeout of the first query. c-ares then adapts to the speed of its servers, and doubles the timeout with each try. */
const TRY_MS = 1_000;
const TRIES = 4;
/** RFC 6761 section 6.3: always this machine. */
const LOOPBACK_NAME = /(^|\.)localhost$/;
const LOOPBACK_ADDRESSES = ["127.0.0.1", "::1"];

interface Answer {
  readonly error: NameError | null;
  readonly addresses: readonly string[];
  readonly keptMs: number;
}

interface Lookup {
  readonly callers: Set<Resolved>;
}

export function createNameResolver(options: NameResolverOptions): NameResolver {
  const hosts = createHostsFile(options.hostsFile ?? "/etc/hosts");
  const servers = options.servers ?? [];
  const search = createSearchList(servers.length === 0 ? (options.resolvConf ?? "/etc/resolv.conf") : null);
  const kept = new Map<string, Answer & { readonly until: number }>();
  const running = new Map<string, Lookup>();
  let resolver = newResolver(servers);
  let configuration = search.version();
  let isClosed = false;

  /** Resolvers read the system's servers only when they are created. */
  const currentResolver = (): Resolver => {
    if (search.version() !== configuration) {
      configuration = search.version();
      resolver = newResolver(servers);
    }
    return resolver;
  };

  const keep = (name: string, answer: Answer): void => {
    if (answer.keptMs <= 0) return;
    if (kept.size >= MAX_KEPT_NAMES) kept.clear();
    kept.set(name, { ...answer, until: performance.now() + answer.keptMs });
  };

  const start = (name: string): Lookup => {
    const lookup: Lookup = { callers: new Set() };
    running.set(name, lookup);
    const timer = setTimeout(() => finish(failed(name, "ETIMEOUT")), options.timeoutMs);
    const finish = (answer: Answer): void => {
      if (running.get(name) !== lookup) return;
      running.delete(name);
      clearTimeout(timer);
      keep(name, answer);
      for (const resolved of lookup.callers) answerWith(answer, resolved);
    };
    lookUpFirst(currentResolver(), name, search.candidates(name), finish);
    return lookup;
  };

  return {
    resolve(hostname, resolved) {
      const name = hostname.toLowerCase();
      const local = hosts.addressesOf(name.replace(/\.$/, ""));
      if (local.length > 0) return answerNow({ error: null, addresses: local, keptMs: 0 }, resolved);
      if (LOOPBACK_NAME.test(name.replace(/\.$/, "")))
        return answerNow({ error: null, addresses: LOOPBACK_ADDRESSES, keptMs: 0 }, resolved);
      const known = kept.get(name);
      if (known !== undefined && known.until > performance.now()) return answerNow(known, resolved);
      kept.delete(name);
      if (isClosed) return answerNow(failed(name, "ECANCELLED"), resolved);
      const { callers } = running.get(name) ?? start(name);
      callers.add(resolved);
      return () => callers.delete(resolved);
    },
    close() {
      isClosed = true;
      resolver.cancel();
    },
  };
}

function newResolver(servers: readonly string[]): Resolver {
  const resolver = new Resolver({ timeout: TRY_MS, tries: TRIES });
  if (servers.length > 0) resolver.setServers(servers);
  return resolver;
}

function answerWith({ error, addresses }: Answer, resolved: Resolved): void {
  if (error === null) resolved(null, addresses);
  else resolved(error, null);
}

function answerNow(answer: Answer, resolved: Resolved): () => void {
  answerWith(answer, resolved);
  return () => {};
}

/** The first candidate that exists. */
function lookUpFirst(resolver: Resolver, asked: string, [name, ...others]: readonly string[], found: (answer: Answer) => void): void {
  if (name === undefined) return found(failed(asked, "ENOTFOUND"));
  lookUp(resolver, name, (answer) => {
    const code = answer.error?.code;
    if (others.length > 0 && (code === "ENOTFOUND" || code === "ENODATA")) return lookUpFirst(resolver, asked, others, found);
    found(code === undefined ? answer : failed(asked, code));
  });
}

/** Both families at the same time; IPv6 is first (RFC 8305 section 4). */
function lookUp(resolver: Resolver, name: string, found: (answer: Answer) => void): void {
  const answers: { 4: Answer | null; 6: Answer | null } = { 4: null, 6: null };
  let timer: NodeJS.Timeout | undefined;
  let isFound = false;
  const finish = (): void => {
    if (isFound) return;
    isFound = true;
    clearTimeout(timer);
    const given = [answers[6], answers[4]].filter((answer) => answer !== null);
    const good = given.filter(({ error }) => error === null);
    // A server that refuses or doesn't know one family says nothing about the name.
    if (good.length === 0) return found(failed(name, mostSpecific(given.map(({ error }) => error?.code ?? ""))));
    found({ error: null, addresses: good.flatMap(({ addresses }) => addresses), keptMs: Math.min(...good.map(({ keptMs }) => keptMs)) });
  };
  const onAnswer = (
    family: 4 | 6,
    error: NodeJS.ErrnoException | null,
    records: ReadonlyArray<{ address: string; ttl: number }> = [],
  ): void => {
    const addresses = records.filter(({ address }) => isIP(address) === family);
    answers[family] =
      error !== null || addresses.length === 0
        ? failed(name, error?.code ?? "ENODATA")
        : {
            error: null,
            addresses: addresses.map(({ address }) => address),
            keptMs: Math.min(MAX_KEPT_MS, ...addresses.map(({ ttl }) => ttl * 1_000)),
          };
    if (answers[4] !== null && answers[6] !== null) finish();
    else if (answers[family].error === null) timer = setTimeout(finish, OTHER_FAMILY_MS);
  };
  try {
    resolver.resolve4(name, { ttl: true }, (error, records) => onAnswer(4, error, records));
    resolver.resolve6(name, { ttl: true }, (error, records) => onAnswer(6, error, records));
  } catch {
    // node:dns throws if the text can't be a name.
    isFound = true;
    queueMicrotask(() => found(failed(name, "EBADNAME")));
  }
}

const NO_SUCH_NAME: ReadonlySet<string> = new Set(["ENOTFOUND", "ENODATA"]);

function mostSpecific(codes: readonly string[]): string {
  return codes.find((code) => !NO_SUCH_NAME.has(code)) ?? codes.find((code) => code === "ENOTFOUND") ?? "ENODATA";
}

function failed(name: string, code: string): Answer {
  const why = NO_SUCH_NAME.has(code)
    ? "no address is known for this name"
    : code === "ETIMEOUT"
      ? "the name server did not answer in time"
      : "the name can't be looked up";
  return { error: new NameError(`${why}: ${name}`, code), addresses: [], keptMs: code === "ECANCELLED" ? 0 : FAILED_MS };
}
