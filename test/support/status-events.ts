/** The status stream as it is, each event held against the schema that the package has for its type. */
import { readFileSync } from "node:fs";
import { Ajv, type ValidateFunction } from "ajv";
import addFormats from "ajv-formats";
import type { StoredMsg } from "nats";
import { createSubjects } from "../../src/jetstream/subjects.ts";
import { STATUS_EVENT_TYPES, type StatusEvent, type StatusEventOf, type StatusEventType } from "../../src/model/status-event.ts";
import type { Bus } from "./posthorn.ts";

const ajv = new Ajv({ strict: true, allErrors: true, allowUnionTypes: true });
addFormats.default(ajv);
const validators = new Map<string, ValidateFunction>(
  STATUS_EVENT_TYPES.map((type) => [
    type,
    ajv.compile(JSON.parse(readFileSync(new URL(`../../schemas/${type}.json`, import.meta.url), "utf8")) as object),
  ]),
);

/** Every status event of the platform so far, in order. @throws Error naming what is not as its schema says. */
export async function statusEvents(bus: Bus): Promise<StatusEvent[]> {
  const manager = await bus.connection.jetstreamManager();
  const stream = `${bus.prefix}_STATUS`.toUpperCase().replaceAll("-", "_");
  const { first_seq: first, last_seq: last } = (await manager.streams.info(stream)).state;
  const found: StatusEvent[] = [];
  // A stream that never held anything says 0.
  for (let sequence = Math.max(1, first); sequence <= last; sequence++)
    found.push(checked(bus.prefix, await manager.streams.getMessage(stream, { seq: sequence })));
  return found;
}

export async function statusEventsOf<Type extends StatusEventType>(bus: Bus, type: Type): Promise<Array<StatusEventOf<Type>>> {
  return (await statusEvents(bus)).filter((event) => event.type === type) as Array<StatusEventOf<Type>>;
}

function checked(prefix: string, message: StoredMsg): StatusEvent {
  const event = message.json<StatusEvent>();
  const isValid = validators.get(event.type);
  if (isValid === undefined) throw new Error(`no schema for ${event.type}`);
  const valid: boolean = isValid(event);
  if (!valid) throw new Error(`${event.type} ${event.id}: ${ajv.errorsText(isValid.errors)}`);
  const expected = [createSubjects(prefix).statusOf(event), event.id, "application/cloudevents+json"];
  const got = [message.subject, message.header.get("Nats-Msg-Id"), message.header.get("content-type")];
  if (got.join() !== expected.join()) throw new Error(`found ${got.join()}, wanted ${expected.join()}`);
  return event;
}
