/**
 * The components of a process start in order and stop in reverse.
 *
 * COMPONENT-1  A component whose start fails is stopped as well: it may have started in part.
 * COMPONENT-2  A stop has one deadline for all components. One that has not stopped 2 s after it is abandoned and named in the result.
 * COMPONENT-3  A component that fails to stop does not keep the others from stopping.
 */
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { resolvesWithin } from "../model/within.ts";

export interface Component {
  readonly name: string;
  /** Absent: it runs as soon as it is created. */
  start?(): unknown;
  /**
   * Also called, once, after a failed start.
   * @param deadline when the stop has to be complete, milliseconds since the epoch
   */
  stop(deadline: number): unknown;
}

export interface Components {
  /** Starts components one after the other, after those of earlier calls. @throws the error of the first one that fails */
  startAll(components: readonly Component[]): Promise<void>;
  /** @returns the names of components that failed or did not stop in time */
  stopAll(deadline: number): Promise<readonly string[]>;
}

/** How long a component may take after the deadline, to abandon its work. */
const GRACE_MS = 2_000;

export function createComponents(clock: Clock, logger: Logger): Components {
  const started: Component[] = [];

  const stop = async ({ name, stop: end }: Component, deadline: number): Promise<boolean> => {
    try {
      const isStopped = await resolvesWithin(clock, Math.max(0, deadline - clock.now()) + GRACE_MS, Promise.resolve(end(deadline)));
      if (!isStopped) logger.warn({ component: name }, "component did not stop in time");
      return isStopped;
    } catch (error) {
      logger.warn({ component: name, error: messageOf(error) }, "component failed to stop");
      return false;
    }
  };

  return {
    async startAll(components) {
      for (const component of components) {
        started.push(component);
        await component.start?.();
      }
    },

    async stopAll(deadline) {
      const failed: string[] = [];
      for (let component = started.pop(); component !== undefined; component = started.pop())
        if (!(await stop(component, deadline))) failed.push(component.name);
      return failed;
    },
  };
}
