/**
 * The order of deliveries under crashes, pauses, take-overs and changes of `order_by`: the real ordered app in the hands of one owner
 * after the other, with JetStream's part (events, parked messages), the dedup keys and the receiver in memory. What an owner has in
 * memory goes with it; an owner that was paused comes back without its lease and ends what it had begun. An owner begins once the other
 * replicas have stored what they had in hand when the app became ordered.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createNextInOrder } from "../../../src/delivery/next-in-order.ts";
import type { ParkedQueue } from "../../../src/delivery/ports.ts";
import { LeaseOver } from "../../../src/delivery/source-lease.ts";
import type { ConsumedMessage } from "../../../src/jetstream/message.ts";
import type { OnExhausted, OrderBy } from "../../../src/model/app.ts";
import type { Delivery } from "../../../src/model/delivery.ts";
import { dedupKeyOf, newDelivery } from "../../../src/model/delivery.ts";
import type { BlockedBy } from "../../../src/model/delivery-message.ts";
import { orderKeyOf } from "../../../src/model/order-key.ts";
import { createOrderedApp, type OrderedApp } from "../../../src/subscribers/ordered/ordered-app.ts";
import type { AttemptParked } from "../../../src/subscribers/parked/attempt-parked.ts";
import type { ParkedDelivery } from "../../../src/subscribers/parked/backlog.ts";
import { createFence } from "../../../src/subscribers/parked/fence.ts";
import { anApp, anEvent, anInstallation, UUID } from "../../support/builders.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

const OWN = "t.parked.acme";
const OF_INSTALLATION = `${OWN}.${UUID}`;
const RETRY_MS = 3_000;

interface Stored {
  readonly subject: string;
  readonly delivery: Delivery;
  readonly dueAt: number | null;
  readonly blockedBy: BlockedBy | undefined;
  readonly fence: number | undefined;
}

interface Source {
  readonly stream: string;
  readonly sequence: number;
  readonly fence?: number;
}

interface Owner {
  readonly app: OrderedApp;
  /** Everything that it asks for is answered; a dead one waits for ever. */
  isAlive: boolean;
  hasLease: boolean;
  /** Its reader's last event. */
  readTo: number;
  /** Events up to it may be done. */
  readonly suspectUpTo: number;
  /** It removes what an earlier owner stores behind that. */
  readonly lastParked: number;
  isReading: boolean;
  readonly open: Map<number, number>;
}

class World {
  readonly clock = createManualClock();
  readonly events: Delivery[] = [];
  readonly parked = new Map<number, Stored>();
  readonly delivered = new Set<string>();
  readonly dead = new Set<string>();
  readonly deadLetters = new Map<number, Delivery>();
  /** Dead letters that have to stop a key as long as they are there. */
  private readonly stopping = new Map<number, { readonly delivery: Delivery; readonly orderBy: OrderBy }>();
  private lastDeadLetter = 0;
  /** The app's record has changed since these: they stop nothing. */
  private freedUpTo = 0;
  /** Dedup keys: written at once, or lost with the owner's last moments. */
  readonly marks = new Set<string>();
  readonly stores = new Map<string, number>();
  readonly starts: string[] = [];
  readonly inFlight = new Set<Delivery>();
  readonly failing = new Set<string>();
  readonly wrong: string[] = [];
  /** Deliveries that other replicas have in hand. */
  private readonly ofOthers: Delivery[];
  private othersAreDone = (): void => {};
  private readonly others = new Promise<void>((resolve) => {
    this.othersAreDone = resolve;
  });
  private sequence = 0;
  private owners = 0;
  mostAttempts = 3;
  isPaused = false;
  isCircuitOpen = false;
  /** How long a place is waited for. */
  busyMs = 0;
  /** How long a request takes to the server; one of a dead owner arrives, too. */
  lagMs = 0;
  /** How long a message of a queue is waited for, and an event. */
  readMs = 0;
  readerMs = 0;
  /** How long Redis takes to answer. */
  redisMs = 0;
  /** A queue was read to its end. */
  onQueueRead: () => unknown = () => {};
  orderBy: OrderBy = "/k";
  onExhausted: OnExhausted = "continue";
  floor: number;
  owner: Owner;

