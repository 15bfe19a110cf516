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
const validators = new Map<string, ValidateFunction>();

function validatorOf(type: StatusEventType): ValidateFunction {
  const schema = new URL(`../../schemas/${type}.json`, import.meta.url);
  const validator = validators.get(type) ?? ajv.compile(JSON.parse(readFileSync(schema, "utf8")) as object);
  validators.set(type, validator);
  return validator;
}

/** Events that were read before, by sequence: tests look again and again. A stream of the same name that was made anew has another `created`. */
const known = new WeakMap<Bus, { readonly created: string; readonly events: Map<number, StatusEvent> }>();

/** Every status event of the platform so far, in order. @throws Error naming what is not as its schema says. */
export async function statusEvents(bus: Bus): Promise<StatusEvent[]> {
  const manager = await bus.connection.jetstreamManager({ checkAPI: false, timeout: 60_000 });
  const stream = `${bus.prefix}_STATUS`.toUpperCase().replaceAll("-", "_");
  const { created, state } = await manager.streams.info(stream);
  const before = known.get(bus);
  const { events } = before?.created === created ? before : { events: new Map<number, StatusEvent>() };
  known.set(bus, { created, events });
  const found: StatusEvent[] = [];
  // A stream that never held anything says 0.
  for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
    const event = events.get(seq) ?? checked(bus.prefix, await manager.streams.getMessage(stream, { seq }));
    events.set(seq, event);
    found.push(event);
  }
  return found;
}

export async function statusEventsOf<Type extends StatusEventType>(bus: Bus, type: Type): Promise<Array<StatusEventOf<Type>>> {
  return (await statusEvents(bus)).filter((event) => event.type === type) as Array<StatusEventOf<Type>>;
}

function checked(prefix: string, message: StoredMsg): StatusEvent {
  const event = message.json<StatusEvent>();
  if (!STATUS_EVENT_TYPES.includes(event.type)) throw new Error(`no schema for ${String(event.type)}`);
  const isValid = validatorOf(event.type);
  const valid: boolean = isValid(event);
  if (!valid) throw new Error(`${event.type} ${event.id}: ${ajv.errorsText(isValid.errors)}`);
  const expected = [createSubjects(prefix).statusOf(event), event.id, "application/cloudevents+json"];
  const got = [message.subject, message.header.get("Nats-Msg-Id"), message.header.get("content-type")];
  if (got.join() !== expected.join()) throw new Error(`found ${got.join()}, wanted ${expected.join()}`);
  return event;
}
