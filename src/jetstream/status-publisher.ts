/** Publishes status events on the status stream, each under its id as Nats-Msg-Id. */
import { headers, type JetStreamClient, type JetStreamManager } from "nats";
import { AppError, messageOf } from "../model/app-error.ts";
import type { StatusEvent } from "../model/status-event.ts";
import type { StatusStream } from "../status/ports.ts";
import { unlessNotFound } from "./nats-errors.ts";
import { orUnreachable } from "./or-unreachable.ts";
import type { Subjects } from "./subjects.ts";

const TIMEOUT_MS = 5_000;

export function createStatusPublisher(jetStream: JetStreamClient, manager: JetStreamManager, names: Subjects): StatusStream<StatusEvent> {
  return {
    async publish(event) {
      const messageHeaders = headers();
      messageHeaders.set("content-type", "application/cloudevents+json");
      try {
        await jetStream.publish(names.statusOf(event), JSON.stringify(event), {
          msgID: event.id,
          headers: messageHeaders,
          timeout: TIMEOUT_MS,
        });
      } catch (error) {
        throw new AppError("PUBLISH_FAILED", `${names.streams.status} did not store status event ${event.id}: ${messageOf(error)}`, {
          retryable: true,
          cause: error,
        });
      }
    },
    async lastId(event) {
      const subject = names.statusOf(event);
      const last = await orUnreachable(unlessNotFound(manager.streams.getMessage(names.streams.status, { last_by_subj: subject })));
      return last?.json<{ id?: string }>().id ?? null;
    },
  };
}
