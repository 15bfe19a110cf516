/** posthorn replay: replays dead letters by number or filter, and resends deliveries by id. */
import { setTimeout as sleep } from "node:timers/promises";
import type { DeadLetterReplay } from "../client/api-types.generated.ts";
import type { ApiClient } from "../client/create-api-client.ts";
import { command, flag } from "./command.ts";
import { deadLetterFilter, sequenceOf } from "./dead-letters.ts";
import { CommandFailed, UsageError } from "./exit-codes.ts";
import { counted } from "./format.ts";
import type { Output } from "./output.ts";
import { deliveryId, installationUuid } from "./short-ids.ts";

const ASK_EVERY_MS = 250;

export const replayCommand = command({
  name: "replay",
  summary: "Replays dead letters, or resends deliveries.",
  operands: ["[number or delivery id]..."],
  options: {
    ...deadLetterFilter,
    all: flag("All dead letters, when no other option selects some."),
    "dry-run": flag("Only counts."),
  },
  details: [
    "posthorn replays create sends all that was missed or delivered in a period.",
    "Numbers are those in the list of posthorn dead-letters. A delivery id (dlv_…) of the last days is resent whatever its state.",
    "A replay counts attempts from 1; a delivery that fails again becomes another dead letter.",
  ].join("\n"),
  examples: ["replay 7 8", "replay --app acme-tracker --since 1d --dry-run", "replay dlv_5f2b6c0a9e134d7788aa10c3d4e5f607"],
  async run({ api, output, options, operands, signal }) {
    const { app, installation, type, since, until, all, "dry-run": dryRun } = options;
    const hasFilter = [app, installation, type, since, until].some((given) => given !== undefined);
    if (operands.length > 0) {
      if (hasFilter || all || dryRun) throw new UsageError("replay: wanted numbers and delivery ids, or options, not both");
      await replayNamed(api, output, operands);
      return;
    }
    if (!hasFilter && !all)
      throw new UsageError("replay: wanted numbers, delivery ids, --app, --installation, --type, --since, --until or --all");
    const body = {
      app,
      installation_uuid: await installationUuid(api, installation),
      event_type: type,
      start: since,
      end: until,
      dry_run: dryRun,
    };
    const replay = await finished(api(), output, (await api().call("POST /v1/dead-letters/replay", { body, signal })).body, signal);
    output.result(replay, () => {
      if (dryRun) output.line(`${counted(replay.matched, "dead letter")} would be replayed.`);
      else
        output.line(
          `${counted(replay.replayed, "dead letter")} replayed${replay.skipped > 0 ? `, ${replay.skipped} skipped (they hold no delivery, or no installation wants it now)` : ""}.`,
        );
    });
    if (replay.state === "failed") throw new CommandFailed(`the replay stopped: ${replay.error ?? "unknown"}`);
  },
});

async function replayNamed(api: () => ApiClient, output: Output, names: readonly string[]): Promise<void> {
  const isDelivery = (name: string): boolean => name.startsWith("dlv_");
  // A mistake in the last name is reported before the first one is sent.
  for (const name of names) if (!isDelivery(name)) sequenceOf(name);
  for (const name of names) {
    const { body } = isDelivery(name)
      ? await api().call("POST /v1/deliveries/{id}/resend", { path: { id: await deliveryId(api, name) } })
      : await api().call("POST /v1/dead-letters/{sequence}/replay", { path: { sequence: sequenceOf(name) } });
    output.result(body, () => output.line(`${name} will be delivered again.`));
  }
}

async function finished(api: ApiClient, output: Output, begun: DeadLetterReplay, signal: AbortSignal): Promise<DeadLetterReplay> {
  const progress = output.progress("replaying");
  let replay = begun;
  while (replay.state === "running") {
    progress.at(replay.replayed + replay.skipped, replay.matched);
    await sleep(ASK_EVERY_MS, undefined, { signal });
    replay = (await api.call("GET /v1/dead-letters/replays/{id}", { path: { id: begun.replay_id }, signal })).body;
  }
  progress.at(replay.replayed + replay.skipped, replay.matched);
  progress.end();
  return replay;
}
