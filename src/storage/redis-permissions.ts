/**
 * The commands that Posthorn needs, and which of them its user may not run. One script runs them all on the key of a probe: a script's
 * commands are checked against the rights of its user, and a refused one shows nowhere else until something needs it.
 */
import type { Cluster, Redis } from "ioredis";
import { messageOf } from "../model/app-error.ts";
import { keys } from "./keys.ts";

/** They change nothing: the key holds a text for a moment, and most of them are for other types. */
const COMMANDS = [
  "SET k 1 PX 1000",
  ...["GET k", "MGET k", "INCRBY k 1", "HGET k f", "HSET k f 1", "HMGET k f", "HGETALL k", "HLEN k", "HINCRBY k f 1", "HDEL k f"],
  ...["LPUSH k 1", "LTRIM k 0 0", "LRANGE k 0 0", "ZADD k 1 m", "ZRANGE k 0 0", "ZREVRANGE k 0 0", "ZREMRANGEBYRANK k 0 0"],
  ...["EXPIRE k 1", "PEXPIRE k 1000", "DEL k", "TIME"],
];

const SCRIPT = `
local refused = {}
for command in string.gmatch('${COMMANDS.join(";")}', '[^;]+') do
  local words = {}
  for word in string.gmatch(command, '%S+') do words[#words + 1] = word == 'k' and KEYS[1] or word end
  local answer = redis.pcall(unpack(words))
  local err = type(answer) == 'table' and answer.err
  if err and (string.find(err, 'NOPERM') or string.find(err, 'ACL failure') or string.find(err, "The user executing the script can't")) then
    refused[#refused + 1] = string.lower(words[1])
  end
end
return refused
`;

const KEY = 9;

/** @returns `may not run hset, time`; null: the user may run all, or nothing can be said now */
export function createPermissionCheck(redis: Redis | Cluster): () => Promise<string | null> {
  redis.defineCommand("permissionCheck", { numberOfKeys: 1, lua: SCRIPT });
  const { permissionCheck } = redis as unknown as { permissionCheck(key: string): Promise<string[]> };
  return async () => {
    try {
      const refused = await permissionCheck.call(redis, keys.probe(KEY));
      return refused.length === 0 ? null : `may not run ${refused.join(", ")}`;
    } catch (error) {
      const [, command] = /^NOPERM .*'(\S+?)(?:\|\S+)?' command/.exec(messageOf(error)) ?? [];
      if (command !== undefined) return `may not run ${command}`;
      return /^NOPERM.*keys?/.test(messageOf(error)) ? `may not use keys that begin with ${redis.options.keyPrefix}` : null;
    }
  };
}
