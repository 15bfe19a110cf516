/** Entries of the audit log. */
import { z } from "zod";
import { AT, pageOf, time, UUID } from "./common.ts";

const record = z.looseObject({}).nullable();

export const auditEntry = z
  .strictObject({
    id: z.string(),
    at: time,
    who: z
      .string()
      .meta({ description: "The name of the token; POSTHORN_APPS_FILE; posthorn re-encrypt; or posthorn, for what it does by itself." }),
    action: z
      .string()
      .meta({ description: "The operation, such as updateApp; or breakInstallation, recoverInstallation, reEncryptSecrets." }),
    app: z.string().nullable().meta({ description: "Null: it belongs to no app." }),
    installation_uuid: z.string().nullable(),
    target: z.string().meta({ description: "The path of the call or of what was changed." }),
    before: record.meta({ description: "The members that differ, without secrets. Null: there was no record, or none was changed." }),
    after: record.meta({ description: "The same after the change. Null: there is no record any more, or none was changed." }),
  })
  .meta({
    id: "AuditEntry",
    description: "One change: who made it, and how the record was before and after.",
    example: {
      ...{
        id: UUID,
        at: AT,
        who: "robin",
        action: "updateApp",
        app: "acme-tracker",
        installation_uuid: null,
        target: "/v1/apps/acme-tracker",
      },
      ...{ before: { events: ["issue"] }, after: { events: ["issue", "comment"] } },
    },
  });

export const auditPage = pageOf(auditEntry, "AuditPage", "audit.7");
