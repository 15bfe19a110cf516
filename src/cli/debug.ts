/** posthorn debug …: detailed logging of one app or installation for a limited time, on all replicas. */
import { parseDuration } from "../config/values.ts";
import { type Command, command, value } from "./command.ts";
import { time } from "./format.ts";

const OPERAND = "<app or installation uuid>";
const isUuid = (text: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);

export const debugCommands: readonly Command[] = [
  command({
    name: "debug list",
    summary: "Lists the apps and installations that are logged in detail.",
    examples: ["debug"],
    async run({ api, output }) {
      const { body } = await api().call("GET /v1/debug-log");
      output.table(
        [
          { title: "APP OR INSTALLATION", cell: ({ app, installation_uuid: uuid }) => app ?? uuid ?? "" },
          { title: "UNTIL", cell: ({ until }) => time(until) },
        ],
        body.items,
        "Nothing is logged in detail.",
      );
    },
  }),
  command({
    name: "debug on",
    summary: "Logs the deliveries of an app or installation in detail for a limited time, with headers and bodies.",
    operands: [OPERAND],
    options: { for: value("duration", "How long; 15m by default.", parseDuration) },
    details: "The lines are in the log of each replica.",
    examples: ["debug on acme-tracker --for 5m"],
    async run({ api, output, options, operands: [name = ""] }) {
      const body = options.for === undefined ? {} : { for_s: Math.ceil(options.for / 1000) };
      const { body: logged } = isUuid(name)
        ? await api().call("PUT /v1/installations/{uuid}/debug-log", { path: { uuid: name }, body })
        : await api().call("PUT /v1/apps/{slug}/debug-log", { path: { slug: name }, body });
      output.result(logged, () => output.line(`${name} is logged in detail until ${time(logged.until)}.`));
    },
  }),
  command({
    name: "debug off",
    summary: "Stops the detailed logging of an app or installation.",
    operands: [OPERAND],
    examples: ["debug off acme-tracker"],
    async run({ api, output, operands: [name = ""] }) {
      if (isUuid(name)) await api().call("DELETE /v1/installations/{uuid}/debug-log", { path: { uuid: name } });
      else await api().call("DELETE /v1/apps/{slug}/debug-log", { path: { slug: name } });
      output.result({ name, debug: false }, () => output.line(`${name} is no longer logged in detail.`));
    },
  }),
];
