/** posthorn replays …: sends the deliveries of a period again, and follows how it goes. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Replay } from "../client/api-types.generated.ts";
import type { ApiClient } from "../client/create-api-client.ts";
import { REPLAY_KINDS, REPLAY_STATES } from "../model/replay.ts";
import { type Command, type CommandCall, choice, command, flag, list, type Options, value } from "./command.ts";
import { CommandFailed, UsageError } from "./exit-codes.ts";
import { counted } from "./format.ts";
import type { Output } from "./output.ts";
import { installationUuid, replayIdOf } from "./short-ids.ts";
import type { Style } from "./table.ts";
import { PAGE, take } from "./take.ts";
import { pastTime, positive, rate } from "./values.ts";

const ASK_EVERY_MS = 500;

const STYLES: Readonly<Record<Replay["state"], Style>> = {
  running: "yellow",
  paused: "yellow",
  done: "green",
  cancelled: "dim",
  failed: "red",
};

const isOver = ({ state }: Replay): boolean => state !== "running" && state !== "paused";

function show(output: Output, replay: Replay): void {
  const { found_by_kind: kinds } = replay;
  output.facts([
    ["replay", replay.id],
    ["state", output.paint(STYLES[replay.state], replay.state)],
    ["waiting for", replay.waiting_for],
    ["error", replay.error],
    ["app", replay.app],
    ["installation", replay.installation_uuid],
    ["types", replay.event_types?.join(", ")],
    ["what", `${replay.what}${replay.dry_run ? " (dry run)" : ""}`],
    ["from", replay.from === null ? "the oldest event" : output.time(replay.from)],
    ["to", output.time(replay.to)],
    ["rate", `${replay.rate_per_s}/s`],
    ["created", output.time(replay.created_at)],
    ["ended", output.time(replay.ended_at)],
    ["read", `${replay.percent} %`],
    ["found", `${replay.found} (${kinds.failed} failed, ${kinds.missed} missed, ${kinds.delivered} delivered)`],
    ["sent", String(replay.sent)],
    ["done", String(replay.done)],
    ["skipped", String(replay.skipped)],
    ["failed", String(replay.failed)],
  ]);
}

/** Shows the progress until the replay has ended, or is paused. */
async function follow(api: ApiClient, output: Output, begun: Replay, signal: AbortSignal): Promise<Replay> {
  const progress = output.progress(begun.dry_run ? "counting" : "sending");
  let replay = begun;
  while (replay.state === "running") {
    progress.at(replay.percent, 100);
    await sleep(ASK_EVERY_MS, undefined, { signal });
    replay = (await api.call("GET /v1/replays/{id}", { path: { id: begun.id }, signal })).body;
  }
  progress.at(replay.percent, 100);
  progress.end();
  return replay;
}

/** A command that changes the state of a replay and shows the replay. */
function change(verb: "pause" | "resume" | "cancel", summary: string): Command {
  return command({
    name: `replays ${verb}`,
    summary,
    operands: ["<id>"],
    examples: [`replays ${verb} rpl_8d3f1c0a5b7e4d2996f0a1b2c3d4e5f6`],
    async run({ api, output, operands: [id = ""] }: CommandCall<Options>) {
      const { body } = await api().call(`POST /v1/replays/{id}/${verb}`, { path: { id: await replayIdOf(api, id) } });
      output.result(body, () => show(output, body));
    },
  });
}