  /** @param before keys of the events before the app became ordered */
  constructor(before: readonly string[]) {
    for (const key of before) this.happen(key);
    this.ofOthers = [...this.events];
    this.floor = this.events.length;
    this.owner = this.takeOver();
  }

  private happen(key: string): number {
    const at = this.events.length + 1;
    const event = anEvent({ id: `e-${at}`, dataJson: JSON.stringify({ k: key }) });
    this.events.push(newDelivery(event, "acme", UUID, at));
    return at;
  }

  publish(key: string): void {
    this.happen(key);
    void this.readOn(this.owner);
  }

  storeOfOthers(): void {
    for (const delivery of this.ofOthers.splice(0).reverse())
      this.store(OWN, delivery, { stream: "EVENTS", sequence: delivery.eventSequence ?? 0 }, null);
    this.othersAreDone();
  }

  async reorder(orderBy: OrderBy): Promise<void> {
    // A run that has begun has got to its attempt.
    await new Promise((resolve) => setImmediate(resolve));
    this.orderBy = orderBy;
    this.freedUpTo = this.lastDeadLetter;
    this.owner.app.wake();
  }

  exhaust(onExhausted: OnExhausted): void {
    this.onExhausted = onExhausted;
    if (onExhausted === "continue") this.freedUpTo = this.lastDeadLetter;
    this.owner.app.wake();
  }

  /** As replay.ts does: the queue has the delivery before its dead letter is gone. */
  async replay(): Promise<void> {
    for (const [sequence, delivery] of this.deadLetters) {
      const isStop = [...this.parked.values()].some(({ blockedBy }) => blockedBy?.deadLetter === sequence);
      const again = { ...delivery, attemptsMade: 0, replay: `dead-letter-${sequence}` };
      this.store(this.isPaused ? OF_INSTALLATION : OWN, again, { stream: "DEAD", sequence }, null);
      // A delivery that stopped its key is the first to be sent.
      if (isStop && this.onExhausted === "stop" && sequence > this.freedUpTo) this.dead.delete(delivery.id);
      if (!this.isPaused) void this.owner.app.refresh();
      else this.owner.app.stored(UUID);
      await new Promise((resolve) => setImmediate(resolve));
      this.deadLetters.delete(sequence);
      this.owner.app.deadLettersRemoved(new Set([sequence]));
    }
  }

  /** As any replica probes the broken installation: a failure is a rejection for good. */
  async probe(): Promise<void> {
    const { orderBy } = this;
    if (orderBy === "none") return;
    const parked = await this.nextInOrder({ app: "acme", installationUuid: UUID });
    if (parked === null || !this.isPaused || this.orderBy !== orderBy) return;
    const { delivery, source } = parked;
    this.start(this.owner, orderBy, delivery);
    this.inFlight.delete(delivery);
    if (this.failing.has(keyIn(delivery))) {
      const deadLetter = this.giveUp(delivery);
      const blockedBy = { deadLetter, orderBy, since: this.clock.now() };
      if (this.onExhausted === "stop") this.store(OWN, delivery, source, null, blockedBy);
    } else {
      this.delivered.add(delivery.id);
      this.marks.add(dedupKeyOf(delivery));
    }
    this.parked.delete(source.sequence);
    void this.owner.app.refresh();
  }

  private readonly nextInOrder = createNextInOrder({
    registry: {
      app: () => anApp({ orderBy: this.orderBy }),
      installation: (uuid) => anInstallation({ uuid, status: this.isPaused ? "broken" : "active" }),
    },
    isStopping: () => false,
    readParked: (queue, after) => this.readQueue(queue, after),
    parkedAt: async (sequence) => this.parkedAt(sequence),
    firstInOrder: async (asked) => ({ first: await this.owner.app.firstInOrder(asked) }),
    skipDelivered: async (delivery) => this.isDone(delivery),
    removeDone: async ({ delivery, source }) => {
      const deadLetter = this.onExhausted === "stop" ? this.deadLetterOf(delivery) : null;
      const { orderBy } = this;
      if (deadLetter !== null) this.store(OWN, delivery, source, null, { deadLetter, orderBy, since: this.clock.now() });
      this.parked.delete(source.sequence);
      void this.owner.app.refresh();
      return deadLetter !== null;
    },
  });

