/**
 * The rooms of the house. All but PENDING keep its rules (architecture.test.ts, language.test.ts);
 * `ALL_ROOMS=1 npx vitest run test/unit/architecture.test.ts test/unit/language.test.ts` shows what the pending ones lack.
 */

/** Folders of src, `src` for the files directly in it, and the documents. */
export const ROOMS = [
  ...["src", "src/app", "src/model", "src/config", "src/jetstream", "src/subscribers", "src/registry", "src/delivery", "src/status"],
  ...["src/storage", "src/dead-letters", "src/replays", "src/explain", "src/overview", "src/audit", "src/telemetry"],
  ...["src/api", "src/cli", "src/client", "src/conformance", "src/web", "docs"],
] as const;

export type Room = (typeof ROOMS)[number];

/** Rooms that don't keep all rules yet. */
const PENDING: readonly Room[] = [];

export const CHECKED_ROOMS: readonly Room[] = process.env["ALL_ROOMS"] === "1" ? ROOMS : ROOMS.filter((room) => !PENDING.includes(room));

export function isChecked(room: string): boolean {
  return (CHECKED_ROOMS as readonly string[]).includes(room);
}
