/** Readable output for a terminal: colours only on one, columns that line up. */
const hasColours = process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined;

const paint =
  (code: number) =>
  (text: string): string =>
    hasColours ? `\u001b[${code}m${text}\u001b[0m` : text;

export const bold = paint(1);
export const dim = paint(2);
export const red = paint(31);
export const green = paint(32);
export const yellow = paint(33);
export const cyan = paint(36);

export function say(line = ""): void {
  process.stdout.write(`${line}\n`);
}

export function heading(text: string): void {
  say();
  say(bold(text));
}

/** Pads by what is seen: give the plain text, paint afterwards. */
export function cell(text: string, width: number, paintWith: (text: string) => string = (plain) => plain): string {
  const shown = text.length > width ? `${text.slice(0, width - 1)}…` : text;
  return paintWith(shown) + " ".repeat(width - shown.length);
}
