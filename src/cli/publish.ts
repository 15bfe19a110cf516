/** posthorn publish: publishes one event through POST /v1/events. Services publish on the bus, with posthorn/client. */
import type { StoredEvent } from "../client/api-types.generated.ts";
import { withMember } from "../model/json-text.ts";
import { nearest } from "../model/nearest.ts";
import { command, value } from "./command.ts";
import { UsageError } from "./exit-codes.ts";
import { installationUuid } from "./short-ids.ts";
import { eventData, jsonObject } from "./values.ts";

export const publishCommand = command({
  name: "publish",
  summary: "Publishes an event.",
  operands: ["[type]"],
  options: {
    organization: value("id", "The organization of the event."),
    example: value("type", "A sample event of Sentry, instead of <type>, --data and --actor: docs/events.md lists them."),
    data: value(
      "json",
      "The event's data, or a webhook payload that contains it: a JSON object, @file, or - for standard input; {} by default.",
    ),
    id: value("id", "Unique per event: publishing it again within ten minutes stores nothing; a generated one by default."),
    app: value("slug", "Only for this app."),
    installation: value("uuid", "Only for this installation."),
    project: value("id", "The project of the event."),
    actor: value("json", "The actor: a JSON object, @file or -."),
    traceparent: value("header", "The W3C trace context to continue."),
  },
  examples: [
    `publish issue.created --organization 42 --data '{"issue":{"id":"1","title":"It works"}}'`,
    "publish issue.created --organization 42 --data @issue.json",
    "publish --example seer.pr_created --organization 42",
  ],
  async run({ api, output, options, readInput, operands: [operand] }) {
    const { organization, id, app, project, traceparent } = options;
    if (organization === undefined) throw new UsageError("publish: --organization is missing");
    const { type, data, actor } = await publishedEvent(operand, options);
    const installation = await installationUuid(api, options.installation);
    const head = JSON.stringify({ type, id, organization_id: organization, app, installation_uuid: installation, project_id: project });
    // As text, so that numbers and key order reach the receiver unchanged.
    const withActor = actor === undefined ? head : withMember(head, "actor", await jsonObject("actor", actor, readInput));
    const text = withMember(withActor, "data", await eventData("data", data, readInput));
    const { body: answered } = await api().call("POST /v1/events", {
      body: text as unknown as {
        readonly type: string;
        readonly organization_id: string;
        readonly data: Readonly<Record<string, unknown>>;
      },
      headers: traceparent === undefined ? {} : { traceparent },
    });
    // One event was published, not a batch.
    const body = answered as StoredEvent;
    output.result(body, () => {
      const what = body.duplicate ? "was already published; nothing was stored" : `stored as ${body.stream} ${body.sequence}`;
      output.line(`${output.paint("bold", body.type)} ${body.id} ${what}`);
    });
  },
});

interface EventOptions {
  readonly example: string | undefined;
  readonly data: string | undefined;
  readonly actor: string | undefined;
}

/** @throws UsageError */
async function publishedEvent(
  type: string | undefined,
  { example, data, actor }: EventOptions,
): Promise<{ readonly type: string; readonly data: string; readonly actor: string | undefined }> {
  if (example === undefined) {
    if (type === undefined) throw new UsageError("publish: <type> is missing");
    return { type, data: data ?? "{}", actor };
  }
  if (type !== undefined || data !== undefined || actor !== undefined)
    throw new UsageError("publish: --example has a type, data and an actor of its own; give either it or those");
  const { EXAMPLE_EVENTS } = await import("./example-events.generated.ts");
  const types = Object.keys(EXAMPLE_EVENTS);
  const found = types.includes(example) ? EXAMPLE_EVENTS[example] : undefined;
  if (found === undefined) {
    const near = nearest(example, types);
    const hint = near === undefined ? `wanted one of ${types.join(", ")}` : `did you mean ${near}?`;
    throw new UsageError(`--example: found ${JSON.stringify(example)}, ${hint}`);
  }
  return { type: example, ...found };
}
