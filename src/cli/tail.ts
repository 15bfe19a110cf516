/**
 * posthorn tail: attempts as they happen. It asks the request log again and again, which any replica answers for all of
 * them. A row's time is when its attempt began, so a slow attempt comes after quicker ones: each look goes back further
 * than an attempt can take, and what was shown is remembered.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { WebhookRequest } from "../client/api-types.generated.ts";
import { ApiError } from "../client/create-api-client.ts";
import { command, flag, value } from "./command.ts";
import { UsageError } from "./exit-codes.ts";
import { milliseconds, outcomeStyle, responseCode, time } from "./format.ts";
import { type Output, oneLine } from "./output.ts";
import { positive } from "./values.ts";

const LOOK_EVERY_MS = 500;
/** The longest deadline that an app can have, and some for the writing. */
const LOOK_BACK_MS = 150_000;
/** Each look is one call per app. */
const MOST_APPS = 20;

export const tailCommand = command({
  name: "tail",
  summary: "Shows attempts as they happen.",
  operands: ["[app]..."],
  options: {
    errors: flag("Only what was not delivered."),
    type: value("type", "Of this event type."),
    organization: value("id", "Of this organization."),
    count: value("number", "Ends after so many.", positive),
  },
  details: "Asks the request log twice a second, which holds the last 100 attempts of each event type: of a busier app some are missed.",
  examples: ["tail", "tail acme-tracker --errors", "tail acme-tracker --json | jq .response_code"],
  async run({ api, output, options, operands, signal }) {
    const seen = new Map<string, number>();
    const startedAt = Date.now();
    let shown = 0;

    const apps = async (): Promise<readonly string[]> => {
      if (operands.length > 0) return operands;
      const { body } = await api().call("GET /v1/apps", { query: { limit: MOST_APPS }, signal });
      if (body.next !== null) throw new UsageError(`tail: there are more than ${MOST_APPS} apps; name those to look at`);
      return body.items.map(({ slug }) => slug);
    };
    /** Rows that were not seen yet, oldest first. */
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

    /** @returns whether enough was shown. */
    const look = async (): Promise<boolean> => {
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
      // What was there before is not live.
      for (const slug of await apps()) await rowsOf(slug);
      output.note(`Following ${operands.length > 0 ? operands.join(", ") : "all apps"}; Ctrl-C ends it.`);
      let isAway = false;
      while (!(await look().then(back, away))) await sleep(LOOK_EVERY_MS, undefined, { signal });

      function back(isEnough: boolean): boolean {
        if (isAway) output.note("It answers again.");
        isAway = false;
        return isEnough;
      }
      /** A service that is started anew is worth waiting for. */
      function away(error: unknown): boolean {
        if (signal.aborted || !(error instanceof ApiError) || !error.retryable) throw error;
        if (!isAway) output.note(`${error.message}; trying again.`);
        isAway = true;
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
      `${time(row.date)}  ${outcome}  ${numbers}  ${output.paint("bold", app)}  ${row.event_type}  ${row.delivery_id}${again}${error}`,
    ),
  );
}
