/** Why NATS can't be used with its settings, from the errors of a connection. */
import { ErrorCode, NatsError } from "nats";
import { messageOf } from "../model/app-error.ts";
import { NATS_NOT_ACCEPTED } from "../model/nats-url.ts";
import { type ServerAddress, tlsRefusal } from "../model/server-refusal.ts";

/** The way in which Posthorn signs in; a token is never shown. */
export type NatsLogin = { readonly kind: "creds" | "token" | "none" } | { readonly kind: "user"; readonly user: string };

/** @returns null for an error that may pass by itself */
export function connectionRefusal(error: unknown, login: NatsLogin, address: ServerAddress): string | null {
  const code = error instanceof NatsError ? error.code : "";
  if (code === ErrorCode.BadCreds)
    return "POSTHORN_NATS_CREDS_FILE: found no credentials in the file, wanted one as nsc writes it, with a user JWT and its seed";
  if (NATS_NOT_ACCEPTED.has(code)) return loginRefusal(login, address.shown, messageOf(error).replaceAll("'", ""));
  return tlsRefusal(messageOf(error), address);
}

function loginRefusal(login: NatsLogin, shown: string, answer: string): string {
  const forms = "nats://<user>:<password>@<host>:<port>, nats://<token>@<host>:<port> or POSTHORN_NATS_CREDS_FILE";
  switch (login.kind) {
    case "creds":
      return `POSTHORN_NATS_CREDS_FILE: ${shown} refused these credentials (${answer}), wanted valid ones of a user of this server`;
    case "token":
      return `POSTHORN_NATS_URL: ${shown} refused the token (${answer}), wanted ${forms}`;
    case "user":
      return `POSTHORN_NATS_URL: ${shown} refused user ${JSON.stringify(login.user)} or its password (${answer}), wanted a user of this server, as ${forms}`;
    case "none":
      return `POSTHORN_NATS_URL: found no user, and ${shown} asks for one (${answer}); wanted ${forms}`;
  }
}

/** The subject that the user may not use, for a message. Null: it is another error. */
export function lackedPermission(error: unknown): string | null {
  const context = error instanceof NatsError ? error.permissionContext : undefined;
  return context === undefined ? null : permissionText(context);
}

export function permissionText({ operation, subject }: { readonly operation: string; readonly subject: string }): string {
  return `its user may not ${operation === "publish" ? "publish to" : "subscribe to"} ${subject}`;
}
