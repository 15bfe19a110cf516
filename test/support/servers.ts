/** Real servers for the tests; the same launcher as the demo's. */
import type { startNatsServer } from "../../scripts/servers.mjs";

export { freePort, noteChild, startNatsServer, startRedisServer } from "../../scripts/servers.mjs";

export type Server = Awaited<ReturnType<typeof startNatsServer>>;

/** The variables of deploy/nats/posthorn.conf. They are the server's alone: files of one worker share this process's environment. */
export function natsPasswords(users: readonly string[]): Record<string, string> {
  return Object.fromEntries(users.map((user) => [`${user.toUpperCase()}_NATS_PASSWORD`, `change-me-${user}`]));
}

/** For a program of Posthorn that a test starts: nothing that the shell of the tests sets for one. */
export function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(POSTHORN|OTEL|npm)_/.test(name)));
}
