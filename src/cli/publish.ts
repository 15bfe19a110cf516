/** posthorn publish: one event through POST /v1/events. Services publish on the bus, with posthorn/client. */
import { nearest } from "../model/nearest.ts";
import { command, value } from "./command.ts";
import { UsageError } from "./exit-codes.ts";
import { jsonObject } from "./values.ts";

export const publishCommand = command({
  name: "publish",
  summary: "Publishes an event.",
  operands: ["[type]"],
  options: {
    organization: value("id", "The organization that it happened in."),
    example: value("type", "A sample event of Sentry, instead of <type>, --data and --actor: docs/events.md lists them."),
    data: value("json", "The event's data: a JSON object, @file, or - for standard input; {} when not given."),
    id: value("id", "Unique per event: publishing it again within ten minutes stores nothing. Made when not given."),
    app: value("slug", "Only for this app."),
    installation: value("uuid", "Only for this installation."),
    project: value("id", "The project that it happened in."),
    actor: value("json", "Who did it: a JSON object, @file or -."),
    traceparent: value("header", "A W3C trace to go on with."),
  },
  examples: [
    `publish issue.created --organization 42 --data '{"issue":{"id":"1","title":"It works"}}'`,
    "publish issue.created --organization 42 --data @issue.json",
    "publish --example seer.pr_created --organization 42",
  ],
  async run({ api, output, options, readInput, operands: [operand] }) {
    const { organization, id, app, installation, project, traceparent } = options;
    if (organization === undefined) throw new UsageError("publish: --organization is missing");
    const { type, data, actor } = await publishedEvent(operand, options);
    const head = JSON.stringify({ type, id, organization_id: organization, app, installation_uuid: installation, project_id: project });
    const actorJson = actor === undefined ? "" : `,"actor":${await jsonObject("actor", actor, readInput)}`;
    // As text, so that its numbers and the order of its keys reach the receiver as they were written.
    const text = `${head.slice(0, -1)}${actorJson},"data":${await jsonObject("data", data, readInput)}}`;
    const { body } = await api().call("POST /v1/events", {
      body: text as unknown as {
        readonly type: string;
        readonly organization_id: string;
        readonly data: Readonly<Record<string, unknown>>;
      },
      headers: traceparent === undefined ? {} : { traceparent },
    });
    output.result(body, () => {
      const what = body.duplicate ? "was published before, nothing was stored" : `is stored as ${body.stream} ${body.sequence}`;
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
