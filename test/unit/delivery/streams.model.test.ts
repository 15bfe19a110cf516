/**
 * The streams as a state machine: whatever happens in whatever order, every delivery is somewhere, nobody is attempted who
 * must not be, and in the end each has arrived or rests in dead letters.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Admission, createAdmission } from "../../../src/delivery/admission.ts";
import { createAttempt } from "../../../src/delivery/attempt.ts";
import { nextStep } from "../../../src/delivery/delay-tiers.ts";
import { createDeliverEvent } from "../../../src/delivery/deliver-event.ts";
import { createDispatcher, type Dispatcher } from "../../../src/delivery/dispatcher.ts";
import { createEnvelopeBuilder } from "../../../src/delivery/envelope.ts";
import { createGiveUp } from "../../../src/delivery/give-up.ts";
import { createHeaderBuilder } from "../../../src/delivery/headers.ts";
import type { SendResult } from "../../../src/delivery/http/exchange.ts";
import { createInFlight } from "../../../src/delivery/in-flight.ts";
import { createBulkhead } from "../../../src/delivery/limits/bulkhead.ts";
import type { AttemptRecord } from "../../../src/delivery/ports.ts";
import type { InstallationStatus } from "../../../src/model/app.ts";
import { type Delivery, dedupKeyOf, newDelivery } from "../../../src/model/delivery.ts";
import { decodeDeliveryMessage } from "../../../src/model/delivery-message.ts";
import { createTracing } from "../../../src/telemetry/tracing.ts";
import { anApp, anEvent, anInstallation, UUID } from "../../support/builders.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { createStreamsInMemory, type StoredMessage } from "../../support/streams-in-memory.ts";

const tracing = createTracing(null);
const SCHEDULE_MS = [1_000, 3_000, 7_000];
const EVENTS = "EVENTS";

type Mood = "ok" | "fails" | "rejects" | "gone" | "hangs";

const RESULTS: Readonly<Record<Mood, SendResult>> = {
  ok: { kind: "answered", status: 200, headers: {}, body: null, bodySize: 0 },
  fails: { kind: "answered", status: 503, headers: { "retry-after": "5" }, body: null, bodySize: 0 },
  rejects: { kind: "answered", status: 400, headers: {}, body: null, bodySize: 0 },
  gone: { kind: "answered", status: 410, headers: {}, body: null, bodySize: 0 },
  hangs: { kind: "timed_out", error: "no answer" },
};

/** The world around the code under test. What a crash takes is what `restart` makes anew. */
class World {
  readonly clock = createManualClock();
  readonly streams = createStreamsInMemory(this.clock);
  readonly published: string[] = [];
  readonly events = new Map<number, string>();
  readonly delivered = new Map<string, number>();
  readonly attempts = new Map<string, number>();
  readonly marks = new Set<string>();
  unflushed: string[] = [];
  mood: Mood = "ok";
  status: InstallationStatus = "active";
  circuitOpen = false;
  isInstalled = true;
  crashes = 0;
  /** The next attempt reaches the receiver, and its process dies before anything is written of it. */
  diesInAttempt = false;
  readonly wrong: string[] = [];
  dispatcher!: Dispatcher;
  admission!: Admission;

  constructor() {
    this.restart();
  }

  restart(): void {
    this.unflushed = [];
    const installation = () => (this.isInstalled ? anInstallation({ status: this.status }) : undefined);
    const registry = { app: () => anApp(), installation };
    this.admission = createAdmission({
      registry,
      circuitOpen: () => this.circuitOpen,
      queueBusy: ({ installationUuid }) => this.streams.in("PARKED").some(({ queue }) => queue?.installationUuid === installationUuid),
      brokenAction: "park",
    });
    const observer = { attempted() {}, stored() {}, skipped() {}, deadLettered() {} };
    const attempt = createAttempt(
      {
        registry,
        envelope: createEnvelopeBuilder("{}"),
        headers: createHeaderBuilder({ prefix: "Sentry-Hook", userAgent: "Posthorn/test" }),
        sender: {
          send: async ({ headers }) => this.send(String(headers["webhook-id"])),
          destinations: () => 0,
          idleConnections: () => 0,
          close: async () => {},
        },
        tryStart: () => !this.circuitOpen,
        circuitOf: () => (this.circuitOpen ? "open" : "closed"),
        attemptListeners: [(record) => this.recorded(record)],
        tracing,
        clock: this.clock,
        random: () => 0.5,
        newRequestId: () => "0".repeat(32),
      },
      {
        ...{ requestTimeoutMs: 1_000, retryScheduleMs: SCHEDULE_MS, headerPrefix: "Sentry-Hook" },
        rejectedRetryScheduleMs: SCHEDULE_MS,
        ...{ maxThrottleMs: 3_600_000, maxParkedAgeMs: 7 * 86_400_000 },
      },
    );
    this.dispatcher = createDispatcher({
      admission: this.admission,
      bulkhead: createBulkhead(this.clock, { maxInFlight: 10, maxPerDestination: 100, maxWaitMs: 100 }),
      destinationOf: () => "destination",
      attempt,
      streams: this.streams,
      skipDelivered: this.skipDelivered,
      observer,
      tracing,
      turns: { takeWithin: () => "granted", limitOf: () => Number.POSITIVE_INFINITY },
      directLimit: () => 10,
      onParked() {},
      giveUp: createGiveUp({
        deadLetters: { deadLetter: this.streams.deadLetter, deadLetterRaw: () => Promise.reject(new Error("no message here is poison")) },
        observer,
        tracing,
        publish: async () => {},
        recordLocation() {},
      }),
    });
  }

