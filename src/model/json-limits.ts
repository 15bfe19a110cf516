/** Limits of JSON that comes from outside. */
import { measureJson } from "./json-text.ts";

export interface JsonLimits {
  /** Nesting of objects and arrays. */
  readonly maxDepth: number;
  /** Keys of all objects together. */
  readonly maxKeys: number;
}

/** The shortest member of an object: `"":0,`. */
const SHORTEST_KEY = 5;

/** Whether the text has at most `maxDepth` opening brackets, those within strings included. */
function isFlat(json: string, maxDepth: number): boolean {
  let left = maxDepth;
  for (const bracket of ["{", "["]) {
    for (let at = json.indexOf(bracket); at !== -1; at = json.indexOf(bracket, at + 1)) if (--left < 0) return false;
  }
  return true;
}

/** Why this (valid) JSON exceeds the limits, or null. */
export function jsonExceeds(json: string, { maxDepth, maxKeys }: JsonLimits): string | null {
  // Most events are too short and too flat to exceed a limit, which costs less to see than to measure.
  if (json.length < SHORTEST_KEY * maxKeys && isFlat(json, maxDepth)) return null;
  const { depth, keys } = measureJson(json);
  if (depth > maxDepth) return `found objects and arrays ${depth} deep, wanted at most ${maxDepth}`;
  if (keys > maxKeys) return `found ${keys} keys, wanted at most ${maxKeys}`;
  return null;
}
