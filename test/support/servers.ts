/** Real servers for the tests of one file, stopped after it. */
import { afterAll } from "vitest";
import { startNatsServer, startRedisServer } from "../../scripts/servers.mjs";

export { freePort, startNatsServer, startRedisServer } from "../../scripts/servers.mjs";

export type Server = Awaited<ReturnType<typeof startNatsServer>>;

/** Call at the top level of a test file, or in its beforeAll. */
export async function useNats(options?: Parameters<typeof startNatsServer>[0]): Promise<Server> {
  const server = await startNatsServer(options);
  afterAll(server.stop);
  return server;
}

export async function useRedis(options?: Parameters<typeof startRedisServer>[0]): Promise<Server> {
  const server = await startRedisServer(options);
  afterAll(server.stop);
  return server;
}
