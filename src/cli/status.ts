/** posthorn status: follows status events on the bus, where they are published. It needs NATS, not the HTTP API. */
import { describeStatus } from "../client/status-texts.ts";
import { subscribeStatus } from "../client/subscribe-status.ts";
import { tlsFiles } from "../config/tls-files.ts";
import { parseDuration } from "../config/values.ts";
import { messageOf } from "../model/app-error.ts";
import { STATUS_EVENT_TYPES, type StatusEvent } from "../model/status-event.ts";
import { choice, command, value } from "./command.ts";
import { CONDITION_STYLES } from "./condition-columns.ts";
import { CommandFailed } from "./exit-codes.ts";
import { milliseconds } from "./format.ts";
import { oneLine } from "./one-line.ts";
import type { Output } from "./output.ts";
import { isUuid } from "./short-ids.ts";
import { pastTime, positive } from "./values.ts";

/** Long enough for past events to arrive, short enough to wait for when there are none. */
const COUNT_TIMEOUT_MS = 10_000;

export const statusCommand = command({
  name: "status",
  summary: "Follows status events: broken and recovered integrations, circuits, throttled and failing apps, dead letters.",
  usesApi: false,
  options: {
    app: value("slug", "Only events of this app."),
    installation: value("uuid", "Only events of this installation, or of those whose uuid begins so."),
    type: { ...choice(STATUS_EVENT_TYPES, "Only events of this type."), value: "<type>" },
    since: value("time", "Starts with past events from this time: 2h (ago), 10:05, or 2026-01-05T10:11:12Z.", pastTime),
    durable: value("name", "Resumes where the last subscriber of this name stopped."),
    count: value("number", "Ends after this many events, or when none comes for --timeout.", positive),
    timeout: value("duration", "Ends when no event has come for this long; 10s by default with --count, otherwise never.", parseDuration),
  },
  details: [
    "Reads the bus with the service's own settings: POSTHORN_NATS_… and POSTHORN_SUBJECT_PREFIX.",
    "With --count or --timeout, the exit code is 1 if no event came.",
  ].join("\n"),
  examples: ["status", "status --type integration.broken --since 7d", "status --since 1h --count 10", "status --json --durable mailer"],
  async run({ output, options, config, signal }) {
    const { app, installation, type, since, durable, count, timeout = count === undefined ? undefined : COUNT_TIMEOUT_MS } = options;
    const { natsUrl, natsCredsFile, natsCaFile, natsCertFile, natsKeyFile, subjectPrefix } = config();
    let seen = 0;
    const ended = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => ended.resolve());
    let timer: NodeJS.Timeout | undefined;
    const restartTimer = (): void => {
      clearTimeout(timer);
      if (timeout !== undefined) timer = setTimeout(ended.resolve, timeout);
    };
    const subscription = await subscribeStatus({
      nats: { servers: natsUrl, credsFile: natsCredsFile, tls: tlsFiles(natsCaFile, natsCertFile, natsKeyFile) },
      subjectPrefix,
      ...(durable === undefined ? {} : { durable }),
      ...(type === undefined ? {} : { changes: [type] }),
      ...(app === undefined ? {} : { app }),
      ...(installation !== undefined && isUuid(installation) ? { installationUuid: installation } : {}),
      ...(since === undefined ? {} : { startAt: new Date(since) }),
      onEvent(event) {
        if (!isOf(event, installation)) return;
        if (signal.aborted || (count !== undefined && seen >= count)) throw new Error("left for the next subscriber");
        output.result(event, () => show(output, event));
        seen++;
        if (seen === count) ended.resolve();
        else restartTimer();
      },
      onError: (error) => output.note(messageOf(error)),
    });
    output.note("Following status events; Ctrl-C stops.");
    restartTimer();
    if (!signal.aborted) await ended.promise;
    clearTimeout(timer);
    await subscription.stop();
    if (seen === 0 && timeout !== undefined && !signal.aborted)
      throw new CommandFailed(`no status event within ${milliseconds(timeout)}; --timeout waits longer, --since shows past ones`);
  },
});

/** @param installation its uuid or the beginning of it */
function isOf({ data }: StatusEvent, installation = ""): boolean {
  const { installation_uuid: uuid = "" } = data as { readonly installation_uuid?: string };
  return uuid.startsWith(installation.toLowerCase());
}

function show(output: Output, event: StatusEvent): void {
  const { kind, detail } = describeStatus(event, output.time);
  const data = event.data as { readonly installation_uuid?: string; readonly organization_id?: string; readonly delivery_id?: string };
  const { installation_uuid: uuid = "", organization_id: organization, delivery_id: delivery = "" } = data;
  const parts = [
    output.time(event.time),
    output.paint(CONDITION_STYLES[kind], event.type),
    output.paint("bold", event.data.app),
    organization === undefined ? uuid : `${uuid} in ${organization}`,
    delivery,
    detail,
  ];
  output.line(oneLine(parts.filter((part) => part !== "").join("  ")));
}
