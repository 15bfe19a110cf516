/** Passes the records that the registry bucket's watch brings, besides apps and installations for the index, to the parts they concern. */
import { leaseKind } from "../jetstream/lease-record.ts";
import { APP_HEALTH, CIRCUITS, THROTTLES } from "../registry/record-kinds.ts";
import { failingSinceOf, HEALTH_PREFIX } from "../status/app-health-store.ts";
import { CIRCUIT_PREFIX, circuitState } from "../status/circuit-store.ts";
import { INSTALLATION_PREFIX } from "../status/installation-record.ts";
import { sharedThrottle, THROTTLE_PREFIX } from "../status/throttle-store.ts";
import { ORDER_RECORDS } from "../subscribers/ordered/order-records.ts";
import { OWNER_KEY } from "../subscribers/ordered/queue-owner.ts";
import type { Foundation } from "./foundation.ts";
import type { CircuitParts } from "./wire-circuits.ts";
import type { DeliveryParts } from "./wire-delivery.ts";
import type { RegistryParts } from "./wire-registry.ts";
import type { StatusParts } from "./wire-status.ts";
import type { SubscriberParts } from "./wire-subscribers.ts";
import type { ThrottleParts } from "./wire-throttles.ts";

type Given = Foundation & RegistryParts & StatusParts & CircuitParts & ThrottleParts & DeliveryParts & SubscriberParts;

export function wireRecords(given: Given): void {
  const { registryStore, kinds, outboxRelay, installationStates, circuitOutboxRelay, circuits, parkedQueues, queueOwner, clock } = given;
  const { index, healthOutboxRelay, appHealth, throttleOutboxRelay, throttles, turns } = given;
  registryStore.onRecord(kinds.installations, (key, record) => {
    outboxRelay.update(key, record);
    installationStates.update(key.slice(INSTALLATION_PREFIX.length), record);
  });
  registryStore.onRecord(CIRCUITS, (key, record, revision) => {
    circuitOutboxRelay.update(key, record);
    circuits.apply(key.slice(CIRCUIT_PREFIX.length), record && circuitState(record), revision);
  });
  registryStore.onRecord(APP_HEALTH, (key, record) => {
    healthOutboxRelay.update(key, record);
    appHealth.update(key.slice(HEALTH_PREFIX.length), failingSinceOf(record));
  });
  registryStore.onRecord(THROTTLES, (key, record, revision) => {
    throttleOutboxRelay.update(key, record);
    throttles.apply(key.slice(THROTTLE_PREFIX.length), sharedThrottle(record), revision);
  });
  /** Each app's URL, and the limits that an operator sets: what was learned before they changed says nothing of what the receiver takes now. */
  const known = new Map<string, { readonly url: string; readonly limits: string }>();
  registryStore.onRecord(kinds.apps, (key, record) => {
    const slug = key.slice(kinds.apps.prefix.length);
    const { webhookUrl: url = "", rateLimit = null, maxInFlight = null } = index.app(slug) ?? {};
    const limits = JSON.stringify([rateLimit, maxInFlight]);
    const before = known.get(slug) ?? { url, limits };
    known.set(slug, { url, limits });
    if (url !== before.url) throttles.lift(slug);
    if (url !== before.url || limits !== before.limits) turns.forget(slug);
    turns.wake(slug);
    if (record === null) {
      known.delete(slug);
      circuits.forget(slug);
      throttles.forget(slug);
      turns.forget(slug);
    }
    // The app may have become ordered, or may have more deliveries in flight.
    else parkedQueues.wake("app", slug);
  });
  registryStore.onRecord(ORDER_RECORDS, (key, record, revision) => {
    given.orderRecords.observe(key, record, revision);
    if (record?.state === "taking") given.events.beginPostponed();
  });
  registryStore.onRecord(leaseKind(OWNER_KEY), (_key, value, revision, storedAt) => {
    // The lease is rewritten every few seconds. A record from before the watch began says nothing about the time now.
    if (registryStore.isCurrent()) clock.sample?.(storedAt);
    queueOwner.observe(value, revision);
  });
}
