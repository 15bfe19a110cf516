/** Lists every setting in force with its source, and with secrets masked, for people to read. */
import { CLIENT_SETTINGS } from "./client-settings.ts";
import type { Environment } from "./load-config.ts";
import type { Setting } from "./setting.ts";
import { SETTINGS } from "./settings.ts";

export interface EffectiveSetting {
  readonly variable: string;
  readonly group: string;
  /** Null if not set and without a default. Secrets are masked. */
  readonly value: string | null;
  readonly source: "default" | "environment" | "file";
  readonly about: string;
}

const MASK = "********";

export function effectiveSettings(environment: Environment): EffectiveSetting[] {
  const all = Object.entries({ ...SETTINGS, ...CLIENT_SETTINGS } as Readonly<Record<string, Setting<unknown>>>);
  return all.map(([name, { group, about, secret = false, default: byDefault }]) => {
    const variable = `POSTHORN_${name}`;
    const direct = environment[variable];
    const isFile = secret && direct === undefined && environment[`${variable}_FILE`] !== undefined;
    const source = isFile ? "file" : direct === undefined ? "default" : "environment";
    const text = isFile ? MASK : (direct ?? byDefault ?? null);
    return { variable, group, value: secret && text !== null ? masked(text) : text, source, about };
  });
}

/** Keeps the host and path of a URL, which are not secret and help to find mistakes. */
function masked(text: string): string {
  if (text === "" || text === MASK) return text;
  const parts = text.split(",").map((part) => (URL.canParse(part.trim()) ? new URL(part.trim()) : null));
  if (parts.some((url) => url === null || url.host === "")) return MASK;
  return parts
    .filter((url) => url !== null)
    .map(({ protocol, host, pathname, username, password, search }) => {
      const user = username === "" && password === "" ? "" : `${MASK}@`;
      return `${protocol}//${user}${host}${pathname}${search === "" ? "" : `?${MASK}`}`;
    })
    .join(",");
}