  private async *readQueue({ installationUuid }: ParkedQueue, after: number): AsyncGenerator<ParkedDelivery> {
    const subject = installationUuid === null ? OWN : OF_INSTALLATION;
    for (const [sequence, one] of this.parked) {
      const parked = this.parkedAt(sequence);
      if (parked !== null && sequence > after && one.subject === subject) yield parked;
    }
  }

  private parkedAt(sequence: number): ParkedDelivery | null {
    const found = this.parked.get(sequence);
    const header = (): string | undefined => found?.fence?.toString();
    const message = { subject: "", consumer: "", sequence, deliveries: 0, header };
    return found === undefined ? null : { ...found, message, source: { stream: "PARKED", sequence }, storedAt: 0 };
  }

  private isDone(delivery: Delivery): boolean {
    const mark = dedupKeyOf(delivery);
    return this.marks.has(mark) || (this.stores.get(mark) ?? 0) > delivery.stores;
  }

  private deadLettersState() {
    const [first = this.lastDeadLetter + 1] = this.deadLetters.keys();
    return { removed: this.lastDeadLetter - this.deadLetters.size, first };
  }

  private deadLetterOf(delivery: Delivery): number | null {
    const found = [...this.deadLetters].find(([, one]) => dedupKeyOf(one) === dedupKeyOf(delivery));
    return found?.[0] ?? null;
  }

  private giveUp(delivery: Delivery): number {
    this.stores.set(dedupKeyOf(delivery), delivery.stores + 1);
    this.dead.add(delivery.id);
    this.deadLetters.set(++this.lastDeadLetter, { ...delivery, stores: delivery.stores + 1 });
    if (this.onExhausted === "stop" && this.orderBy !== "none") this.stopping.set(this.lastDeadLetter, { delivery, orderBy: this.orderBy });
    return this.lastDeadLetter;
  }

  /** As the reader hands events on: in their order. */
  private async readOn(owner: Owner): Promise<void> {
    if (owner.isReading) return;
    owner.isReading = true;
    while (owner.readTo < this.events.length && owner.isAlive) {
      if (this.readerMs > 0) await new Promise<void>((resolve) => this.clock.after(this.readerMs, resolve));
      this.read(owner, ++owner.readTo);
    }
    owner.isReading = false;
  }

  private read(owner: Owner, at: number): void {
    const delivery = this.events[at - 1];
    if (delivery === undefined || !owner.isAlive || !owner.hasLease) return;
    owner.open.set(at, 1);
    const message = { stream: "EVENTS", sequence: at, isOurs: () => true, header: () => undefined } as unknown as ConsumedMessage;
    owner.app.accept(delivery, { message, done: () => void owner.open.delete(at) }, at <= owner.suspectUpTo);
  }

  saveFloor(): void {
    const { open, isAlive } = this.owner;
    if (isAlive) this.floor = Math.max(this.floor, open.size === 0 ? this.owner.readTo : Math.min(...open.keys()) - 1);
  }

  private store(subject: string, delivery: Delivery, source: Source, dueAt: number | null, blockedBy?: BlockedBy): number {
    const id = `${delivery.id}:${source.stream}:${source.sequence}:${source.fence}`;
    // Stored once per source; what it was answered with then is not there any more, perhaps.
    const before = this.idSequences.get(id);
    if (before !== undefined) return before;
    const sequence = ++this.sequence;
    this.idSequences.set(id, sequence);
    const stored = { ...delivery, stores: delivery.stores + 1, firstParkedAt: 1 };
    this.parked.set(sequence, { subject, delivery: stored, dueAt, blockedBy, fence: source.fence });
    return sequence;
  }
  private readonly idSequences = new Map<string, number>();

