import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { App, Installation } from "../../../src/model/app.ts";
import { type NotWantedBecause, whyNotWanted } from "../../../src/registry/match.ts";
import { createRegistryIndex } from "../../../src/registry/registry-index.ts";
import { anApp, anEvent, anInstallation, UUID } from "../../support/builders.ts";

const other = "ffffffff-5b6a-4c7d-8e9f-0a1b2c3d4e5f";

describe("an event is wanted", () => {
  test.each<[string, Partial<Parameters<typeof anEvent>[0]>, Partial<App>, Partial<Installation>, NotWantedBecause | null]>([
    ["by an app that subscribes to the type", {}, { events: ["issue.created"] }, {}, null],
    ["by an app that subscribes to the resource", {}, { events: ["issue"] }, {}, null],
    ["not by an app that subscribes to other types", {}, { events: ["issue.resolved", "comment"] }, {}, "not_subscribed"],
    ["not by an app without subscriptions", {}, { events: [] }, {}, "not_subscribed"],
    ["by the app that it names", { app: "acme" }, {}, {}, null],
    ["not by another app than it names", { app: "other" }, {}, {}, "other_app"],
    ["not by the app that it names when that has not subscribed", { app: "acme" }, { events: ["comment"] }, {}, "not_subscribed"],
    ["by the installation that it names", { installationUuid: UUID }, {}, {}, null],
    ["not by another installation than it names", { installationUuid: other }, {}, {}, "other_installation"],
    ["by an installation of its project", { projectId: "7" }, {}, { projectIds: ["6", "7"] }, null],
    ["not by an installation of other projects", { projectId: "8" }, {}, { projectIds: ["6", "7"] }, "other_project"],
    ["by an installation of all projects", { projectId: "8" }, {}, { projectIds: [] }, null],
    ["by an installation of some projects when it belongs to none", {}, {}, { projectIds: ["6"] }, null],
    [
      "without a subscription when it is about the app's installation",
      { resource: "installation", installationUuid: UUID },
      { events: [] },
      {},
      null,
    ],
    ["without a subscription when it is about the app", { resource: "installation", app: "acme" }, { events: [] }, {}, null],
    [
      "not without a subscription when it is about nobody in particular",
      { resource: "installation" },
      { events: [] },
      {},
      "not_subscribed",
    ],
    ["whatever the installation's status", {}, {}, { status: "broken" }, null],
  ])("%s", (_what, event, app, installation, why) => {
    expect(whyNotWanted(anEvent(event), anInstallation(installation), anApp(app))).toBe(why);
  });
});

describe("the index", () => {
  test("finds just what the rule says, whatever was put and removed before", () => {
    const slug = fc.constantFrom("a", "b", "c");
    const organization = fc.constantFrom("1", "2");
    const uuid = fc.integer({ min: 0, max: 5 }).map((number) => `00000000-0000-4000-8000-00000000000${number}`);
    const step = fc.oneof(
      fc.record({ put: fc.constant("app" as const), slug, events: fc.subarray(["issue", "issue.created", "comment.*", "*"]) }),
      fc.record({ put: fc.constant("installation" as const), uuid, slug, organization, projectIds: fc.subarray(["7", "8"]) }),
      fc.record({ put: fc.constant("no app" as const), slug }),
      fc.record({ put: fc.constant("no installation" as const), uuid }),
    );
    const event = fc.record({
      organizationId: organization,
      resource: fc.constantFrom("issue", "comment", "installation"),
      app: fc.option(slug),
      installationUuid: fc.option(uuid),
      projectId: fc.option(fc.constantFrom("7", "8")),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), event, (steps, members) => {
        const index = createRegistryIndex();
        const apps = new Map<string, App>();
        const installations = new Map<string, Installation>();
        for (const change of steps) {
          if (change.put === "app") {
            const app = anApp({ slug: change.slug, events: change.events });
            apps.set(app.slug, app);
            index.putApp(app);
          } else if (change.put === "installation") {
            const installation = anInstallation({
              uuid: change.uuid,
              app: change.slug,
              organizationId: change.organization,
              projectIds: change.projectIds,
            });
            installations.set(installation.uuid, installation);
            index.putInstallation(installation);
          } else if (change.put === "no app") {
            apps.delete(change.slug);
            index.removeApp(change.slug);
          } else {
            installations.delete(change.uuid);
            index.removeInstallation(change.uuid);
          }
        }
        const published = anEvent(members);
        const expected = [...installations.values()].filter((installation) => {
          const app = apps.get(installation.app);
          return (
            app !== undefined &&
            installation.organizationId === published.organizationId &&
            whyNotWanted(published, installation, app) === null
          );
        });
        expect(new Set(index.match(published))).toEqual(new Set(expected));
        expect(index.counts()).toEqual({ apps: apps.size, installations: installations.size });
      }),
      { numRuns: 500 },
    );
  });

  test("moves an installation to its new organization", () => {
    const index = createRegistryIndex();
    index.putApp(anApp());
    index.putInstallation(anInstallation({ organizationId: "1" }));
    index.putInstallation(anInstallation({ organizationId: "2" }));
    expect(index.match(anEvent({ organizationId: "1" }))).toEqual([]);
    expect(index.match(anEvent({ organizationId: "2" }))).toHaveLength(1);
  });
});