  isMarked = (mark: string): boolean => this.marks.has(mark) || this.unflushed.includes(mark);

  skipDelivered = async (delivery: Delivery): Promise<boolean> => this.isMarked(dedupKeyOf(delivery));

  recorded({ outcome, delivery }: AttemptRecord): void {
    if (outcome === "delivered") this.unflushed.push(dedupKeyOf(delivery));
  }

  send(deliveryId: string): SendResult {
    if (this.status !== "active") this.wrong.push(`attempted while ${this.status}`);
    if (this.circuitOpen) this.wrong.push("attempted while the circuit was open");
    if (!this.isInstalled) this.wrong.push("attempted while uninstalled");
    if (this.marks.has(deliveryId)) this.wrong.push("attempted although it is marked as delivered");
    this.attempts.set(deliveryId, (this.attempts.get(deliveryId) ?? 0) + 1);
    if (this.mood === "ok") this.delivered.set(deliveryId, (this.delivered.get(deliveryId) ?? 0) + 1);
    if (this.diesInAttempt) throw new Crash();
    return RESULTS[this.mood];
  }

  /** Runs work as a stream's subscriber does: what dies leaves its message where it was. */
  async settle(work: () => Promise<unknown>, acknowledge: () => void): Promise<void> {
    try {
      await work();
      acknowledge();
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
      this.crash();
    }
  }

  crash(): void {
    this.crashes++;
    this.diesInAttempt = false;
    this.restart();
  }

  publish(): void {
    const sequence = this.published.length + 1;
    const event = anEvent({ id: `e-${sequence}` });
    this.published.push(newDelivery(event, "acme", UUID, sequence).id);
    this.events.set(sequence, event.id);
  }

  async handleEvents(): Promise<void> {
    for (const [sequence, id] of [...this.events]) {
      const delivery = newDelivery(anEvent({ id }), "acme", UUID, sequence);
      const deliverEvent = createDeliverEvent({
        dispatcher: this.dispatcher,
        inFlight: createInFlight(),
        skipDelivered: this.skipDelivered,
      });
      const crashes = this.crashes;
      await this.settle(
        () => deliverEvent([delivery], trace, { stream: EVENTS, sequence }, crashes > 0),
        () => this.events.delete(sequence),
      );
      if (this.crashes !== crashes) return;
    }
  }

  async handleRetries(): Promise<void> {
    for (const message of this.streams.in("RETRIES")) {
      if (message.storedAt + message.tierS * 1000 > this.clock.now()) continue;
      const { delivery, dueAt, delayMs, notBefore } = decodeDeliveryMessage(message.text);
      const delay = { dueAt: dueAt ?? 0, delayMs, notBefore };
      const step = nextStep(delay, this.clock.now());
      if (step.kind === "wait") continue;
      if (notBefore && step.kind === "attempt" && this.clock.now() < delay.dueAt) this.wrong.push("a Retry-After was cut short");
      const source = { stream: "RETRIES", sequence: message.sequence };
      const crashes = this.crashes;
      await this.settle(
        async () => {
          if (step.kind === "step-down") await this.streams.retry(delivery, delay, source);
          else if (!this.isMarked(dedupKeyOf(delivery))) await this.dispatcher.dispatch(delivery, trace, source);
        },
        () => this.streams.messages.delete(message),
      );
      if (this.crashes !== crashes) return;
    }
  }

  /** One pass over the parked stream: the head of each queue goes where its admission lets it. */
  async drain(): Promise<void> {
    for (const message of this.streams.in("PARKED")) {
      const delivery = this.streams.delivery(message);
      const decision = this.admission.parked(delivery, message.queue ?? { app: "acme", installationUuid: null });
      const isStaying = decision.kind === "park" && decision.queue.installationUuid === message.queue?.installationUuid;
      if (isStaying || (decision.kind === "open" && this.circuitOpen)) continue;
      const source = { stream: "PARKED", sequence: message.sequence };
      const crashes = this.crashes;
      await this.settle(
        async () => {
          if (this.isMarked(dedupKeyOf(delivery))) return;
          if (decision.kind === "park") return this.dispatcher.park(delivery, decision.queue, decision.why, source, trace);
          // Its queue is busy with this very message: it passes as the drain's, not as a fresh one.
          this.streams.messages.delete(message);
          const direct = this.admission.direct(delivery);
          this.streams.messages.add(message);
          if (direct.kind === "park" && direct.why !== "queue")
            return this.dispatcher.park(delivery, direct.queue, direct.why, source, trace);
          await this.attemptParked(message);
        },
        () => this.streams.messages.delete(message),
      );
      if (this.crashes !== crashes) return;
    }
  }

