/**
 * A product under measurement. All of them, Posthorn included, are driven by measure.ts through this interface and nothing else: the same
 * events, the same receiver, the same load.
 */
import type { Program } from "./program.ts";
import type { Site } from "./site.ts";

export interface Peer {
  /** As `--only` has it. */
  readonly name: string;
  /** Where its program comes from; null: it is part of this repository. */
  readonly source: Source | null;
  start(site: Site, program: Program): Promise<Product>;
}

export interface Product {
  /** Subscribes a new endpoint to all events of its group. */
  addEndpoint(group: string, url: string): Promise<void>;
  /** @param data the event, a JSON object. @returns resolves when the product has accepted it, and is rejected when it has not */
  publish(group: string, data: string): Promise<void>;
  /** The product's own processes, without its stores; their children count, too. */
  processes(): readonly number[];
  /** Kills all of its processes with SIGKILL and starts them again on the same stores. */
  crash(): Promise<void>;
  stop(): Promise<void>;
}

/** Where the bench looks for a peer's program, in this order: a path from its option, the PATH, a container where Docker runs. */
export interface Source {
  /** Programs that have to be on the PATH, or in the folder that the option names. */
  readonly commands: readonly string[];
  /** Run in a checkout's folder; puts the commands into `out`. */
  readonly build: (out: string) => readonly string[];
  /** Prints the version. */
  readonly version: readonly string[];
  readonly image: string;
  /** Paths of commands that are not on the image's PATH. */
  readonly imagePaths?: Readonly<Record<string, string>>;
  readonly repository: string;
}
