/** The time zone of all times on the page: the browser's own or UTC. The choice is remembered. */

const KEY = "posthorn-zone";
const UTC = "UTC";

let isUtc = globalThis.localStorage?.getItem(KEY) === UTC;

export const zone = {
  isUtc: (): boolean => isUtc,
  /** For people: `Europe/Berlin`, `UTC`. */
  name: (): string => (isUtc ? UTC : new Intl.DateTimeFormat().resolvedOptions().timeZone),
  set(toUtc: boolean): void {
    isUtc = toUtc;
    if (toUtc) localStorage.setItem(KEY, UTC);
    else localStorage.removeItem(KEY);
  },
};

/** Formats times in the chosen zone. */
export function inZone(options: Intl.DateTimeFormatOptions): (epochMs: number) => string {
  const local = new Intl.DateTimeFormat("en-GB", options);
  const utc = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: UTC });
  return (epochMs) => (isUtc ? utc : local).format(epochMs);
}

const offset = inZone({ timeZoneName: "shortOffset" });

/** The zone's difference from UTC at that time: `UTC`, `UTC+5:30`. */
export function offsetAt(epochMs: number): string {
  return `${UTC}${/[+-][1-9][\d:]*$/.exec(offset(epochMs))?.[0] ?? ""}`;
}
