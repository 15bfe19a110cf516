/** posthorn debug …: detailed logging of one app or installation for a limited time, on all replicas. */
import { type ApiClient, ApiError } from "../client/create-api-client.ts";
import { parseDuration } from "../config/values.ts";
import { type Command, command, value } from "./command.ts";
import { installationUuid, isUuid } from "./short-ids.ts";

const OPERAND = "<app or installation uuid>";

interface Calls<A, I> {
  readonly app: (slug: string) => Promise<A>;
  readonly installation: (uuid: string) => Promise<I>;
}

/** An app of that name comes before an installation that begins so. */
async function ofAppOrInstallation<A, I>(api: () => ApiClient, name: string, calls: Calls<A, I>): Promise<A | I> {
  if (isUuid(name)) return calls.installation(name);
  try {
    return await calls.app(name);
  } catch (error) {
    const uuid = error instanceof ApiError && error.code === "NOT_FOUND" ? await installationUuid(api, name).catch(() => name) : name;
    if (uuid === name) throw error;
    return calls.installation(uuid);
  }
}

export const debugCommands: readonly Command[] = [
  command({
    name: "debug list",
    summary: "Lists the apps and installations that are logged in detail.",
    examples: ["debug"],
    async run({ api, output }) {
      const { body } = await api().call("GET /v1/debug-log");
      output.table(
        [
          { title: "APP OR INSTALLATION", cell: ({ app, installation_uuid: uuid }) => app ?? uuid ?? "", isId: true },
          { title: "UNTIL", cell: ({ until }) => until, isTime: true },
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
      const { body: logged } = await ofAppOrInstallation(api, name, {
        app: (slug) => api().call("PUT /v1/apps/{slug}/debug-log", { path: { slug }, body }),
        installation: (uuid) => api().call("PUT /v1/installations/{uuid}/debug-log", { path: { uuid }, body }),
      });
      output.result(logged, () => output.line(`${name} is logged in detail until ${output.time(logged.until)}.`));
    },
  }),
  command({
    name: "debug off",
    summary: "Stops the detailed logging of an app or installation.",
    operands: [OPERAND],
    examples: ["debug off acme-tracker"],
    async run({ api, output, operands: [name = ""] }) {
      await ofAppOrInstallation(api, name, {
        app: (slug) => api().call("DELETE /v1/apps/{slug}/debug-log", { path: { slug } }),
        installation: (uuid) => api().call("DELETE /v1/installations/{uuid}/debug-log", { path: { uuid } }),
      });
      output.result({ name, debug: false }, () => output.line(`${name} is no longer logged in detail.`));
    },
  }),
];
