/** Text that has to stay in its row. */
import { CONTROLS } from "../model/escape-controls.ts";

const RUN_OF_CONTROLS = new RegExp(`${CONTROLS.source}+`, "gu");

export function oneLine(text: string): string {
  return text.replace(RUN_OF_CONTROLS, " ");
}