  takeOver(): Owner {
    const owner: Owner = {
      app: undefined as never,
      isAlive: true,
      hasLease: true,
      readTo: this.floor,
      suspectUpTo: this.events.length,
      lastParked: this.sequence,
      isReading: false,
      open: new Map(),
    };
    const alive = async <T>(work: () => T): Promise<T> => {
      await new Promise((resolve) => setImmediate(resolve));
      if (!owner.isAlive) await new Promise(() => {});
      return work();
    };
    const requireLease = (): void => {
      if (!owner.hasLease) throw new LeaseOver({ stream: "PARKED", sequence: 0 });
    };
    /** As storage does: how often a delivery was stored is noted while the lease runs. */
    const note = (delivery: Delivery): void => {
      const mark = dedupKeyOf(delivery);
      if (owner.hasLease) this.stores.set(mark, Math.max(this.stores.get(mark) ?? 0, delivery.stores + 1));
    };
    const sent = async <T>(effect: () => T): Promise<T> => {
      if (this.lagMs > 0) await new Promise<void>((resolve) => this.clock.after(this.lagMs, resolve));
      const answer = effect();
      return alive(() => answer);
    };
    const asked = async (delivery: Delivery): Promise<boolean> => {
      if (this.redisMs > 0) await new Promise<void>((resolve) => this.clock.after(this.redisMs, resolve));
      return alive(() => this.isDone(delivery));
    };
    const attemptParked: AttemptParked = async ({ delivery }, { mayBeDone, isWanted }) => {
      const { orderBy } = this;
      if ((await asked(delivery)) && mayBeDone) return "skipped";
      requireLease();
      if (this.isPaused) return { kind: "park", queue: { app: "acme", installationUuid: UUID }, why: "disabled" };
      if (this.isCircuitOpen) return "wait";
      // It waits for a place.
      await new Promise<void>((resolve) => this.clock.after(this.busyMs, resolve));
      if (!owner.isAlive) await new Promise(() => {});
      if (!isWanted() || this.isPaused) return "unwanted";
      requireLease();
      this.start(owner, orderBy, delivery);
      const fails = this.failing.has(keyIn(delivery));
      await new Promise<void>((resolve) => this.clock.after(20, resolve));
      if (!owner.isAlive) await new Promise(() => {});
      this.inFlight.delete(delivery);
      if (!fails) {
        this.delivered.add(delivery.id);
        this.marks.add(dedupKeyOf(delivery));
        return "done";
      }
      const tried = { ...delivery, attemptsMade: delivery.attemptsMade + 1 };
      if (tried.attemptsMade >= this.mostAttempts)
        return { kind: "dead-letter", delivery: tried, record: null, reason: "exhausted", error: null };
      return {
        kind: "retry",
        delivery: tried,
        record: null,
        delay: { dueAt: this.clock.now() + RETRY_MS, delayMs: RETRY_MS, notBefore: false },
      };
    };
    const next = async ({ installationUuid }: ParkedQueue, after: number): Promise<ParkedDelivery | null> => {
      if (this.readMs > 0) await new Promise<void>((resolve) => this.clock.after(this.readMs, resolve));
      return alive(() => {
        const subject = installationUuid === null ? OWN : OF_INSTALLATION;
        const found = [...this.parked].find(([sequence, one]) => sequence > after && one.subject === subject);
        if (found === undefined) this.onQueueRead();
        return found === undefined ? null : this.parkedAt(found[0]);
      });
    };
    const made = createOrderedApp(
      {
        backlog: {
          async *read(queue, { from = 1 } = {}) {
            for (let parked = await next(queue, from - 1); parked !== null; parked = await next(queue, parked.source.sequence))
              yield parked;
          },
          at: (sequence) => alive(() => this.parkedAt(sequence)),
          queuesOf: () =>
            alive(() => {
              const counts = new Map<string | null, number>();
              for (const { subject } of this.parked.values()) {
                const uuid = subject === OWN ? null : UUID;
                counts.set(uuid, (counts.get(uuid) ?? 0) + 1);
              }
              return counts;
            }),
          remove: ({ source }) => sent(() => void this.parked.delete(source.sequence)),
        },
        attemptParked,
        skipDelivered: asked,
        dispatcher: {
          park: async (delivery: Delivery, _queue: unknown, _why: string, source: Source) => {
            await alive(requireLease);
            await sent(() => void this.store(OF_INSTALLATION, delivery, source, null));
            note(delivery);
          },
          apply: ({ delivery }: { delivery: Delivery }) =>
            alive(() => {
              requireLease();
              // Without an order a retry waits where all others do.
              return this.giveUp(delivery);
            }),
        } as never,
        streams: {
          park: async (delivery, _queue, dueAt, source, _trace, blockedBy) => {
            await alive(requireLease);
            const sequence = await sent(() => this.store(OWN, delivery, source as Source, dueAt, blockedBy));
            if (blockedBy === undefined) note(delivery);
            return { subject: OWN, messageId: "", sequence, isDuplicate: false };
          },
        },
        observer: { stored() {}, skipped() {} },
        log: { skipped() {} },
        poisonLimit: { attempt: () => null },
        fence: createFence(++this.owners, this.sequence),
        registry: {
          app: () => anApp({ orderBy: this.orderBy, onExhausted: this.onExhausted }),
          installation: () => anInstallation(),
        },
        clock: this.clock,
        logger: silentLogger,
        monotonicNow: () => this.clock.now(),
        isFlowing: ({ installationUuid }) => installationUuid === null || !this.isPaused,
        isOwner: () => owner.hasLease && owner.isAlive,
        deadLettersState: () => alive(() => this.deadLettersState()),
        deadLetterOf: (delivery) => alive(() => this.deadLetterOf(delivery)),
        isDeadLetter: (sequence) => alive(() => this.deadLetters.has(sequence)),
        isReadBefore: (sequence) => alive(() => owner.readTo >= Math.min(sequence - 1, this.events.length)),
        parkedStream: "PARKED",
        maxInFlightOf: () => 2,
        takeRoom: () => () => {},
      },
      "acme",
    );
    Object.assign(owner, { app: made });
    this.owner = owner;
    void this.readOn(owner);
    void this.others.then(() => made.prepare());
    return owner;
  }