export const replaysCommands: readonly Command[] = [
  command({
    name: "replays create",
    summary: "Sends the deliveries of a period again: dead letters, what was missed, or all.",
    options: {
      what: choice(REPLAY_KINDS, "failed: dead letters; missed: whatever was not delivered; all: delivered ones, too."),
      app: value("slug", "To the installations of this app."),
      installation: value("uuid", "To this installation only."),
      type: list("type", "Only of this event type: issue.created, or issue for all its actions."),
      since: value(
        "time",
        "Published at this time or later: 2h (ago), 10:05, or 2026-01-05T10:11:12Z. The oldest event by default.",
        pastTime,
      ),
      until: value("time", "Published before this time; now by default.", pastTime),
      rate: value("rate", "The highest rate of deliveries, e.g. 20/s or 600/m; 50/s by default.", rate),
      "dry-run": flag("Only counts."),
      wait: flag("Waits until it has ended."),
    },
    details: [
      "Missed events include those from before an installation, and of types that the app has subscribed to since.",
      "Deliveries keep their ids. A replay continues when a replica dies. Fresh events go first.",
      "posthorn replay sends single dead letters and deliveries again.",
    ].join("\n"),
    examples: [
      "replays create --what missed --app acme-tracker --since 12h --dry-run",
      "replays create --what missed --installation 0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f --since 7d --rate 20/s",
    ],
    async run({ api, output, options, signal }) {
      const { what, app, installation, type, since, until, rate: ratePerS, "dry-run": dryRun, wait } = options;
      if (what === undefined) throw new UsageError(`replays create: wanted --what ${REPLAY_KINDS.join(", --what ")}`);
      if (app === undefined && installation === undefined) throw new UsageError("replays create: wanted --app or --installation");
      const { body: created } = await api().call("POST /v1/replays", {
        body: {
          ...{
            what,
            app,
            installation_uuid: await installationUuid(api, installation),
            from: since,
            to: until,
            rate_per_s: ratePerS,
            dry_run: dryRun,
          },
          ...(type.length > 0 ? { event_types: [...type] } : {}),
        },
        signal,
      });
      const replay = wait || dryRun ? await follow(api(), output, created, signal) : created;
      output.result(replay, () => {
        if (dryRun && replay.state === "done") output.line(`${counted(replay.found, "delivery", "deliveries")} would be sent:`);
        show(output, replay);
        if (!isOver(replay)) output.note(`posthorn replays show ${replay.id} shows how it goes.`);
      });
      if (replay.state === "failed") throw new CommandFailed(`the replay stopped: ${replay.error ?? "unknown"}`);
    },
  }),
  command({
    name: "replays list",
    summary: "Lists replays of the last days, newest first.",
    options: {
      app: value("slug", "Only of this app."),
      state: choice(REPLAY_STATES, "Only in this state."),
      limit: value("number", "At most this many; 50 by default.", positive),
    },
    examples: ["replays", "replays list --app acme-tracker --state running"],
    async run({ api, output, options: { app, state, limit = 50 } }) {
      const query = { app, state, limit: Math.min(limit, PAGE) };
      const { rows, more } = await take(api().items("GET /v1/replays", { query }), limit);
      output.table(
        [
          { title: "ID", cell: ({ id }) => id, style: () => "bold", isId: true },
          { title: "STATE", cell: ({ state: found }) => found, style: ({ state: found }) => STYLES[found] },
          { title: "APP", cell: (replay) => replay.app },
          { title: "WHAT", cell: ({ what, dry_run: isDry }) => (isDry ? `${what} (dry)` : what) },
          { title: "FOUND", cell: ({ found }) => String(found) },
          { title: "SENT", cell: ({ sent }) => String(sent) },
          { title: "DONE", cell: ({ done }) => String(done) },
          { title: "SKIPPED", cell: ({ skipped }) => String(skipped) },
          { title: "FAILED", cell: ({ failed }) => String(failed) },
          { title: "CREATED", cell: ({ created_at: at }) => at, isTime: true },
        ],
        rows,
        "No replays: posthorn replays create",
      );
      if (more) output.note("There are more: --limit <number> shows them.");
    },
  }),
  command({
    name: "replays show",
    summary: "Shows a replay and its progress.",
    operands: ["<id>"],
    options: { wait: flag("Waits until it has ended.") },
    examples: ["replays show rpl_8d3f1c0a5b7e4d2996f0a1b2c3d4e5f6 --wait"],
    async run({ api, output, options: { wait }, operands: [id = ""], signal }) {
      const { body } = await api().call("GET /v1/replays/{id}", { path: { id: await replayIdOf(api, id) } });
      const replay = wait ? await follow(api(), output, body, signal) : body;
      output.result(replay, () => show(output, replay));
    },
  }),
  change("pause", "Pauses a replay; deliveries that it has sent keep their retries."),
  change("resume", "Resumes a paused replay."),
  change("cancel", "Cancels a replay; deliveries that it has sent keep their retries."),
];
