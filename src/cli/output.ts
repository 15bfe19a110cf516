/**
 * Output of a command. Results go to standard output: tables for people, one JSON object a line with --json. Notes and
 * progress go to standard error, so that a pipe gets results only.
 *
 * Receivers, publishers and app owners wrote much of the text. `render`, which every text passes, keeps their control
 * characters from reaching a terminal.
 */
import { randomUUID } from "node:crypto";
import { styleText } from "node:util";
import { CONTROLS, escapeControls } from "../model/escape-controls.ts";
import { replaceTimes } from "../model/rfc3339.ts";
import { oneLine } from "./one-line.ts";
import { type Column, GAP, layOut, type Style } from "./table.ts";
import { timeIn, type Zone } from "./zone.ts";

export interface OutputStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface Output {
  readonly json: boolean;
  /** One result: the object as a line with --json, else what `human` prints. */
  result(object: unknown, human: () => void): void;
  /** Rows under titles; every row a line of JSON with --json. */
  table<T>(columns: ReadonlyArray<Column<T>>, rows: readonly T[], none: string): void;
  /** Names and values, one pair a line. */
  facts(pairs: ReadonlyArray<readonly [name: string, value: string | null | undefined]>): void;
  line(text: string): void;
  /** Text for people, on standard error. */
  note(text: string): void;
  /** The reason for a failure, on standard error. */
  problem(text: string): void;
  paint(style: Style | undefined, text: string): string;
  /** RFC 3339, in the zone of the reader. Null stays null. */
  time<T extends string | null | undefined>(rfc3339: T): T;
  /** A text of the service, on one line, with its times in the zone of the reader. */
  text(text: string): string;
  /** A progress bar on a terminal, nothing elsewhere. */
  progress(label: string): Progress;
}

export interface Progress {
  at(done: number, total: number): void;
  end(): void;
}

export interface OutputOptions {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly json: boolean;
  readonly zone: Zone;
}

const BAR_CELLS = 30;

export function createOutput({ stdout, stderr, environment, json, zone }: OutputOptions): Output {
  const hasColours = (stream: OutputStream): boolean => stream.isTTY === true && !environment["NO_COLOR"] && environment["TERM"] !== "dumb";
  const paint = (style: Style | undefined, text: string): string => (style === undefined ? text : `${PAINT}${style} ${text}${PAINT}`);
  const render = (stream: OutputStream, text: string): string =>
    text
      .split(PAINT)
      .map((part, at) => {
        if (at % 2 === 0) return neutralized(part);
        const space = part.indexOf(" ");
        const plain = neutralized(part.slice(space + 1));
        return hasColours(stream) ? styleText(part.slice(0, space) as Style, plain, { validateStream: false }) : plain;
      })
      .join("");
  const line = (text: string): void => void stdout.write(`${render(stdout, text)}\n`);
  const jsonLine = (object: unknown): void => void stdout.write(`${escapeControls(JSON.stringify(object))}\n`);

  return {
    json,
    line,
    paint,
    time: <T extends string | null | undefined>(rfc3339: T): T => (rfc3339 == null ? rfc3339 : (timeIn(zone, rfc3339) as T)),
    text: (text) => oneLine(replaceTimes(text, (at) => timeIn(zone, at))),
    note: (text) => void stderr.write(`${render(stderr, paint("dim", text))}\n`),
    problem: (text) => void stderr.write(`${render(stderr, text)}\n`),

    result(object, human) {
      if (json) jsonLine(object);
      else human();
    },

    table(columns, rows, none) {
      if (json) return rows.forEach(jsonLine);
      if (rows.length === 0) return line(none);
      // Only a terminal has a width; a pipe gets everything whole.
      const { titles, rows: laidOut } = layOut(columns, rows, { room: stdout.isTTY === true ? (stdout.columns ?? 80) : null, zone });
      line(
        titles
          .map((title) => paint("dim", title))
          .join(GAP)
          .trimEnd(),
      );
      for (const { cells, below } of laidOut) {
        line(
          cells
            .map(({ text, style }) => paint(style, text))
            .join(GAP)
            .trimEnd(),
        );
        if (below !== null) line(`${GAP}${below}`);
      }
    },

    facts(pairs) {
      const known = pairs.filter((pair): pair is readonly [string, string] => pair[1] !== null && pair[1] !== undefined);
      const width = Math.max(0, ...known.map(([name]) => name.length));
      for (const [name, text] of known) line(`${paint("dim", oneLine(name).padEnd(width))}${GAP}${oneLine(text)}`);
    },

    progress(label) {
      if (stderr.isTTY !== true) return { at: () => {}, end: () => {} };
      let isShown = false;
      return {
        at(done, total) {
          isShown = true;
          const share = total === 0 ? 1 : Math.min(1, done / total);
          const full = Math.round(share * BAR_CELLS);
          stderr.write(`\r${label} ${"█".repeat(full)}${"░".repeat(BAR_CELLS - full)} ${done}/${total}`);
        },
        end() {
          if (isShown) stderr.write("\n");
        },
      };
    },
  };
}

/** Encloses painted text. It is random, so that no text from outside the process can contain it. */
const PAINT = randomUUID();

const CONTROLS_IN_LINES = new RegExp(`(?![\\n\\t])${CONTROLS.source}`, "gu");

function neutralized(text: string): string {
  return text.replace(CONTROLS_IN_LINES, " ");
}
