/**
 * The webhooks of today's Sentry: the form of each type, from which schemas/events and docs/events.md are generated. That the
 * samples in examples/payloads have these forms is tested. Receivers may get more members than these; none of them is taken away.
 */
import { z } from "zod";

const text = z.string();
const textOrNull = z.string().nullable();
const object = z.record(z.string(), z.unknown());
const time = z.string().meta({ format: "date-time" });
const timeOrNull = z.string().nullable().meta({ format: "date-time" });
const about = <T extends z.ZodType>(form: T, description: string): T => form.meta({ description }) as T;

const project = z.object({ id: text, name: text, slug: text, platform: textOrNull });
const assignee = z.object({ type: z.enum(["user", "team"]), id: z.union([z.int(), text]), name: text, email: text.optional() });

const issue = z.object({
  id: text,
  shortId: about(text, "As people name it: `STORE-31`."),
  title: text,
  culprit: about(textOrNull, "Where it happened."),
  permalink: about(text, "Its page."),
  level: about(text, "`fatal`, `error`, `warning`, `info` or `debug`."),
  status: z.enum(["unresolved", "resolved", "ignored"]),
  substatus: about(textOrNull, "For example `new`, `regressed`, `archived_until_escalating`."),
  statusDetails: about(object, "How it was resolved or ignored."),
  platform: textOrNull,
  project,
  type: about(text, "`error`, `default` and others."),
  metadata: about(object, "What the title is made of."),
  count: about(text, "How many events it has, as text."),
  userCount: z.int(),
  firstSeen: time,
  lastSeen: time,
  assignedTo: assignee.nullable(),
  url: about(text, "In the API."),
  web_url: text,
  project_url: text,
});

const errorEvent = {
  event_id: text,
  project: about(z.int(), "The project's id."),
  title: text,
  message: text,
  platform: text,
  datetime: time,
  tags: about(z.array(z.tuple([text, text])), "Pairs of name and value."),
  exception: z.object({ values: z.array(object) }).optional(),
  request: object.optional(),
  user: object.nullable().optional(),
  contexts: object,
  url: about(text, "In the API."),
  web_url: text,
  issue_url: text,
  issue_id: text,
  occurrence: about(object.nullable().optional(), "Of issues that are not errors."),
};
const settings = about(z.array(z.object({ name: text, value: z.unknown() })), "As the user filled in the app's form.");

const metricAlert = z.object({
  id: text,
  identifier: about(text, "Its number in the organization."),
  organization_id: text,
  status: about(z.int(), "1 open, 2 closed, 10 warning, 20 critical."),
  date_started: time,
  date_detected: time,
  date_created: time,
  date_closed: timeOrNull,
  title: text,
  projects: about(z.array(text), "Slugs."),
  alert_rule: z.object({
    id: text,
    name: text,
    dataset: text,
    query: text,
    aggregate: text,
    time_window: about(z.number(), "Minutes."),
    threshold_type: about(z.int(), "0 above, 1 below."),
    resolve_threshold: z.number().nullable(),
    triggers: z.array(z.object({ id: text, label: text, alert_threshold: z.number(), actions: z.array(object) })),
  }),
});

const seer = {
  run_id: z.int(),
  sentry_run_id: z.string().meta({ format: "uuid" }),
  group_id: about(z.int(), "The issue's id."),
};
const steps = z.array(z.object({ title: text, description: text }));
const rootCause = z.object({ description: text, steps });
const pullRequests = z.array(
  z.object({
    provider: text,
    repo_name: text,
    pull_request: z.object({ pr_number: z.int(), pr_url: text, pr_id: z.int() }),
  }),
);
const codeChanges = about(
  z.record(z.string(), z.array(z.object({ path: text, title: text, diff: text, added: z.int(), removed: z.int() }))),
  "By repository: the changed files.",
);

const appInfo = z.object({
  appId: textOrNull,
  name: textOrNull,
  version: textOrNull,
  buildNumber: z.int().nullable(),
  artifactType: z.int().nullable(),
  dateAdded: timeOrNull,
  dateBuilt: timeOrNull,
});
const gitInfo = z.object({
  headSha: textOrNull,
  baseSha: textOrNull,
  provider: textOrNull,
  headRepoName: textOrNull,
  baseRepoName: textOrNull,
  headRef: textOrNull,
  baseRef: textOrNull,
  prNumber: z.int().nullable(),
});
const artifact = {
  buildId: text,
  organizationSlug: text,
  projectSlug: text,
  platform: textOrNull,
  state: z.int(),
  appInfo,
  gitInfo: gitInfo.nullable(),
  errorCode: z.int().nullable(),
  errorMessage: textOrNull,
};

const comment = {
  comment_id: z.int(),
  issue_id: z.int(),
  project_slug: text,
  timestamp: time,
  comment: text,
};

const installation = z.object({
  status: z.enum(["pending", "installed"]),
  organization: z.object({ slug: text }),
  app: z.object({ uuid: text, slug: text }),
  uuid: text,
  code: about(text.optional(), "To be exchanged for a token; only when it was created."),
});

