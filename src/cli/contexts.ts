/** posthorn context …: names for several Posthorns. */
import { CLIENT_SETTINGS } from "../config/client-settings.ts";
import { messageOf } from "../model/app-error.ts";
import { type Command, command, flag, value } from "./command.ts";
import { type Context, type Contexts, contextNamed, createContextStore } from "./context-store.ts";
import { UsageError } from "./exit-codes.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** A URL with a password would be printed. */
function serviceUrl(text: string): string {
  CLIENT_SETTINGS.URL.parse(text);
  const { username, password, href } = new URL(text);
  if (username !== "" || password !== "") throw new Error("wanted a URL without a user and password; --token-stdin takes a token");
  return href.replace(/\/+$/, "");
}

/** A file that holds a token usually ends with a newline. */
function tokenOf(input: string): string {
  try {
    return CLIENT_SETTINGS.TOKEN.parse(input.trim());
  } catch (error) {
    throw new UsageError(`--token-stdin: standard input has no token, ${messageOf(error)}`);
  }
}

export const contextCommands: readonly Command[] = [
  command({
    name: "context list",
    summary: "Lists the contexts: the Posthorns that have a name here.",
    usesApi: false,
    examples: ["context"],
    async run({ output, environment }) {
      const { current, contexts } = createContextStore(environment).read();
      output.table(
        [
          { title: "NAME", cell: ({ name }) => name, style: () => "bold" },
          { title: "CURRENT", cell: ({ current: isCurrent }) => (isCurrent ? "yes" : "") },
          { title: "TOKEN", cell: ({ has_token: hasToken }) => (hasToken ? "yes" : "no") },
          { title: "URL", cell: ({ url }) => url, isDetail: true },
        ],
        Object.entries(contexts).map(([name, { url, token }]) => ({ name, url, has_token: token !== null, current: name === current })),
        "No contexts yet: posthorn context add",
      );
    },
  }),
  command({
    name: "context add",
    summary: "Adds a context, or replaces it; the first one becomes the current one.",
    usesApi: false,
    operands: ["<name>"],
    options: {
      url: value("url", "The service.", serviceUrl),
      "token-stdin": flag("Reads the bearer token from standard input, so that no process list or history shows it."),
    },
    details: [
      "Contexts are kept in $XDG_CONFIG_HOME/posthorn/contexts.json (~/.config by default), which only you can read.",
      "Commands use --url or --context, then POSTHORN_URL, then the current context. A context's token is sent to its own URL only.",
    ].join("\n"),
    examples: ["context add prod --url https://posthorn.example --token-stdin"],
    async run({ output, options, environment, readInput, operands: [name = ""] }) {
      const { url } = options;
      if (!NAME.test(name)) throw new UsageError(`context add: found ${JSON.stringify(name)}, wanted letters, digits, ., _ and -`);
      if (url === undefined) throw new UsageError("context add: --url is missing");
      const token = options["token-stdin"] ? tokenOf(await readInput()) : null;
      const store = createContextStore(environment);
      const all = store.read();
      const current = all.current ?? name;
      store.write({ current, contexts: { ...all.contexts, [name]: { url, token } } });
      const isCurrent = current === name;
      output.result({ name, url, has_token: token !== null, current: isCurrent }, () =>
        output.line(`${name} is ${url}${isCurrent ? ", the current context" : `; posthorn context use ${name} makes it the current one`}.`),
      );
    },
  }),
  command({
    name: "context use",
    summary: "Makes a context the current one.",
    usesApi: false,
    operands: ["<name>"],
    examples: ["context use prod"],
    async run({ output, environment, operands: [name = ""] }) {
      const store = createContextStore(environment);
      const all = store.read();
      const { url } = contextNamed(all, name);
      store.write({ ...all, current: name });
      output.result({ name, url, current: true }, () => output.line(`Commands talk to ${url} now.`));
      if (environment["POSTHORN_URL"] !== undefined) output.note("POSTHORN_URL is set here and wins over it.");
    },
  }),
  command({
    name: "context remove",
    summary: "Removes a context and its token.",
    usesApi: false,
    operands: ["<name>"],
    examples: ["context remove prod"],
    async run({ output, environment, operands: [name = ""] }) {
      const store = createContextStore(environment);
      const all = store.read();
      contextNamed(all, name);
      store.write(without(all, name));
      output.result({ name, removed: true }, () => output.line(`Removed ${name}.`));
    },
  }),
];

function without({ current, contexts }: Contexts, name: string): Contexts {
  const left = Object.entries(contexts).filter(([other]): boolean => other !== name);
  return { current: current === name ? null : current, contexts: Object.fromEntries<Context>(left) };
}