  async attemptParked(message: StoredMessage): Promise<void> {
    const others = this.streams.in("PARKED");
    for (const other of others) this.streams.messages.delete(other);
    try {
      await this.dispatcher.dispatch(this.streams.delivery(message), trace, { stream: "PARKED", sequence: message.sequence });
    } finally {
      for (const other of others) this.streams.messages.add(other);
    }
  }

  flush(): void {
    for (const mark of this.unflushed) this.marks.add(mark);
    this.unflushed = [];
  }

  /** Where a delivery is. */
  places(id: string): string[] {
    const places: string[] = [];
    for (const [sequence, eventId] of this.events) {
      if (newDelivery(anEvent({ id: eventId }), "acme", UUID, sequence).id === id) places.push(EVENTS);
    }
    for (const message of this.streams.messages) if (this.streams.delivery(message).id === id) places.push(message.stream);
    if (this.delivered.has(id)) places.push("delivered");
    return places;
  }

  check(): void {
    expect(this.wrong).toEqual([]);
    for (const id of this.published) expect(this.places(id), `delivery ${id}`).not.toEqual([]);
    if (this.crashes === 0) {
      for (const [id, times] of this.delivered) expect(times, `delivery ${id} arrived`).toBe(1);
      for (const [id, times] of this.attempts) expect(times, `attempts of ${id}`).toBeLessThanOrEqual(SCHEDULE_MS.length + 1);
    }
  }
}

class Crash extends Error {}

const trace = {
  traceId: "1".repeat(32),
  spanId: "1".repeat(16),
  traceparent: `00-${"1".repeat(32)}-${"1".repeat(16)}-00`,
  tracestate: null,
};

type Step = (world: World) => Promise<void> | void;

const steps: fc.Arbitrary<[string, Step]> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<[string, Step]>(["publish", (world) => world.publish()]) },
  { weight: 4, arbitrary: fc.constant<[string, Step]>(["events", (world) => world.handleEvents()]) },
  { weight: 3, arbitrary: fc.constant<[string, Step]>(["retries", (world) => world.handleRetries()]) },
  { weight: 3, arbitrary: fc.constant<[string, Step]>(["drain", (world) => world.drain()]) },
  { weight: 2, arbitrary: fc.constant<[string, Step]>(["flush", (world) => world.flush()]) },
  {
    weight: 3,
    arbitrary: fc.integer({ min: 1, max: 9_000 }).map<[string, Step]>((ms) => [`advance ${ms}`, (world) => world.clock.advance(ms)]),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom<Mood>("ok", "fails", "rejects", "gone", "hangs").map<[string, Step]>((mood) => [
      mood,
      (world) => {
        world.mood = mood;
      },
    ]),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom<InstallationStatus>("active", "broken", "disabled").map<[string, Step]>((status) => [
      status,
      (world) => {
        world.status = status;
      },
    ]),
  },
  {
    weight: 2,
    arbitrary: fc.boolean().map<[string, Step]>((open) => [
      `circuit ${open ? "opens" : "closes"}`,
      (world) => {
        world.circuitOpen = open;
      },
    ]),
  },
  { weight: 1, arbitrary: fc.constant<[string, Step]>(["crash", (world) => world.crash()]) },
  {
    weight: 1,
    arbitrary: fc.constant<[string, Step]>([
      "the next attempt kills",
      (world) => {
        world.diesInAttempt = true;
      },
    ]),
  },
  {
    weight: 1,
    arbitrary: fc.constant<[string, Step]>([
      "uninstalled",
      (world) => {
        world.isInstalled = false;
      },
    ]),
  },
);

test("no delivery gets lost between the streams, and none is attempted that must wait", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { minLength: 5, maxLength: 60 }), async (sequence) => {
      const world = new World();
      for (const [, step] of sequence) {
        await step(world);
        world.check();
      }
      // All is well again: everything comes to rest.
      Object.assign(world, { mood: "ok", status: "active", circuitOpen: false, diesInAttempt: false });
      for (let round = 0; round < 12; round++) {
        await world.handleEvents();
        await world.handleRetries();
        await world.drain();
        world.flush();
        await world.clock.advance(5_000);
        world.check();
      }
      for (const id of world.published) {
        expect(["delivered", "DEAD_LETTERS"], `delivery ${id} rests in ${world.places(id).join(", ")}`).toEqual(
          expect.arrayContaining([...new Set(world.places(id))]),
        );
      }
    }),
    { numRuns: 300 },
  );
});
