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
    /** Enable, disable, settings, secret, resend. */
    readonly change: boolean;
    /** Dead letters. */
    readonly replay: boolean;
    /** Test events. */
    readonly test: boolean;
    /** Data of more than one app: status events, delivery states. */
    readonly seeAll: boolean;
  };
}

export const GroundContext = createContext<Ground | null>(null);

export function useGround(): Ground {
  const ground = useContext(GroundContext);
  if (ground === null) throw new Error("outside of the page");
  return ground;
}
