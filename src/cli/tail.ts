/**
 * posthorn tail: attempts as they happen. It polls the request log, which any replica serves for all of them. A row has the
 * start time of its attempt, so a slow attempt appears after faster ones: each poll reaches back further than an attempt can
 * take, and rows that were shown are remembered.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { WebhookRequest } from "../client/api-types.generated.ts";
import { ApiError } from "../client/create-api-client.ts";
import { command, flag, value } from "./command.ts";
import { UsageError } from "./exit-codes.ts";
import { milliseconds, outcomeStyle, responseCode } from "./format.ts";
import { oneLine } from "./one-line.ts";
import type { Output } from "./output.ts";
import { positive } from "./values.ts";

const POLL_EVERY_MS = 500;
/** The longest deadline of an app, and some time for writing the row. */
const LOOK_BACK_MS = 150_000;
/** A poll is one call per app. */
const MAX_APPS = 20;

export const tailCommand = command({
  name: "tail",
  summary: "Shows attempts as they happen.",
  operands: ["[app]..."],
  options: {
    errors: flag("Only attempts that did not deliver."),
    type: value("type", "Only of this event type."),
    organization: value("id", "Only of this organization."),
    count: value("number", "Ends after this many attempts.", positive),
  },
  details: "Polls the request log twice a second. The log keeps 100 attempts per event type, so a busy app's attempts can be missed.",
  examples: ["tail", "tail acme-tracker --errors", "tail acme-tracker --json | jq .response_code"],
  async run({ api, output, options, operands, signal }) {
    const seen = new Map<string, number>();
    const startedAt = Date.now();
    let shown = 0;

    const apps = async (): Promise<readonly string[]> => {
      if (operands.length > 0) return operands;
      const { body } = await api().call("GET /v1/apps", { query: { limit: MAX_APPS }, signal });
      if (body.next !== null) throw new UsageError(`tail: there are more than ${MAX_APPS} apps; name the ones to follow`);
      return body.items.map(({ slug }) => slug);
    };
    /** New rows, oldest first. */
    const rowsOf = async (slug: string): Promise<WebhookRequest[]> => {
      const { errors, type, organization } = options;
      const start = new Date(Math.max(startedAt, Date.now() - LOOK_BACK_MS) - LOOK_BACK_MS).toISOString();
      const query = { errors_only: errors, event_type: type, organization_id: organization, start };
      const { body } = await api().call("GET /v1/apps/{slug}/webhook-requests", { path: { slug }, query, signal });
      return body.items.toReversed().filter((row) => {
        const key = `${row.delivery_id} ${row.attempt} ${row.date}`;
        const isNew = !seen.has(key);
        seen.set(key, Date.now());
        return isNew;
      });
    };

    /** @returns true when --count is reached */
    const poll = async (): Promise<boolean> => {
      for (const slug of await apps()) {
        for (const row of await rowsOf(slug)) {
          output.result({ app: slug, ...row }, () => show(output, slug, row));
          if (++shown === options.count) return true;
        }
      }
      for (const [key, at] of seen) if (at < Date.now() - LOOK_BACK_MS) seen.delete(key);
      return false;
    };

    try {
      // Marks existing rows as seen.
      for (const slug of await apps()) await rowsOf(slug);
      output.note(`Following ${operands.length > 0 ? operands.join(", ") : "all apps"}; Ctrl-C stops.`);
      let isDown = false;
      while (!(await poll().then(onAnswer, onFailure))) await sleep(POLL_EVERY_MS, undefined, { signal });

      function onAnswer(isEnough: boolean): boolean {
        if (isDown) output.note("Posthorn answers again.");
        isDown = false;
        return isEnough;
      }
      /** Waits for a service that is restarting. */
      function onFailure(error: unknown): boolean {
        if (signal.aborted || !(error instanceof ApiError) || !error.retryable) throw error;
        if (!isDown) output.note(`${error.message}; trying again.`);
        isDown = true;
        return false;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  },
});

function show(output: Output, app: string, row: WebhookRequest): void {
  const outcome = output.paint(outcomeStyle(row.outcome), row.outcome.padEnd(11));
  const numbers = `${responseCode(row.response_code).padStart(3)}  ${milliseconds(row.duration_ms).padStart(7)}`;
  const again = row.attempt > 1 ? `  attempt ${row.attempt}` : "";
  const error = row.error ? `  ${row.error}` : "";
  output.line(
    oneLine(
      `${output.time(row.date)}  ${outcome}  ${numbers}  ${output.paint("bold", app)}  ${row.event_type}  ${row.delivery_id}${again}${error}`,
    ),
  );
}
