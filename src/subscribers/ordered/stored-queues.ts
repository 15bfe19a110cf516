/** Reads the queues of one ordered app into the index of its owner. */
import type { ParkedQueue } from "../../delivery/ports.ts";
import { messageOf } from "../../model/app-error.ts";
import { STOPS } from "../../model/key-stop.ts";
import type { OrderIndex } from "./order-index.ts";
import type { OrderedPorts } from "./ordered-ports.ts";

export type StoredQueues = ReturnType<typeof createStoredQueues>;

export interface StoredQueuesDependencies extends Pick<OrderedPorts, "backlog" | "isFlowing" | "fence" | "logger"> {
  readonly app: string;
  readonly index: OrderIndex;
  readonly isActive: () => boolean;
  readonly onRead: () => void;
}

export function createStoredQueues(dependencies: StoredQueuesDependencies) {
  const { app, backlog, index, isFlowing, isActive, fence, onRead, logger } = dependencies;
  const unread = new Set<string>();
  const reading = new Set<string>();
  /** Installation → deliveries that are on their way to its queue. */
  const moving = new Map<string, number>();
  /** The app's own queue and its stops, up to where they are read. */
  const readTo = new Map<string | null, number>();
  /** @returns up to where it is read */
  const read = async (queue: ParkedQueue, after: number): Promise<number> => {
    let at = after;
    for await (const parked of backlog.read(queue, { from: after + 1 })) {
      if (!isActive()) break;
      at = Math.max(at, parked.source.sequence);
      if (fence.isLate(parked)) await backlog.remove(parked);
      else index.found(parked, queue.installationUuid);
    }
    return at;
  };

  const readOn = async (installationUuid: null | typeof STOPS): Promise<void> => {
    readTo.set(installationUuid, await read({ app, installationUuid }, readTo.get(installationUuid) ?? 0));
  };

  const readInstallation = async (installationUuid: string): Promise<void> => {
    if (reading.has(installationUuid) || moving.has(installationUuid)) return;
    reading.add(installationUuid);
    // A delivery that is stored meanwhile makes it unread again.
    unread.delete(installationUuid);
    try {
      await read({ app, installationUuid }, 0);
    } catch (error) {
      unread.add(installationUuid);
      logger.warn({ app, installation_uuid: installationUuid, error: messageOf(error) }, "a parked queue can't be read yet");
    } finally {
      reading.delete(installationUuid);
      onRead();
    }
  };

  return {
    /** Reads the app's own queue and its stops to their end, and notes which installations have a queue. */
    async readAll(): Promise<void> {
      for (const uuid of (await backlog.queuesOf(app)).keys()) if (uuid !== null && uuid !== STOPS) unread.add(uuid);
      readTo.clear();
      await readOn(null);
      await readOn(STOPS);
    },
    /**
     * Reads what others have stored in the app's own queue and its stops, and notes which installations have got something.
     * @param changed installations for which something was stored, whatever the counts say: what leaves a queue meanwhile hides it there
     */
    async readNew(changed: ReadonlySet<string>): Promise<void> {
      const stored = await backlog.queuesOf(app);
      const known = index.counts();
      for (const [uuid, count] of stored) {
        const hasNew = count > (known.get(uuid) ?? 0);
        if (uuid === null) {
          if (hasNew || changed.size > 0) await readOn(null);
        } else if (uuid === STOPS) {
          if (hasNew) await readOn(STOPS);
        } else if (hasNew || changed.has(uuid)) unread.add(uuid);
      }
    },
    /** Reads the queues of installations that may flow. */
    readFlowing(): void {
      for (const installationUuid of unread) if (isFlowing({ app, installationUuid })) void readInstallation(installationUuid);
    },
    /** Whether the installation's queue holds what is not known here. */
    isUnread: (uuid: string): boolean => unread.has(uuid) || reading.has(uuid),
    noteUnread: (uuid: string) => void unread.add(uuid),
    /**
     * Runs while nobody reads the installation's queue: what is on its way there would be found there while it is here.
     * @returns false when it is being read.
     */
    async move(uuid: string, work: () => Promise<void>): Promise<boolean> {
      if (reading.has(uuid)) return false;
      moving.set(uuid, (moving.get(uuid) ?? 0) + 1);
      try {
        await work();
        unread.add(uuid);
        return true;
      } finally {
        const left = (moving.get(uuid) ?? 1) - 1;
        if (left > 0) moving.set(uuid, left);
        else moving.delete(uuid);
      }
    },
  };
}
