/** What the settings say about the two servers, as the connections want it. */
import type { Config } from "./config/settings.ts";
import type { RedisOptions } from "./storage/redis.ts";
import type { NatsOptions } from "./subscribers/connection.ts";

export function natsOptions(config: Config): NatsOptions {
  return {
    url: config.natsUrl,
    credsFile: config.natsCredsFile,
    tls: given({ ca: config.natsCaFile, cert: config.natsCertFile, key: config.natsKeyFile }),
    startupTimeoutMs: config.startupTimeout,
  };
}

export function redisOptions(config: Config): RedisOptions {
  return {
    url: config.redisUrl,
    tls: given({ ca: config.redisCaFile, cert: config.redisCertFile, key: config.redisKeyFile }),
    startupTimeoutMs: config.startupTimeout,
  };
}

/** Without what is not set. */
function given<K extends string>(values: Readonly<Record<K, string | null>>): Partial<Record<K, string>> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null)) as Partial<Record<K, string>>;
}
