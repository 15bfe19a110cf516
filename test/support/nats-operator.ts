/** A NATS operator with one account (and the one of the system) and one user, as `nsc` makes them: JWTs signed with nkeys, and a credentials file. */
import { randomUUID } from "node:crypto";
import { nkeys } from "nats";

type KeyPair = ReturnType<typeof nkeys.createUser>;

export interface Operator {
  /** Lines for the server's configuration. */
  readonly config: string;
  /** What a credentials file of the user holds. */
  readonly creds: string;
}

const NO_LIMIT = -1;

export function makeOperator(): Operator {
  const [operator, account, user] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createUser()];
  const system = nkeys.createAccount();
  const unlimited = Object.fromEntries(
    ["subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams", "consumer"].map((name) => [
      name,
      NO_LIMIT,
    ]),
  );
  const operatorJwt = sign(operator, operator, { type: "operator", version: 2 });
  const accountJwt = sign(operator, account, { type: "account", version: 2, limits: { ...unlimited, wildcards: true } });
  const systemJwt = sign(operator, system, { type: "account", version: 2, limits: { ...unlimited, disk_storage: 0, mem_storage: 0 } });
  const userJwt = sign(account, user, { type: "user", version: 2, subs: NO_LIMIT, data: NO_LIMIT, payload: NO_LIMIT });
  const seed = Buffer.from(user.getSeed()).toString();
  return {
    config: [
      `operator: ${operatorJwt}`,
      `system_account: ${system.getPublicKey()}`,
      "resolver: MEMORY",
      `resolver_preload: { ${account.getPublicKey()}: ${accountJwt}, ${system.getPublicKey()}: ${systemJwt} }`,
    ].join("\n"),
    creds:
      `-----BEGIN NATS USER JWT-----\n${userJwt}\n------END NATS USER JWT------\n\n` +
      `-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`,
  };
}

function sign(issuer: KeyPair, subject: KeyPair, claims: object): string {
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString("base64url");
  const payload = {
    ...{ jti: randomUUID(), iat: Math.floor(Date.now() / 1000), name: "test" },
    ...{ iss: issuer.getPublicKey(), sub: subject.getPublicKey(), nats: claims },
  };
  const signed = `${encode({ typ: "JWT", alg: "ed25519-nkey" })}.${encode(payload)}`;
  return `${signed}.${Buffer.from(issuer.sign(Buffer.from(signed))).toString("base64url")}`;
}
