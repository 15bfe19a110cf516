/** Why Redis can't be used with its settings: from the errors of a connection, and from what the connected server says of itself. */
import type { Redis } from "ioredis";
import { messageOf } from "../model/app-error.ts";
import { type ServerAddress, tlsRefusal } from "../model/server-refusal.ts";
import { createPermissionCheck } from "./redis-permissions.ts";

const OLDEST = [6, 2] as const;

/** `refused`: only a changed setting helps. `unsuited`: the server may be another one later. `unreached`: it doesn't answer. */
export type RedisProblemFound = { readonly kind: "refused" | "unsuited" | "unreached"; readonly problem: string };

/** @param username of the URL; empty: none. @returns null for an error that may pass by itself */
export function connectionRefusal(message: string, username: string, address: ServerAddress): string | null {
  const { shown } = address;
  const form = "redis://<user>:<password>@<host>:<port>";
  if (/^NOAUTH|without any password/.test(message))
    return `POSTHORN_REDIS_URL: found no password, and ${shown} asks for one; wanted ${form}`;
  if (/^WRONGPASS|invalid password/.test(message))
    return `POSTHORN_REDIS_URL: ${shown} refused ${username === "" ? "the password" : `user ${JSON.stringify(username)} or its password`}, wanted a user and password of this server, as ${form}`;
  if (message.includes("cluster support disabled"))
    return `POSTHORN_REDIS_URL: found several URLs, and ${shown.split(",")[0]} is no node of a cluster; wanted the URL of one server, or nodes of a cluster`;
  return tlsRefusal(message, address);
}

/** @param redis one server, connected. @returns null: it can be used */
export async function serverProblem(redis: Redis, username: string, shown: string): Promise<RedisProblemFound | null> {
  const refused = (problem: string): RedisProblemFound => ({ kind: "refused", problem: `POSTHORN_REDIS_URL: ${problem}` });
  // A user without the right to INFO, and a proxy, refuse it.
  const info = await redis.info().catch(() => "");
  const memberOf = (name: string): string => new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1] ?? "";
  if (memberOf("redis_mode") === "sentinel") return refused(`found a Sentinel at ${shown}, wanted the address of the primary`);
  const version = memberOf("redis_version");
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (version !== "" && (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])))
    return refused(`found Redis ${version} at ${shown}, wanted ${OLDEST.join(".")} or newer`);
  const { db = 0 } = redis.options;
  if (memberOf("redis_mode") === "cluster")
    return db === 0 ? null : refused(`found database ${db}, and ${shown} is a node of a cluster, which has only database 0; wanted none`);
  if (db !== 0) {
    // The client itself continues with database 0.
    const answer = await redis.select(db).catch(messageOf);
    if (answer !== "OK") return refused(`database ${db} of ${shown} can't be selected (${answer}), wanted one that the server has`);
  }
  if (memberOf("role") === "slave")
    return { kind: "unsuited", problem: `found a replica at ${shown}, which refuses writes; wanted the primary` };
  const lacking = await createPermissionCheck(redis)();
  if (lacking === null) return null;
  return refused(
    `${username === "" ? "the default user" : `user ${JSON.stringify(username)}`} at ${shown} ${lacking}; wanted the ACL rule of docs/security.md`,
  );
}
