/** Real servers for the tests; the same launcher as the demo's. */
import type { startNatsServer } from "../../scripts/servers.mjs";

export { freePort, noteChild, startNatsServer, startRedisServer } from "../../scripts/servers.mjs";

export type Server = Awaited<ReturnType<typeof startNatsServer>>;
