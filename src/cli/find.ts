/** posthorn find: one search for everything that has an id. */
import type { FoundItem } from "../client/api-types.generated.ts";
import { command } from "./command.ts";
import { CommandFailed } from "./exit-codes.ts";
import type { Column } from "./table.ts";

const COLUMNS: ReadonlyArray<Column<FoundItem>> = [
  { title: "KIND", cell: ({ kind }) => kind, style: () => "bold" },
  { title: "ID", cell: ({ id }) => id, isId: true },
  { title: "TIME", cell: ({ at }) => at, isTime: true },
  { title: "DETAIL", cell: ({ detail }) => detail, isText: true, isDetail: true },
];

const NEXT: Readonly<Record<FoundItem["kind"], (item: FoundItem) => string>> = {
  app: ({ id }) => `posthorn apps get ${id}`,
  organization: ({ id }) => `posthorn installations --organization ${asArgument(id)}`,
  installation: ({ id }) => `posthorn installations get ${id}`,
  event: ({ id }) => `posthorn explain ${asArgument(id)}`,
  delivery: ({ id }) => `posthorn explain ${id}`,
};

/** One word of a shell's command line. */
function asArgument(id: string): string {
  return /^[\w.:/@+-]+$/.test(id) ? id : `'${id.replaceAll("'", `'\\''`)}'`;
}

export const findCommand = command({
  name: "find",
  summary: "Finds what an id names: an event, a delivery, a trace, an installation, an organization or an app.",
  operands: ["<id or its beginning>"],
  details: "A delivery id is the webhook-id header; a traceparent is searched for its trace.",
  examples: ["find evt-1", "find dlv_5f2b6c", "find 0af7651916cd43dd8448eb211c80319c"],
  async run({ api, output, operands: [q = ""] }) {
    const { body } = await api().call("GET /v1/find", { query: { q } });
    output.result(body, () => {
      if (body.items.length > 0) output.table(COLUMNS, body.items, "");
      for (const note of body.notes) output.line(output.text(note));
    });
    const [first] = body.items;
    if (first === undefined) throw new CommandFailed(`nothing found for ${JSON.stringify(q)}`);
    output.note(`${NEXT[first.kind](first)} shows the first`);
  },
});
