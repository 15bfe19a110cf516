/** What every view stands on: who looks at it, and the live overview. */
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Session } from "../client/api-types.generated.ts";
import type { LiveFeed } from "./live.ts";

export interface Ground {
  readonly session: Session;
  readonly feed: LiveFeed;
  /** Whether actions are offered; the API checks every one of them. */
  readonly can: {
    /** Enable, disable, settings, secret, resend. */
    readonly change: boolean;
    /** Dead letters. */
    readonly replay: boolean;
    /** Test events. */
    readonly test: boolean;
    /** What is not of one app alone: status events, where a delivery is. */
    readonly seeAll: boolean;
  };
}

export const GroundContext = createContext<Ground | null>(null);

export function useGround(): Ground {
  const ground = useContext(GroundContext);
  if (ground === null) throw new Error("outside of the page");
  return ground;
}
