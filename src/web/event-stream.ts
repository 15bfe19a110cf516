/** Reads server-sent events from pieces of text (HTML Living Standard, 9.2.6), as far as Posthorn sends them. */

export interface ServerSentEvent {
  readonly event: string;
  readonly data: string;
}

/** @returns takes the next piece; a comment calls nothing. */
export function createEventReader(onEvent: (event: ServerSentEvent) => void): (piece: string) => void {
  let rest = "";
  return (piece) => {
    const blocks = (rest + piece).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      let event = "message";
      const data: string[] = [];
      for (const line of block.split("\n")) {
        const value = line.slice(line.indexOf(":") + 1).replace(/^ /, "");
        if (line.startsWith("event:")) event = value;
        else if (line.startsWith("data:")) data.push(value);
      }
      if (data.length > 0) onEvent({ event, data: data.join("\n") });
    }
  };
}