interface EventForm {
  readonly about: string;
  readonly data: z.ZodObject;
}
const form = (description: string, data: z.ZodRawShape): EventForm => ({ about: description, data: z.object(data) });

/** By type, in the order of the catalogue. */
const FORMS: Readonly<Record<string, EventForm>> = {
  "issue.created": form("An issue was seen for the first time.", { issue }),
  "issue.assigned": form("Somebody was made responsible for an issue.", { issue, assignee }),
  "issue.resolved": form("An issue was resolved.", { issue, resolution_type: about(text, "For example `now`, `in_next_release`.") }),
  "issue.ignored": form("An issue was archived; the former name of `issue.archived`, sent to those who ask for it.", { issue }),
  "issue.archived": form("An issue was archived.", { issue }),
  "issue.unresolved": form("An issue is open again: a regression, or somebody reopened it.", { issue }),
  "error.created": form("An error was recorded.", { error: z.object(errorEvent) }),
  "event_alert.triggered": form("An issue alert fired.", {
    event: z.object(errorEvent),
    triggered_rule: about(text, "The alert's name."),
    issue_alert: z.object({ id: z.int(), title: text, sentry_app_id: z.int(), settings }).optional(),
  }),
  "activity_alert.triggered": form("An alert fired on an activity of an issue.", {
    issue,
    activity: z.object({ type: text, details: object }),
    alert: z.object({ id: z.int(), title: text, sentry_app_id: z.int(), settings }),
  }),
  ...Object.fromEntries(
    Object.entries({
      open: "A metric alert opened.",
      warning: "A metric alert is over its warning threshold.",
      critical: "A metric alert is over its critical threshold.",
      resolved: "A metric alert is back to normal.",
    }).map(([action, description]) => [
      `metric_alert.${action}`,
      form(description, { metric_alert: metricAlert, description_text: text, description_title: text, web_url: text }),
    ]),
  ),
  "comment.created": form("Somebody commented on an issue.", comment),
  "comment.updated": form("A comment was changed.", comment),
  "comment.deleted": form("A comment was deleted.", comment),
  "installation.created": form("The app was installed in an organization.", { installation }),
  "installation.deleted": form("The app was uninstalled.", { installation }),
  "seer.root_cause_started": form("Seer looks for the root cause of an issue.", seer),
  "seer.root_cause_completed": form("Seer found a root cause.", { ...seer, root_cause: rootCause }),
  "seer.solution_started": form("Seer looks for a solution.", seer),
  "seer.solution_completed": form("Seer found a solution.", { ...seer, solution: rootCause }),
  "seer.coding_started": form("Seer writes the code.", seer),
  "seer.coding_completed": form("Seer has written the code.", { ...seer, code_changes: codeChanges }),
  "seer.pr_created": form("Seer opened pull requests.", { ...seer, pull_requests: pullRequests }),
  "seer.pr_ready_for_review": form("Pull requests of Seer wait for a review.", { ...seer, pull_requests: pullRequests }),
  "seer.iteration_started": form("Seer works on its pull requests again.", seer),
  "seer.iteration_completed": form("Seer has changed its pull requests.", {
    ...seer,
    pull_requests: pullRequests,
    code_changes: codeChanges,
    iteration_index: z.int(),
  }),
  "preprod_artifact.size_analysis_completed": form("The size of a build was analyzed.", {
    ...artifact,
    downloadSize: about(z.int().nullable(), "Bytes."),
    installSize: about(z.int().nullable(), "Bytes."),
    analysisDuration: about(z.number().nullable(), "Seconds."),
    analysisVersion: textOrNull,
    baseBuildId: about(textOrNull, "The build that it was compared with."),
    baseAppInfo: appInfo.nullable(),
    comparisons: z.array(
      z.object({
        metricsArtifactType: z.int(),
        identifier: textOrNull,
        state: z.int(),
        errorCode: z.int().nullable(),
        errorMessage: textOrNull,
        sizeMetricDiff: object.nullable(),
      }),
    ),
  }),
  "preprod_artifact.build_distribution_completed": form("A build can be handed to testers.", {
    ...artifact,
    projectId: text,
    buildConfiguration: textOrNull,
    isInstallable: z.boolean(),
    installUrl: textOrNull,
    isCodeSignatureValid: z.boolean().nullable(),
    profileName: textOrNull,
    codesigningType: textOrNull,
  }),
};

export const EVENT_TYPES: readonly string[] = Object.keys(FORMS);

/** JSON Schema, draft 7 as those of the status events, of a whole webhook body of the type. */
export function eventJsonSchema(type: string): JsonSchema {
  const { about: description, data } = FORMS[type] as EventForm;
  const [, action = ""] = type.split(".");
  const body = z
    .object({
      action: z.literal(action),
      installation: z.object({ uuid: z.string().meta({ format: "uuid" }) }),
      data,
      actor: z.object({ type: z.enum(["user", "application"]), id: z.union([z.int(), text]), name: text }),
    })
    .meta({ title: type, description });
  return z.toJSONSchema(body, { io: "input", target: "draft-7", reused: "inline" }) as JsonSchema;
}

export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly title?: string;
  readonly description?: string;
  readonly format?: string;
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
}
