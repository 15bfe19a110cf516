/** The request log of an app, for all organizations and times. */
import type { LogRow } from "../storage/log-row.ts";
import { type Notes, unlessRedisIsDown } from "./notes.ts";
import type { DeliverySources } from "./ports.ts";

/** @param eventType null: all types */
export async function appRows(
  { queryRequestLog }: Pick<DeliverySources, "queryRequestLog">,
  app: string,
  eventType: string | null,
  notes: Notes,
): Promise<LogRow[]> {
  const filter = { app, eventType, errorsOnly: false, organizationId: null, start: null, end: null };
  const { rows } = await unlessRedisIsDown(queryRequestLog(filter), { rows: [], reachesBackTo: null }, notes);
  return rows;
}