  /** @param orderBy when the delivery's turn came */
  start(owner: Owner, orderBy: OrderBy, delivery: Delivery): void {
    const { id, eventSequence } = delivery;
    const key = orderKeyOf(delivery, orderBy);
    const isOfKey = (one: Delivery): boolean => one.id !== id && orderKeyOf(one, orderBy) === key;
    if (owner === this.owner && [...this.inFlight].some(isOfKey)) this.wrong.push(`two at once of key ${key} by ${orderBy}`);
    if (!owner.hasLease) this.wrong.push(`${id} started without the lease`);
    const older = this.events.filter((one) => (one.eventSequence ?? 0) < (eventSequence ?? 0) && isOfKey(one));
    for (const one of older)
      if (!this.delivered.has(one.id) && !this.dead.has(one.id)) this.wrong.push(`${id} started before ${one.id} by ${orderBy}`);
    for (const [deadLetter, stop] of this.stopping) {
      const isAhead = isOfKey(stop.delivery) && (stop.delivery.eventSequence ?? 0) < (eventSequence ?? 0);
      const isStopped = this.onExhausted === "stop" && stop.orderBy === orderBy && deadLetter > this.freedUpTo;
      if (isAhead && isStopped && this.deadLetters.has(deadLetter))
        this.wrong.push(`${id} started although ${stop.delivery.id} stops its key`);
    }
    if (this.dead.has(id) && delivery.replay === null) this.wrong.push(`${id} is attempted although it was given up`);
    this.starts.push(id);
    this.inFlight.add(delivery);
  }

