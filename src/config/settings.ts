/**
 * The table of all settings. The Config type, the parser and docs/configuration.md are derived from it; a setting is added to one
 * of its sections and nowhere else.
 */
import type { Setting } from "./setting.ts";
import { CONNECTION_SETTINGS } from "./settings/connections.ts";
import { DELIVERY_SETTINGS } from "./settings/delivery.ts";
import { HEALTH_SETTINGS } from "./settings/health.ts";
import { HTTP_SETTINGS } from "./settings/http.ts";
import { LIMIT_SETTINGS } from "./settings/limits.ts";
import { PROCESS_SETTINGS } from "./settings/process.ts";
import { TARGET_SETTINGS } from "./settings/targets.ts";

export const SETTINGS = {
  ...CONNECTION_SETTINGS,
  ...HTTP_SETTINGS,
  ...DELIVERY_SETTINGS,
  ...TARGET_SETTINGS,
  ...LIMIT_SETTINGS,
  ...HEALTH_SETTINGS,
  ...PROCESS_SETTINGS,
} as const;

export type SettingName = keyof typeof SETTINGS;

type Parsed<S> = S extends Setting<infer T> ? T : never;
type Value<S> = S extends { default: string } ? Parsed<S> : Parsed<S> | null;
type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Lowercase<Head>}${Capitalize<CamelCase<Tail>>}`
  : Lowercase<S>;

/** All settings, parsed. Durations are in milliseconds. A setting that is not set and has no default is null. */
export type Config = {
  readonly [Name in SettingName as CamelCase<Name>]: Value<(typeof SETTINGS)[Name]>;
};
