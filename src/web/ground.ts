/** Context of every view: the session, its rights, and the live overview. */
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Session } from "../client/api-types.generated.ts";
import type { LiveFeed } from "./live.ts";

export interface Ground {
  readonly session: Session;
  readonly feed: LiveFeed;
  /** The actions that are offered; the API checks each one. */
  readonly can: {
    /** Installations, and every setting. */
    readonly change: boolean;
    /** The settings that belong to the app's developer, and the secret. */
    readonly manage: boolean;
    /** Enable and disable installations. */
    readonly pause: boolean;
    /** Dead letters and deliveries. */
    readonly replay: boolean;
    /** Test events, retries and the circuit of an app. */
    readonly test: boolean;
    /** Data of all apps and organizations. */
    readonly seeAll: boolean;
  };
}

export const GroundContext = createContext<Ground | null>(null);

export function useGround(): Ground {
  const ground = useContext(GroundContext);
  if (ground === null) throw new Error("outside of the page");
  return ground;
}