  /** kill -9: what is under way reaches the receiver or not, and nothing is heard of it. */
  crash(): void {
    this.owner.isAlive = false;
    this.inFlight.clear();
    this.takeOver();
  }

  /** It stands still for longer than its lease, and goes on with what it had begun. */
  pause(): void {
    this.owner.hasLease = false;
    this.owner.app.stop();
    this.inFlight.clear();
    this.takeOver();
  }
}

const keyIn = ({ event }: Delivery): string => JSON.parse(event.dataJson).k;

type Step =
  | { readonly do: "publish" | "fail" | "heal"; readonly key: string }
  | { readonly do: "wait" | "busy" | "lag" | "read" | "reader" | "redis"; readonly ms: number }
  | { readonly do: "order"; readonly by: OrderBy }
  | { readonly do: "attempts"; readonly most: number }
  | { readonly do: "exhaust"; readonly to: OnExhausted }
  | {
      readonly do: "crash" | "pause" | "save" | "stop" | "resume" | "refresh" | "others" | "open" | "close" | "replay" | "delete" | "probe";
    };

const key = fc.constantFrom("a", "b", "c");
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constantFrom("publish" as const), key }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("fail" as const, "heal" as const), key }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(0, 5, 25, 600, 2_600, 4_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("busy" as const), ms: fc.constantFrom(0, 60, 3_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("lag" as const), ms: fc.constantFrom(0, 30, 5_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("read" as const), ms: fc.constantFrom(0, 10, 60) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("redis" as const), ms: fc.constantFrom(0, 10, 60) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reader" as const), ms: fc.constantFrom(0, 20, 300) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("crash" as const, "pause" as const, "save" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("stop" as const, "resume" as const, "refresh" as const) }) },
  { weight: 2, arbitrary: fc.constant({ do: "probe" as const }) },
  { weight: 1, arbitrary: fc.constant({ do: "others" as const }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("open" as const, "close" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("order" as const), by: fc.constantFrom("/k", "app", "none") }) },
);

const stopStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: step },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("publish" as const), key: fc.constantFrom("a", "b") }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("fail" as const, "heal" as const), key: fc.constantFrom("a", "b") }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("replay" as const, "delete" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("exhaust" as const), to: fc.constantFrom("stop", "continue") }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(25, 600) }) },
);

async function take(world: World, one: Step): Promise<void> {
  switch (one.do) {
    case "publish":
      return world.publish(one.key);
    case "fail":
      return void world.failing.add(one.key);
    case "heal":
      return void world.failing.delete(one.key);
    case "wait":
      return world.clock.advance(one.ms);
    case "busy":
      world.busyMs = one.ms;
      return;
    case "lag":
      world.lagMs = one.ms;
      return;
    case "read":
      world.readMs = one.ms;
      return;
    case "redis":
      world.redisMs = one.ms;
      return;
    case "reader":
      world.readerMs = one.ms;
      return;
    case "crash":
      return world.crash();
    case "pause":
      return world.pause();
    case "save":
      return world.saveFloor();
    case "stop":
      world.isPaused = true;
      return;
    case "resume":
      world.isPaused = false;
      return world.owner.app.wake();
    case "open":
      world.isCircuitOpen = true;
      return;
    case "close":
      world.isCircuitOpen = false;
      return world.owner.app.wake();
    case "refresh":
      return void world.owner.app.refresh();
    case "others":
      return world.storeOfOthers();
    case "order":
      return world.reorder(one.by);
    case "attempts":
      world.mostAttempts = one.most;
      return;
    case "exhaust":
      return world.exhaust(one.to);
    case "replay":
      return world.replay();
    case "probe":
      return void world.probe();
    case "delete":
      return world.deadLetters.clear();
  }
}

/**
 * @param ends what frees the stopped keys in the end
 * @returns what must be empty once everything is well again
 */
