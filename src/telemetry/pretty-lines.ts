/** Log lines for people at a terminal: `10:11:12 info  Posthorn is ready  url=http://127.0.0.1:8080`. */
import { styleText } from "node:util";
import { escapeControls } from "../model/escape-controls.ts";

/** JSON Lines → the same lines for reading. @param hasColours writes ANSI colours */
export function prettyLines(jsonLines: string, hasColours: boolean): string {
  return jsonLines.replace(/[^\n]+/g, (line) => prettyLine(line, hasColours));
}

type Style = Parameters<typeof styleText>[0];

const LEVEL_STYLES: Readonly<Record<string, Style>> = { fatal: "red", error: "red", warn: "yellow", info: "green" };
const LEVEL_WIDTH = 5;
/** Members that are looked up rather than read: they come last. */
const IDS = /_(?:id|uuid)$|^source_/;

function prettyLine(line: string, hasColours: boolean): string {
  const paint = (style: Style, text: string): string => (hasColours ? styleText(style, text, { validateStream: false }) : text);
  const { time, level, message, ...members } = JSON.parse(line) as Record<string, unknown>;
  const [facts, ids] = [false, true].map((isId) => Object.entries(members).filter(([name]) => IDS.test(name) === isId));
  const fields = [...(facts ?? []), ...(ids ?? [])].map(
    ([name, value]) => `${paint("dim", `${escapeControls(name)}=`)}${valueText(value)}`,
  );
  return [
    paint("dim", String(time).slice(11, 19)),
    `${paint(LEVEL_STYLES[String(level)] ?? "dim", String(level).padEnd(LEVEL_WIDTH))} ${escapeControls(String(message))}`,
    ...fields,
  ].join("  ");
}

/** Texts that could be misread, because of a space, a quote or a control character, are written as JSON. */
function valueText(value: unknown): string {
  const isPlain = typeof value === "string" && /^[^\s"=]+$/.test(value);
  return escapeControls(isPlain ? value : JSON.stringify(value));
}
