import { expect, test } from "vitest";
import { whyAbsent } from "../../../src/explain/absent-app.ts";
import { createRegistryIndex } from "../../../src/registry/registry-index.ts";
import { anApp, anEvent, anInstallation } from "../../support/builders.ts";

const index = createRegistryIndex();
index.putApp(anApp({ slug: "acme" }));
index.putApp(anApp({ slug: "pager" }));
index.putInstallation(anInstallation({ app: "acme", organizationId: "7" }));

test.each([
  ["acme", "not_installed", "app acme is not installed in organization 42; it is installed once elsewhere"],
  ["pager", "not_installed", "app pager is not installed in organization 42, nor anywhere else"],
  ["pagre", "no_app", "no app pagre (did you mean pager?)"],
  ["somewhere-else", "no_app", "no app somewhere-else"],
])("%s: %s", (app, because, detail) => {
  expect(whyAbsent(app, anEvent({ organizationId: "42" }), index)).toEqual({ app, installation_uuid: null, because, detail });
});
