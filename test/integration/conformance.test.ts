/** The real adapters do what the fakes of the unit tests do (test/unit/conformance.test.ts). */
import { connect, type NatsConnection } from "nats";
import { afterAll, beforeAll } from "vitest";
import { createDeliveryStreams, type DeliveryStreamWriter } from "../../src/jetstream/delivery-streams.ts";
import { createPipelinedPublish } from "../../src/jetstream/pipelined-publish.ts";
import { messageAt } from "../../src/jetstream/stored-message.ts";
import { ensureTopology } from "../../src/jetstream/streams.ts";
import { createSubjects } from "../../src/jetstream/subjects.ts";
import { systemClock } from "../../src/model/clock.ts";
import { decodeDeliveryMessage } from "../../src/model/delivery-message.ts";
import { CIRCUITS } from "../../src/registry/record-kinds.ts";
import type { RegistryStore } from "../../src/registry/store.ts";
import { connectRedis, type RedisClient } from "../../src/storage/redis.ts";
import { createRequestLog, type RequestLog } from "../../src/storage/request-log.ts";
import { LIFETIMES } from "../support/builders.ts";
import { describeAttemptLog } from "../support/conformance/attempt-log.ts";
import { describeDeliveryStreams } from "../support/conformance/delivery-streams.ts";
import { describeRecords } from "../support/conformance/records.ts";
import { eventually } from "../support/eventually.ts";
import { storeOf } from "../support/registry-replica.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { silentLogger } from "../support/silent-logger.ts";

const names = createSubjects("conform");
const STARTED_AT = Date.now();
/** It stands still: a delivery is stored by the time that is left until it is due. */
const clock = { ...systemClock, now: () => STARTED_AT };

let nats: Server;
let redisServer: Server;
let connection: NatsConnection;
let redis: RedisClient;
let store: RegistryStore;
let streams: DeliveryStreamWriter;
let log: RequestLog;

beforeAll(async () => {
  [nats, redisServer] = await Promise.all([startNatsServer(), startRedisServer()]);
  connection = await connect({ servers: nats.url });
  await ensureTopology(await connection.jetstreamManager(), names, 1);
  store = storeOf(names.prefix, connection);
  await store.start();
  streams = createDeliveryStreams({
    ...{ publish: createPipelinedPublish(connection, clock), names, clock, logger: silentLogger },
    ...{ isUsable: () => true, maxPayloadBytes: () => 1_000_000, onStored() {} },
  });
  redis = await connectRedis({ url: redisServer.url, startupTimeoutMs: 60_000 }, systemClock, silentLogger);
  log = createRequestLog(
    { redis, clock: systemClock, logger: silentLogger },
    { size: 100, listTtlMs: 60_000, ...LIFETIMES, bufferRows: 1_000, recoveredAt: () => 0 },
  );
});
afterAll(async () => {
  await store.stop();
  redis.disconnect();
  await connection.close();
  await Promise.all([nats.stop(), redisServer.stop()]);
});

describeRecords("the registry", () => ({
  records: store.recordsOf(CIRCUITS),
  remove: store.deleteRecord,
  damage: (key) => store.putRecord(key, "{"),
}));

const NAMES = { retries: names.streams.retries, parked: names.streams.parked, "dead-letters": names.streams.deadLetters } as const;
describeDeliveryStreams(
  "JetStream",
  () => ({
    streams,
    async read(stream, sequence) {
      const message = await messageAt(await connection.jetstreamManager(), NAMES[stream], sequence);
      return message && decodeDeliveryMessage(message.string()).delivery;
    },
  }),
  clock.now,
);

describeAttemptLog(
  "Redis",
  () => log,
  () => eventually(() => log.buffered() === 0).then(() => {}),
);