async function outcomeOf(before: readonly string[], steps: readonly Step[], ends: readonly Step[] = []) {
  const world = new World(before);
  for (const one of steps) await take(world, one);
  world.failing.clear();
  world.isPaused = world.isCircuitOpen = false;
  world.busyMs = 0;
  world.lagMs = world.readMs = world.readerMs = world.redisMs = 0;
  world.storeOfOthers();
  world.owner.app.wake();
  const rest = async (seconds: number): Promise<void> => {
    for (let n = 0; n < seconds; n++) {
      void world.owner.app.refresh();
      await world.clock.advance(1_000);
    }
  };
  await rest(ends.length === 0 ? 40 : 20);
  for (const one of ends) {
    await take(world, one);
    await rest(20);
  }
  const left = world.events.filter(({ id }) => !world.delivered.has(id) && !world.dead.has(id)).map(({ id }) => id);
  return { wrong: world.wrong, left, parked: world.parked.size };
}

const NOTHING = { wrong: [], left: [], parked: 0 };

test("each key's deliveries start in the order of the events, one at a time, and none is lost, whatever happens to their owner", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(key, { maxLength: 3 }), fc.array(step, { minLength: 5, maxLength: 40 }), async (before, steps) => {
      expect(await outcomeOf(before, steps)).toEqual(NOTHING);
    }),
    { numRuns: Number(process.env["ORDER_MODEL_RUNS"] ?? 200) },
  );
}, 120_000);

test("a key that a dead letter stops continues with it when it is sent again, and without it when nothing stops it any more", async () => {
  const begin: Step[] = [{ do: "others" }, { do: "attempts", most: 1 }, { do: "exhaust", to: "stop" }];
  const end = fc.constantFrom<Step>(
    { do: "delete" },
    { do: "replay" },
    { do: "exhaust", to: "continue" },
    { do: "order", by: "installation" },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(stopStep, { minLength: 5, maxLength: 40 }), end, async (steps, last) => {
      expect(await outcomeOf([], [...begin, ...steps], [last])).toEqual(NOTHING);
    }),
    { numRuns: Number(process.env["ORDER_MODEL_RUNS"] ?? 200) },
  );
}, 120_000);

test("a new owner starts nothing that is stored before older events are read, however slowly they come", async () => {
  const wait = (ms: number, times: number): Step[] => Array(times).fill({ do: "wait", ms });
  // The first one waits for a place while those behind it are stored.
  const busy: Step[] = [{ do: "others" }, ...wait(1, 5), { do: "busy", ms: 5_000 }];
  const stored: Step[] = [...Array<Step>(6).fill({ do: "publish", key: "a" }), ...wait(450, 8), { do: "busy", ms: 0 }];
  expect(await outcomeOf([], [...busy, ...stored, { do: "reader", ms: 300 }, { do: "crash" }, ...wait(10, 50)])).toEqual(NOTHING);
});

test("a delivery whose message is found while Redis is asked about its event is not lost", async () => {
  const moved: Step[] = [{ do: "publish", key: "a" }, { do: "stop" }, { do: "others" }, { do: "wait", ms: 0 }, { do: "wait", ms: 4_000 }];
  expect(await outcomeOf([], [...moved, { do: "crash" }, { do: "redis", ms: 60 }, { do: "wait", ms: 0 }])).toEqual(NOTHING);
});

test("a key stops though its owner died between the dead letter and the stop", async () => {
  const begin: Step[] = [{ do: "others" }, { do: "attempts", most: 1 }, { do: "exhaust", to: "stop" }, { do: "wait", ms: 1 }];
  const givenUp: Step[] = [
    { do: "fail", key: "a" },
    { do: "publish", key: "a" },
    { do: "publish", key: "a" },
    { do: "lag", ms: 5_000 },
  ];
  const ticks: Step[] = Array(5).fill({ do: "wait", ms: 10 });
  const steps: Step[] = [...begin, ...givenUp, ...ticks, { do: "heal", key: "a" }, { do: "crash" }, { do: "lag", ms: 0 }, ...ticks];
  expect(await outcomeOf([], steps, [{ do: "replay" }])).toEqual(NOTHING);
});

