/** The settings of both servers, as their connections need them. */
import type { Config } from "../config/settings.ts";
import { tlsFiles } from "../config/tls-files.ts";
import type { NatsOptions } from "../jetstream/connection.ts";
import type { RedisOptions } from "../storage/redis.ts";
import { identifyServer } from "./identify-server.ts";

export function natsOptions(config: Config): NatsOptions {
  return {
    url: config.natsUrl,
    credsFile: config.natsCredsFile,
    tls: tlsFiles(config.natsCaFile, config.natsCertFile, config.natsKeyFile),
    startupTimeoutMs: config.startupTimeout,
    identify: identifyServer,
  };
}

export function redisOptions(config: Config): RedisOptions {
  return {
    url: config.redisUrl,
    keyPrefix: config.redisKeyPrefix,
    tls: tlsFiles(config.redisCaFile, config.redisCertFile, config.redisKeyFile),
    startupTimeoutMs: config.startupTimeout,
    identify: identifyServer,
  };
}
