/** JSON text as a member of a value, written as it is: number text and the order of keys stay the publisher's. */
import { randomUUID } from "node:crypto";

export class RawJson {
  readonly text: string;

  /** @param text valid JSON */
  constructor(text: string) {
    this.text = text;
  }
}

/** Random, so that no text from outside the process can contain it. */
const MARK = randomUUID();
const MARKS = new RegExp(`"${MARK}(\\d+)"`, "g");

export function stringifyWithRaw(value: unknown): string {
  const texts: string[] = [];
  const json = JSON.stringify(value, (_name, member: unknown) =>
    member instanceof RawJson ? `${MARK}${texts.push(member.text) - 1}` : member,
  );
  return texts.length === 0 ? json : json.replace(MARKS, (_mark, at: string) => texts[Number(at)] ?? "null");
}
