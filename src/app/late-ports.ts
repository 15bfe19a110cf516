/**
 * Delivery and status notify parts that are built after them, because those take deliveries through them: the parked queues, the owner
 * of the queues and the probe schedule. Such calls go through these ports, which `bind` connects once all parts exist. Nothing is parked,
 * woken or probed before that.
 */
import type { ParkedQueue } from "../delivery/ports.ts";
import type { ProbeSchedule } from "../status/probe-schedule.ts";
import type { QueueOwner } from "../subscribers/ordered/queue-owner.ts";
import type { ParkedQueues } from "../subscribers/parked/parked-queues.ts";

interface LateParts {
  readonly parkedQueues: Pick<ParkedQueues, "busy" | "parked" | "wake">;
  readonly queueOwner: Pick<QueueOwner, "wake">;
  readonly probeSchedule: Pick<ProbeSchedule, "update" | "wake" | "lookSoon">;
}

export interface LatePorts {
  readonly isQueueBusy: (queue: ParkedQueue) => boolean;
  readonly onParked: (queue: ParkedQueue) => void;
  readonly wakeQueues: ParkedQueues["wake"];
  readonly wakeOwner: QueueOwner["wake"];
  readonly updateProbe: ProbeSchedule["update"];
  readonly wakeProbes: ProbeSchedule["wake"];
  readonly lookSoon: ProbeSchedule["lookSoon"];
  bind(parts: LateParts): void;
}

export function createLatePorts(): LatePorts {
  let bound: LateParts | null = null;
  return {
    isQueueBusy: (queue) => bound?.parkedQueues.busy(queue) ?? false,
    onParked(queue) {
      bound?.parkedQueues.parked(queue);
      if (queue.installationUuid !== null) bound?.probeSchedule.lookSoon(queue.installationUuid);
    },
    wakeQueues: (reason, app, installationUuid) => bound?.parkedQueues.wake(reason, app, installationUuid),
    wakeOwner: (reason, app, queues) => bound?.queueOwner.wake(reason, app, queues),
    updateProbe: (uuid, probedAt) => bound?.probeSchedule.update(uuid, probedAt),
    wakeProbes: () => bound?.probeSchedule.wake(),
    lookSoon: (uuid) => bound?.probeSchedule.lookSoon(uuid),
    bind(parts) {
      bound = parts;
    },
  };
}
