/**
 * What a process is made of: components that start in order and stop in reverse.
 *
 * C1  A component whose start fails is stopped, too: it may have started in part.
 * C2  Stopping has one deadline. A component that does not end soon after it is left behind and named, and those that
 *     follow have that moment, too.
 * C3  A component that fails to stop does not keep the others from stopping.
 */
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { resolvesWithin } from "../model/within.ts";

export interface Component {
  readonly name: string;
  /** Absent: it runs as soon as it is made. */
  start?(): unknown;
  /**
   * Also called after a start that failed, and then once.
   * @param deadline when it has to have ended, milliseconds since the epoch
   */
  stop(deadline: number): unknown;
}

export interface Components {
  /** Starts them one after the other, behind those of earlier calls. @throws what the first one that fails throws */
  startAll(components: readonly Component[]): Promise<void>;
  /** @returns the names of those that failed or did not end in time */
  stopAll(deadline: number): Promise<readonly string[]>;
}

/** How long a component may take beyond the deadline, to end what it gives up then. */
const GRACE_MS = 2_000;

export function createComponents(clock: Clock, logger: Logger): Components {
  const begun: Component[] = [];

  const stop = async ({ name, stop: end }: Component, deadline: number): Promise<boolean> => {
    try {
      const isStopped = await resolvesWithin(clock, Math.max(0, deadline - clock.now()) + GRACE_MS, Promise.resolve(end(deadline)));
      if (!isStopped) logger.warn({ component: name }, "a component did not stop in time");
      return isStopped;
    } catch (error) {
      logger.warn({ component: name, error: messageOf(error) }, "a component failed to stop");
      return false;
    }
  };

  return {
    async startAll(components) {
      for (const component of components) {
        begun.push(component);
        await component.start?.();
      }
    },

    async stopAll(deadline) {
      const failed: string[] = [];
      for (let component = begun.pop(); component !== undefined; component = begun.pop())
        if (!(await stop(component, deadline))) failed.push(component.name);
      return failed;
    },
  };
}
