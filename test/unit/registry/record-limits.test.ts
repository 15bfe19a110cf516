import { describe, expect, test } from "vitest";
import { appMembers, installationMembers } from "../../../src/registry/record-bodies.ts";
import { appExceeds, installationExceeds } from "../../../src/registry/record-limits.ts";
import { appBody, installationBody } from "../../../src/registry/records.ts";

const limits = {
  maxNameLength: 3,
  maxUrlLength: 20,
  maxIdLength: 4,
  maxEvents: 2,
  maxHeaders: 1,
  maxHeaderLength: 5,
  maxRetries: 1,
  maxProjects: 2,
};
const app = { webhook_url: "https://a.example/in" };
const installation = { app: "acme", organization_id: "1234" };
const appProblems = (body: object) =>
  appExceeds(appMembers("app", "a", appBody.parse(body), null), limits).map(({ path, message }) => `${path}: ${message}`);
const installationProblems = (body: object) =>
  installationExceeds(installationMembers("installation", installationBody.parse(body), null), limits).map(
    ({ path, message }) => `${path}: ${message}`,
  );

describe("within the limits", () => {
  test("is an app at all of them", () => {
    const largest = { ...app, name: "abc", events: ["a", "b"], headers: { "X-A": "12345" }, retry_schedule_s: [1] };
    expect(appProblems(largest)).toEqual([]);
    expect(appProblems({ ...app, retry_schedule_s: null })).toEqual([]);
  });

  test("is an installation at all of them", () => {
    expect(installationProblems({ ...installation, project_ids: [1, 2345], webhook_url: app.webhook_url })).toEqual([]);
  });
});

describe("beyond a limit", () => {
  test.each<[object, string]>([
    [{ name: "abcd" }, "name: found 4 characters, wanted at most 3"],
    [{ webhook_url: `${app.webhook_url}1` }, "webhook_url: found 21 characters, wanted at most 20"],
    [{ events: ["a", "b", "c"] }, "events: found 3 patterns, wanted at most 2"],
    [{ headers: { "X-A": "1", "X-B": "2" } }, "headers: found 2 headers, wanted at most 1"],
    [{ headers: { "X-A": "123456" } }, "headers.X-A: found 6 characters, wanted at most 5"],
    [{ retry_schedule_s: [1, 2] }, "retry_schedule_s: found 2 delays, wanted at most 1"],
  ])("is an app with %j", (change, problem) => {
    expect(appProblems({ ...app, ...change })).toEqual([problem]);
  });

  test.each<[object, string]>([
    [{ organization_id: 12345 }, "organization_id: found 5 characters, wanted at most 4"],
    [{ project_ids: ["1", "12345"] }, "project_ids.1: found 5 characters, wanted at most 4"],
    [{ project_ids: [1, 2, 3] }, "project_ids: found 3 projects, wanted at most 2"],
    [{ webhook_url: `${app.webhook_url}1` }, "webhook_url: found 21 characters, wanted at most 20"],
  ])("is an installation with %j", (change, problem) => {
    expect(installationProblems({ ...installation, ...change })).toEqual([problem]);
  });

  test("is reported for every one of them at once", () => {
    expect(appProblems({ ...app, name: "abcd", events: ["a", "b", "c"] })).toHaveLength(2);
  });
});
