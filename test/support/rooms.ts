/**
 * The rooms of the house and those that already keep its rules (architecture.test.ts, language.test.ts). A room that is
 * cleaned is added to HOLDING. `ALL_ROOMS=1 npx vitest run test/unit/architecture.test.ts test/unit/language.test.ts` shows
 * what keeps the others from it.
 */

/** Folders of src, `src` for the files directly in it, and the documents. */
export const ROOMS = [
  ...["src", "src/app", "src/model", "src/config", "src/jetstream", "src/subscribers", "src/registry", "src/delivery", "src/status"],
  ...["src/storage", "src/dead-letters", "src/explain", "src/overview", "src/telemetry", "src/api", "src/cli", "src/client", "src/web"],
  "docs",
] as const;

export type Room = (typeof ROOMS)[number];

const HOLDING: readonly Room[] = [
  ...[
    "src",
    "src/api",
    "src/cli",
    "src/client",
    "src/config",
    "src/dead-letters",
    "src/explain",
    "src/overview",
    "src/registry",
    "src/storage",
  ],
  ...["src/jetstream", "src/subscribers", "src/telemetry"],
] as const;

export const CHECKED_ROOMS: readonly Room[] = process.env["ALL_ROOMS"] === "1" ? ROOMS : HOLDING;

export function isChecked(room: string): boolean {
  return (CHECKED_ROOMS as readonly string[]).includes(room);
}
