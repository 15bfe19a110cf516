/** The registry bucket as the status room uses it, on a real nats-server. */
import { connect, type NatsConnection } from "nats";
import { afterAll, beforeAll } from "vitest";
import { CIRCUITS } from "../../src/registry/record-kinds.ts";
import type { RegistryStore } from "../../src/registry/store.ts";
import { storeOf } from "../support/registry-replica.ts";
import { type Server, startNatsServer } from "../support/servers.ts";
import { testStatusRecords } from "../support/status-records-conformance.ts";

let server: Server;
let connection: NatsConnection;
let store: RegistryStore;

beforeAll(async () => {
  server = await startNatsServer();
  connection = await connect({ servers: server.url });
  store = storeOf("conformance", connection);
  await store.start();
});
afterAll(async () => {
  await store.stop();
  await connection.close();
  await server.stop();
});

testStatusRecords(() => ({
  records: store.recordsOf(CIRCUITS),
  damage: (key) => store.putRecord(key, "{"),
  remove: store.deleteRecord,
}));
