/** GET /v1/audit: who changed what. */
import { z } from "zod";
import type { ReadAudit } from "../../audit/read-audit.ts";
import { epochMsOf } from "../../model/rfc3339.ts";
import { slugParameter, uuidParameter } from "../../registry/records.ts";
import type { RegistryIndex } from "../../registry/registry-index.ts";
import { answer, type Route, route } from "../http/route.ts";
import { auditPage } from "../schemas/audit.ts";
import { createList } from "../schemas/paging.ts";
import { inOrder, time } from "../schemas/parameters.ts";

const list = createList("audit");

export interface AuditRoutesDependencies {
  readonly readAudit: ReadAudit;
  readonly index: RegistryIndex;
}

export function auditRoutes({ readAudit, index }: AuditRoutesDependencies): Route[] {
  return [
    route({
      operationId: "listAudit",
      method: "GET",
      url: "/v1/audit",
      access: "read",
      forApp: true,
      forOrganization: "read",
      summary: "Lists the changes of the last 400 days, newest first: who made them, and how the record was before and after.",
      query: inOrder(
        z.object({
          app: slugParameter.optional(),
          installation_uuid: uuidParameter.optional(),
          who: z.string().min(1).optional().meta({ description: "Only changes with the token of this name." }),
          action: z.string().min(1).optional().meta({ description: "Only this operation, such as updateApp." }),
          start: time.optional().meta({ description: "Made at this time or later." }),
          end: time.optional().meta({ description: "Made before this time." }),
          ...list.query(),
        }),
      ),
      answers: { 200: answer("a page of the audit log", auditPage) },
      async handle({ query, caller }) {
        const { onlyApp, onlyOrganization } = caller;
        // An earlier app of the slug is another app.
        const since = onlyApp === null ? 0 : (index.app(onlyApp)?.createdAt ?? 0);
        const filter = {
          app: onlyApp ?? query.app ?? null,
          who: query.who ?? null,
          action: query.action ?? null,
          installationUuid: query.installation_uuid ?? null,
          isOfInstallation:
            onlyOrganization === null ? null : (uuid: string) => index.installation(uuid)?.organizationId === onlyOrganization,
          start: query.start ?? null,
          end: query.end ?? null,
        };
        const { items, next } = await readAudit(filter, query.cursor?.at ?? null, query.limit);
        return { status: 200, body: { items: items.filter(({ at }) => epochMsOf(at) >= since), next: list.nextInStream(next) } };
      },
    }),
  ];
}
