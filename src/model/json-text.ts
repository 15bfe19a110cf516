/**
 * Extracts the members of a JSON object as text, so that the publisher's key order and number text reach the receiver: 1.0 stays 1.0
 * and an integer above 2^53 is not rounded.
 *
 * JSON-1  The text is valid JSON: the caller has parsed it. The scan relies on that.
 */
import { kindOfValue } from "./json-object.ts";

const QUOTE = 34;
const COMMA = 44;
const COLON = 58;
const BACKSLASH = 92;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;
const SPACE = 32;

/**
 * The members of an object, each as compact JSON text. The last of equal keys wins, as in JSON.parse.
 * @throws Error when the text is a JSON value of another kind
 */
export function membersOf(json: string): Map<string, string> {
  const members = new Map<string, string>();
  const start = skipSpace(json, 0);
  if (json.charCodeAt(start) !== OPEN_BRACE) throw new Error(`found ${kindOf(json)}, wanted an object`);
  let at = start + 1;
  for (;;) {
    at = skipSpace(json, at);
    if (json.charCodeAt(at) === COMMA) at = skipSpace(json, at + 1);
    if (json.charCodeAt(at) !== QUOTE) return members;
    const keyEnd = endOfString(json, at);
    const key = json.slice(at, keyEnd);
    at = skipSpace(json, skipSpace(json, keyEnd) + 1);
    const value = scanValue(json, at);
    members.set(
      key.includes("\\") ? (JSON.parse(key) as string) : key.slice(1, -1),
      value.hasSpace ? compactJson(json.slice(at, value.end)) : json.slice(at, value.end),
    );
    at = value.end;
  }
}

/** The items of an array, each as compact JSON text. @throws Error when the text is a JSON value of another kind */
export function itemsOf(json: string): string[] {
  const items: string[] = [];
  let at = skipSpace(json, 0);
  if (json.charCodeAt(at) !== OPEN_BRACKET) throw new Error(`found ${kindOf(json)}, wanted an array`);
  at = skipSpace(json, at + 1);
  while (json.charCodeAt(at) !== CLOSE_BRACKET) {
    const { end, hasSpace } = scanValue(json, at);
    items.push(hasSpace ? compactJson(json.slice(at, end)) : json.slice(at, end));
    at = skipSpace(json, end);
    if (json.charCodeAt(at) === COMMA) at = skipSpace(json, at + 1);
  }
  return items;
}

/** Adds a member, given as JSON text, to the text of a JSON object. It replaces an earlier member of the name, as in JSON.parse. */
export function withMember(objectJson: string, name: string, valueJson: string): string {
  const head = objectJson.slice(0, objectJson.lastIndexOf("}"));
  return `${head}${/^\s*\{\s*$/.test(head) ? "" : ","}${JSON.stringify(name)}:${valueJson}}`;
}

/** The kind of a JSON value, for errors. */
export function kindOf(json: string): string {
  return kindOfValue(JSON.parse(json));
}

/** The nesting of objects and arrays, and the number of keys of all objects together. */
export function measureJson(json: string): { readonly depth: number; readonly keys: number } {
  let depth = 0;
  let deepest = 0;
  let keys = 0;
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) at = endOfString(json, at) - 1;
    else if (code === COLON) keys++;
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) deepest = Math.max(deepest, ++depth);
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) depth--;
  }
  return { depth: deepest, keys };
}

function skipSpace(json: string, from: number): number {
  let at = from;
  while (json.charCodeAt(at) <= SPACE) at++;
  return at;
}

/** The index after the closing quote of the string that opens at `from`. */
function endOfString(json: string, from: number): number {
  let at = from;
  for (;;) {
    at = json.indexOf('"', at + 1);
    let escapes = 0;
    while (json.charCodeAt(at - 1 - escapes) === BACKSLASH) escapes++;
    if (escapes % 2 === 0) return at + 1;
  }
}

function scanValue(json: string, from: number): { end: number; hasSpace: boolean } {
  let depth = 0;
  let hasSpace = false;
  let at = from;
  for (;;) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(json, at);
      if (depth === 0) return { end: at, hasSpace };
      continue;
    }
    if (code === OPEN_BRACE || code === OPEN_BRACKET) depth++;
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      // A closing brace at depth 0 belongs to the enclosing object: the value was a bare number or literal.
      if (depth === 0) return { end: at, hasSpace };
      depth--;
      if (depth === 0) return { end: at + 1, hasSpace };
    } else if (depth === 0 && (code === COMMA || code <= SPACE)) return { end: at, hasSpace };
    else if (code <= SPACE) hasSpace = true;
    at++;
  }
}

/** Removes white space outside of strings. */
export function compactJson(json: string): string {
  let result = "";
  let at = 0;
  let kept = 0;
  while (at < json.length) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(json, at);
    } else if (code <= SPACE) {
      result += json.slice(kept, at);
      at = skipSpace(json, at);
      kept = at;
    } else {
      at++;
    }
  }
  return result + json.slice(kept);
}
