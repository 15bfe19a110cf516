/** The catalogue of events: every sample has the form that its schema gives, and every form has a sample. */
import { readdirSync, readFileSync } from "node:fs";
import { Ajv } from "ajv";
import addFormats from "ajv-formats";
import { describe, expect, test } from "vitest";
import { EVENT_TYPES } from "../../scripts/event-schemas.ts";
import { EXAMPLE_EVENTS } from "../../src/cli/example-events.generated.ts";

const root = new URL("../../", import.meta.url);
const json = (file: string): any => JSON.parse(readFileSync(new URL(file, root), "utf8"));
const ajv = new Ajv({ strict: true, allErrors: true, allowUnionTypes: true });
addFormats.default(ajv);

/** The types of webhooks that Sentry sends. */
const TYPES = [
  ...["created", "assigned", "resolved", "ignored", "archived", "unresolved"].map((action) => `issue.${action}`),
  ...["error.created", "event_alert.triggered", "activity_alert.triggered"],
  ...["open", "warning", "critical", "resolved"].map((action) => `metric_alert.${action}`),
  ...["created", "updated", "deleted"].map((action) => `comment.${action}`),
  ...["created", "deleted"].map((action) => `installation.${action}`),
  ...["root_cause", "solution", "coding", "iteration"].flatMap((step) => [`seer.${step}_started`, `seer.${step}_completed`]),
  ...["seer.pr_created", "seer.pr_ready_for_review"],
  ...["size_analysis_completed", "build_distribution_completed"].map((action) => `preprod_artifact.${action}`),
].sort();

test("the catalogue, the samples and the schemas have the types that Sentry sends", () => {
  const inFolder = (folder: string): string[] =>
    readdirSync(new URL(folder, root))
      .map((file) => file.replace(/\.json$/, ""))
      .sort();
  expect([...EVENT_TYPES].sort()).toEqual(TYPES);
  expect(inFolder("examples/payloads/")).toEqual(TYPES);
  expect(inFolder("schemas/events/")).toEqual(TYPES);
});

describe.each(TYPES)("the sample of %s", (type) => {
  const payload = json(`examples/payloads/${type}.json`);
  const validate = ajv.compile(json(`schemas/events/${type}.json`));

  test("has the form of its schema, and is what the command line publishes", () => {
    expect([validate(payload), validate.errors]).toEqual([true, null]);
    const { data, actor } = EXAMPLE_EVENTS[type] ?? { data: "null", actor: "null" };
    expect([JSON.parse(data), JSON.parse(actor)]).toEqual([payload.data, payload.actor]);
  });

  test("does not have it without a member that the schema wants", () => {
    for (const member of json(`schemas/events/${type}.json`).properties.data.required as string[]) {
      const { [member]: _left, ...rest } = payload.data;
      expect([member, validate({ ...payload, data: rest })]).toEqual([member, false]);
    }
  });
});
