/** Pull consumers against a real server, by the suite that the fake of the unit tests passes as well. */
import { randomUUID } from "node:crypto";
import { connect, type NatsConnection } from "nats";
import { afterAll, beforeAll } from "vitest";
import { createAckBatcher } from "../../src/jetstream/ack-batcher.ts";
import { createConnectionState } from "../../src/jetstream/connection.ts";
import { createConsumerDeletions } from "../../src/jetstream/consumer-deletions.ts";
import { ensureConsumer, fanOutConsumer } from "../../src/jetstream/consumers.ts";
import { ensureTopology } from "../../src/jetstream/streams.ts";
import { createSubjects } from "../../src/jetstream/subjects.ts";
import { systemClock } from "../../src/model/clock.ts";
import { describePullConsumer } from "../support/conformance/pull-consumer.ts";
import { eventually } from "../support/eventually.ts";
import { type Server, startNatsServer } from "../support/servers.ts";
import { silentLogger } from "../support/silent-logger.ts";

let server: Server;
let connection: NatsConnection;

beforeAll(async () => {
  server = await startNatsServer();
  connection = await connect({ servers: server.url });
});
afterAll(async () => {
  await connection.close();
  await server.stop();
});

describePullConsumer(async () => {
  const names = createSubjects(`t-${randomUUID().slice(0, 8)}`);
  const manager = await connection.jetstreamManager();
  await ensureTopology(manager, names, 1);
  const settings = { ...fanOutConsumer(names), ackWaitMs: 2_000 };
  const recover = async (): Promise<void> => {
    await ensureConsumer({ connection, manager }, settings);
  };
  await recover();
  const connectionState = createConnectionState(connection);
  return {
    dependencies: {
      ...{ connection, manager, connectionState, clock: systemClock, logger: silentLogger },
      acks: createAckBatcher(connection, connectionState, systemClock),
      consumerDeletions: createConsumerDeletions(connection, silentLogger),
      giveBacks: { note: () => {}, mayGiveBack: () => true, count: async () => 0 },
      mayPull: () => true,
    },
    options: { settings, recover },
    store: (text) => connection.jetstream().publish(names.fanOut, text),
    deleteConsumer: () => manager.consumers.delete(settings.stream, settings.consumer),
    async until(holds) {
      await eventually(holds);
    },
  };
});
