/** Ids as people paste them: whole, or a beginning that only one thing has. */
import type { FoundItem } from "../client/api-types.generated.ts";
import { type ApiClient, ApiError } from "../client/create-api-client.ts";
import type { CommandCall, Options } from "./command.ts";
import { CommandFailed } from "./exit-codes.ts";
import { PAGE, take } from "./take.ts";

/** A shorter beginning is in too many ids. */
const SHORTEST = 4;
const WHOLE_UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const PART_OF_UUID = /^[0-9a-f][0-9a-f-]{3,35}$/i;
const WHOLE_DELIVERY = /^dlv_[0-9a-f]{32}$/;
const WHOLE_REPLAY = /^rpl_[0-9a-f]{32}$/;
const MOST_NAMED = 5;

export const isUuid = (text: string): boolean => WHOLE_UUID.test(text);

/** The uuid of an installation; what can't be the beginning of one is left to the service to refuse. @throws CommandFailed */
export async function installationUuid<T extends string | undefined>(api: () => ApiClient, given: T): Promise<T> {
  if (given === undefined || WHOLE_UUID.test(given) || !PART_OF_UUID.test(given)) return given;
  return (await found(api(), "installation", given.toLowerCase())) as T;
}

/** The id of a delivery. @throws CommandFailed */
export async function deliveryId<T extends string | undefined>(api: () => ApiClient, given: T): Promise<T> {
  if (given === undefined || WHOLE_DELIVERY.test(given) || !given.startsWith("dlv_") || given.length < "dlv_".length + SHORTEST)
    return given;
  return (await found(api(), "delivery", given)) as T;
}

/** The id of a replay. @throws CommandFailed */
export async function replayIdOf(api: () => ApiClient, given: string): Promise<string> {
  const text = given.startsWith("rpl_") ? given : `rpl_${given}`;
  if (WHOLE_REPLAY.test(text) || text.length < "rpl_".length + SHORTEST) return given;
  const { rows } = await take(api().items("GET /v1/replays", { query: { limit: PAGE } }));
  return only(
    "replay",
    given,
    rows.map(({ id }) => id).filter((id) => id.startsWith(text)),
  );
}

/** The ids of events that begin so, when `list` knows none with exactly this id. */
export async function withEventId<T extends { readonly rows: readonly unknown[] }>(
  { api, output }: Pick<CommandCall<Options>, "api" | "output">,
  given: string | undefined,
  list: (event: string | undefined) => Promise<T>,
): Promise<T> {
  const listed = await list(given);
  if (given === undefined || given.length < SHORTEST || listed.rows.length > 0) return listed;
  const { ids, notes } = await search(api(), "event", given);
  if (ids.length > 0) return list(only("event", given, ids));
  notes.forEach(output.note);
  return listed;
}

/** Calls with the id, and when there is no such event, with the only one that begins so. */
export async function withFoundEvent<T>(api: () => ApiClient, given: string, call: (event: string) => Promise<T>): Promise<T> {
  try {
    return await call(given);
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "NOT_FOUND" || given.length < SHORTEST) throw error;
    const { ids, notes } = await search(api(), "event", given);
    if (ids.length === 0) throw new CommandFailed([error.message, ...notes].join("\n"));
    return call(only("event", given, ids));
  }
}

async function found(api: ApiClient, kind: FoundItem["kind"], given: string): Promise<string> {
  const { ids, notes } = await search(api, kind, given);
  // All installations are searched.
  return only(kind, given, ids, kind === "installation" ? [] : notes);
}

/** The notes say how far the search went. */
async function search(api: ApiClient, kind: FoundItem["kind"], given: string): Promise<{ ids: string[]; notes: readonly string[] }> {
  const { body } = await api.call("GET /v1/find", { query: { q: given } });
  const ids = body.items.filter((item) => item.kind === kind && item.id.startsWith(given)).map(({ id }) => id);
  return { ids: [...new Set(ids)], notes: body.notes };
}

function only(kind: string, given: string, ids: readonly string[], notes: readonly string[] = []): string {
  const [first, ...others] = ids;
  if (first === undefined) throw new CommandFailed([`no ${kind} ${given}`, ...notes].join("\n"));
  if (others.length === 0) return first;
  const named = ids.slice(0, MOST_NAMED).join(", ");
  throw new CommandFailed(
    `${kind} ${given}: ${ids.length} ids begin so (${named}${ids.length > MOST_NAMED ? ", …" : ""}); give more of it`,
  );
}