test("the probe of a broken installation takes the replay of what stopped its key before what waits in front of it", async () => {
  const wait: Step[] = Array(5).fill({ do: "wait", ms: 1 });
  const publish: Step = { do: "publish", key: "a" };
  const parked: Step[] = [{ do: "others" }, { do: "exhaust", to: "stop" }, { do: "stop" }, ...wait, publish, publish, publish, ...wait];
  const givenUp: Step[] = [{ do: "fail", key: "a" }, { do: "probe" }, ...wait, { do: "heal", key: "a" }];
  const replayed: Step[] = [{ do: "replay" }, ...wait, { do: "refresh" }, ...wait, { do: "probe" }, ...wait];
  expect(await outcomeOf([], [...parked, ...givenUp, ...replayed])).toEqual(NOTHING);
});

describe("a changed order_by", () => {
  const others: Step = { do: "others" };
  const publish: Step = { do: "publish", key: "a" };
  const order = (by: OrderBy): Step => ({ do: "order", by });
  const wait = (ms: number, times = 1): Step[] => Array(times).fill({ do: "wait", ms });

  test("that is changed back while an attempt is in flight leaves the app flowing", async () => {
    expect(await outcomeOf([], [others, ...wait(1, 5), publish, order("app"), order("/k"), publish])).toEqual(NOTHING);
  });

  test("that is changed at whichever moment when all has been read is followed", async () => {
    for (let ticks = 0; ticks < 20; ticks++) {
      const world = new World([]);
      world.onQueueRead = async () => {
        world.onQueueRead = () => {};
        for (let n = 0; n < ticks; n++) await Promise.resolve();
        world.orderBy = "app";
        world.owner.app.wake();
      };
      world.storeOfOthers();
      await world.clock.advance(100);
      for (const one of ["a", "b", "c"]) world.publish(one);
      for (let n = 0; n < 10; n++) await world.clock.advance(100);
      expect([ticks, world.wrong, world.delivered.size]).toEqual([ticks, [], 3]);
    }
  });

  test("starts nothing before other replicas have stored what they had in hand", async () => {
    expect(await outcomeOf(["a"], [publish, order("app"), ...wait(1, 10)])).toEqual(NOTHING);
  });

  test("starts nothing before all is read again, though it is changed back during the reading", async () => {
    const fiveMore = (ms: number): Step[] => [...Array<Step>(5).fill(publish), ...wait(ms, 8)];
    // Its second retry stores the first one in the middle of the queue.
    const stored: Step[] = [others, ...wait(1, 5), { do: "fail", key: "a" }, ...fiveMore(400), ...fiveMore(325), { do: "heal", key: "a" }];
    const reading: Step[] = [{ do: "read", ms: 10 }, order("app"), ...wait(5, 15), order("/k"), ...wait(10, 20)];
    expect(await outcomeOf([], [...stored, ...reading])).toEqual(NOTHING);
  });
});

test("an app is given back when what replicas left is done or stored and nothing is in flight, and what they have parked since is let go", async () => {
  const world = new World([]);
  const advance = async (seconds: number): Promise<void> => {
    for (let n = 0; n < seconds; n++) await world.clock.advance(1_000);
  };
  world.storeOfOthers();
  await world.reorder("none");
  world.busyMs = 60_000;
  for (let n = 0; n < 6; n++) world.publish("a");
  const { app, open } = world.owner;
  await advance(9);
  expect([app.giveBack(6), app.isStopped(), [...open.keys()]]).toEqual([false, false, [1, 2]]);
  await advance(60);
  world.publish("a");
  expect([app.giveBack(7), app.isStopped(), [...open.keys()]]).toEqual([false, false, [7]]);
  expect([app.giveBack(6), app.isStopped(), [...open.keys()]]).toEqual([false, true, [7]]);
  await advance(60);
  expect([app.giveBack(6), open.size, world.delivered.size, world.parked.size]).toEqual([true, 0, 2, 4]);
});
