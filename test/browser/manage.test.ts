/** Apps and installations created, changed and deleted in a browser, and who is offered that. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeInBrowser, findings, type OpenOptions, openDashboard, startBrowser, textOf } from "../support/browser.ts";
import { eventually } from "../support/eventually.ts";
import { type Platform, startPlatform } from "../support/platform.ts";

const ADMIN = "admin-token-12345";
const READ = "read-token-123456";

describeInBrowser("apps are managed", () => {
  let platform: Platform;
  let browser: Browser;

  beforeAll(async () => {
    [platform, browser] = await Promise.all([
      startPlatform({ POSTHORN_API_TOKENS: `admin:${ADMIN},read:${READ}` }, { authorization: `Bearer ${ADMIN}` }),
      startBrowser(),
    ]);
    for (const [type, events] of [
      ["issue.created", 5],
      ["issue.resolved", 2],
      ["metric_alert.critical", 1],
    ] as const)
      for (let n = 0; n < events; n++) await platform.bus.publish(type, { organization_id: "elsewhere", data: {} });
  });
  afterAll(async () => {
    await browser.close();
    await platform.stop();
  });

  const open = (hash: string, options: OpenOptions = {}) =>
    openDashboard(browser, `${platform.posthorn.url}/`, hash, { token: ADMIN, ...options });
  const problems = async (page: Page): Promise<string[]> => page.locator(".field-problem").allInnerTexts();

  test("an app is created with its installations, its problems shown at their fields, and its secret shown once", async () => {
    const { page, close } = await open("#/", { expected: /status of (400|412)/ });
    await page.getByRole("link", { name: "Create an app" }).click();
    await page.getByRole("heading", { level: 1, name: "New app" }).waitFor();
    await page.getByRole("button", { name: "Create app" }).click();
    await eventually(async () => (await problems(page)).join() === "Fill this in.,Fill this in.,Fill this in.");

    await page.getByLabel("Name", { exact: true }).fill("Zürich Relay");
    await expect.poll(() => page.getByLabel("Slug").inputValue()).toBe("zurich-relay");
    await page.getByLabel("Slug").fill("zurich");
    await page.getByLabel("Name", { exact: true }).fill("Zürich Relay 2");
    await expect.poll(() => page.getByLabel("Slug").inputValue()).toBe("zurich");
    await page.getByLabel("Webhook URL").fill("ftp://hooks.example.com");
    await page.getByLabel("Event types").fill("Not one");
    await page.keyboard.press("Enter");
    await page.getByText("Status, headers, retries, limits and order").click();
    await page.getByLabel("Timeout").fill("ten");
    await page.getByLabel("Retries on").fill("404, 200");
    await page.getByRole("button", { name: "Create app" }).click();
    await eventually(async () => (await problems(page)).join() === "“ten” is no duration: enter one such as 500ms, 5s or 2m.");
    await page.getByLabel("Timeout").fill("10s");
    // A problem within what is folded away unfolds it.
    await page.getByText("Status, headers, retries, limits and order").click();
    await page.getByRole("button", { name: "Create app" }).click();
    await eventually(async () => {
      const found = await problems(page);
      // It has no text while it is folded away.
      return found.length === 2 && !found.includes("");
    });
    expect(await problems(page)).toEqual([
      expect.stringMatching(/^“Not” can’t be used: enter \*, <resource>/),
      expect.stringMatching(/^“200” can’t be used: enter a status code from 300 to 599/),
    ]);
    expect(await page.getByLabel("Event types").evaluate((input) => input === document.activeElement)).toBe(true);
    expect(await findings(page)).toEqual([]);
    await page.getByLabel("Retries on").fill("404, 5xx");
    for (const wrong of ["Not", "one"]) await page.getByRole("button", { name: `Remove ${wrong}` }).click();
    await page.getByRole("button", { name: "Create app" }).click();
    await eventually(async () => (await problems(page)).join().startsWith("This can’t be used: scheme ftp: is not"));
    await page.getByLabel("Webhook URL").fill(`${platform.receiver.url}/ok`);

    // Published types are offered, and a typed one counts without Enter.
    const offered = page.locator(".published .check");
    await expect
      .poll(() => textOf(page.locator(".published")))
      .toMatch(/Published in the last day\s+issue\s*all actions\s*7\s+issue\.created\s*5\s+issue\.resolved\s*2/);
    await offered.filter({ hasText: "issue.created" }).click();
    await page.getByLabel("Event types").fill("alert");
    await expect.poll(() => offered.count()).toBe(2);
    await page.getByLabel("Event types").fill("comment.*");
    await page.getByLabel("Install in organizations").fill("northwind, contoso");
    await page.getByRole("button", { name: "Create app" }).click();
    const dialog = page.getByRole("dialog", { name: "Zürich Relay 2 is created" });
    await dialog.waitFor();
    await expect.poll(() => textOf(dialog.locator(".secret .mono").first())).toMatch(/^[0-9a-f]{64}$/);
    expect(await findings(page)).toEqual([]);
    await dialog.getByRole("button", { name: "I have copied it" }).click();
    await page.getByRole("heading", { level: 1, name: "Zürich Relay 2" }).waitFor();
    await eventually(async () => (await page.locator(".installations tbody tr").count()) === 2);
    expect(await platform.call("GET", "/v1/apps/zurich")).toMatchObject({
      ...{ name: "Zürich Relay 2", status: "unpublished", events: ["issue.created", "comment.*"], timeout_ms: 10_000 },
      ...{ retry_on: ["404", "5xx"], retry_schedule_s: null, rate_limit: null, order_by: "none" },
    });

    await page.goto(`${platform.posthorn.url}/#/new-app`);
    await page.getByLabel("Slug").fill("zurich");
    await page.getByLabel("Webhook URL").fill(`${platform.receiver.url}/ok`);
    await page.getByLabel("Name", { exact: true }).fill("Another");
    await page.getByRole("button", { name: "Create app" }).click();
    await page.getByText("There is an app zurich already.").waitFor();
    expect((await platform.call("GET", "/v1/apps/zurich")).name).toBe("Zürich Relay 2");
    await close();
  });

  test("event types are chosen from what is published, with wildcards, and cover one another", async () => {
    await platform.register("chooser", "ok", { events: ["issue.created"] });
    const { page, close } = await open("#/apps/chooser/settings");
    const box = (name: string) =>
      page
        .locator(".published .check")
        .filter({ has: page.getByText(name, { exact: true }) })
        .getByRole("checkbox");
    await box("issue.created").waitFor();
    expect([await box("issue.created").isChecked(), await box("issue").isChecked()]).toEqual([true, false]);
    await box("issue.created").uncheck();
    await box("issue").check();
    expect([await box("issue.resolved").isChecked(), await box("issue.resolved").isDisabled()]).toEqual([true, true]);
    await page.getByLabel("Event types").fill("error.*,");
    await page.keyboard.press("Enter");
    await expect.poll(() => page.locator(".chip").allInnerTexts()).toEqual(["issue", "error.*"]);
    expect(await findings(page)).toEqual([]);
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved.").waitFor();
    expect((await platform.call("GET", "/v1/apps/chooser")).events).toEqual(["issue", "error.*"]);
    await close();
  });

  test("headers are added, replaced and removed, and their values are never shown", async () => {
    await platform.register("headed", "ok", { headers: { "X-Kept": "a", "X-Replaced": "b", "X-Gone": "c" } });
    const { page, close } = await open("#/apps/headed/settings", { expected: /status of 400/ });
    await page.getByRole("button", { name: "Remove header X-Gone" }).click();
    await page.getByLabel("Value of X-Replaced").fill("new");
    await page.getByRole("button", { name: "Add header" }).click();
    await page.getByLabel("Header name").last().fill("Bad name");
    await page.getByLabel("Header value").fill("x");
    await page.getByRole("button", { name: "Save" }).click();
    await eventually(async () => (await problems(page)).join() === "Bad name: enter a header name.");
    await page.getByLabel("Header name").last().fill("X-Added");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved.").waitFor();
    await platform.deliver("headed", "issue.created", 1);
    const { headers } = platform.receiver.requests.at(-1) ?? {};
    expect(headers).toMatchObject({ "x-kept": "a", "x-replaced": "new", "x-added": "x" });
    expect(headers).not.toHaveProperty("x-gone");
    await close();
  });

  test("an app is installed, its installation changed and removed, with what goes with it", async () => {
    await platform.register("placed", "gone", { name: "Placed" }, ["northwind"]);
    await platform.deliver("placed", "issue.created", 1);
    await eventually(async () => (await platform.call("GET", "/v1/apps/placed/installations")).items[0].status === "broken");
    await platform.bus.publish("issue.created", { organization_id: "northwind", app: "placed", data: {} });
    await eventually(async () => (await platform.call("GET", "/v1/apps/placed/installations")).items[0].parked === 1);
    const { page, close } = await open("#/apps/placed", { expected: /status of (400|409)/ });
    const rowOf = (organization: string) => page.locator(".installations tbody tr", { hasText: organization });
    const dialog = page.getByRole("dialog");
    await rowOf("northwind").waitFor();
    await page.getByRole("button", { name: "Install", exact: true }).click();
    await dialog.getByRole("button", { name: "Install" }).click();
    await dialog.getByText("Fill this in.").waitFor();
    await dialog.getByLabel("Organization").fill("northwind");
    await dialog.getByRole("button", { name: "Install" }).click();
    await dialog.getByText("The app is installed in this organization already.").waitFor();
    expect(await findings(page)).toEqual([]);
    await dialog.getByLabel("Organization").fill("42");
    await dialog.getByLabel("Projects").fill("7, 8");
    await dialog.getByLabel("Webhook URL").fill("http://10.0.0.1/in");
    await dialog.getByRole("button", { name: "Install" }).click();
    await dialog.getByText("This can’t be used: 10.0.0.1 is not a public address").waitFor();
    await dialog.getByLabel("Webhook URL").fill(`${platform.receiver.url}/ok`);
    await dialog.getByRole("button", { name: "Install" }).click();
    await page.getByText("Installed in organization 42.").waitFor();
    await rowOf("projects 7, 8").waitFor();

    await rowOf("projects 7, 8").getByRole("button", { name: "Edit" }).click();
    await dialog.getByLabel("Projects").fill("");
    await dialog.getByLabel("Webhook URL").fill("");
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved.").waitFor();
    const { items } = await platform.call("GET", "/v1/installations?app=placed&organization_id=42");
    expect(items).toMatchObject([{ organization_id: "42", project_ids: [], webhook_url: null }]);

    await eventually(async () => {
      await page.reload();
      await rowOf("northwind").getByRole("button", { name: "Edit" }).click();
      await dialog.getByRole("button", { name: "Uninstall" }).click();
      return (await textOf(dialog)).includes("1 parked delivery goes to dead letters");
    });
    expect(await findings(page)).toEqual([]);
    await dialog.getByRole("button", { name: "Uninstall" }).click();
    await page.getByText("Uninstalled: placed in organization northwind.").waitFor();
    await rowOf("northwind").waitFor({ state: "detached" });
    await close();
  });

  test("an app is deleted after its slug was typed, and the dialog names what goes", async () => {
    await platform.register("doomed", "ok", { name: "Doomed" }, ["northwind", "contoso"]);
    const { page, close } = await open("#/apps/doomed/settings");
    await page.getByRole("button", { name: "Delete app" }).click();
    const dialog = page.getByRole("dialog", { name: "Delete Doomed?" });
    await dialog.getByText("The app, its settings and its 2 installations are removed.").waitFor();
    expect(await findings(page)).toEqual([]);
    await dialog.getByLabel("Type doomed to confirm").fill("Doomed");
    await dialog.getByRole("button", { name: "Delete" }).click();
    await dialog.getByText("Enter doomed to delete this app.").waitFor();
    expect((await platform.call("GET", "/v1/apps/doomed")).slug).toBe("doomed");
    await dialog.getByLabel("Type doomed to confirm").fill("doomed");
    await page.keyboard.press("Enter");
    await page.getByText("Deleted: Doomed.").waitFor();
    await page.getByRole("heading", { level: 1, name: "Apps" }).waitFor();
    await page.getByRole("link", { name: "Doomed" }).waitFor({ state: "detached" });
    expect(
      (await platform.call("GET", "/v1/installations?organization_id=contoso")).items.map(({ app }: { app: string }) => app),
    ).not.toContain("doomed");
    await close();
  });

  test("a link for the app's developer is made, and opens the app's page alone", async () => {
    await platform.register("shared", "ok", { name: "Shared" });
    const { page, close } = await open("#/apps/shared/settings", { expected: /status of 400/ });
    await page.getByRole("button", { name: "Create link" }).click();
    const dialog = page.getByRole("dialog", { name: "Create a link" });
    await dialog.getByLabel("Valid for").fill("a while");
    await dialog.getByRole("button", { name: "Create" }).click();
    await dialog.getByText(/^Enter seconds, or a duration such as 30m, 8h or 7d\.$/).waitFor();
    await dialog.getByLabel("Valid for").fill("30m");
    await dialog.getByLabel("Its holder may").selectOption("manage");
    await dialog.getByLabel("Name of the holder").fill("Robin");
    await dialog.getByRole("button", { name: "Create" }).click();
    await dialog.getByText("It is shown only now").waitFor();
    expect(await findings(page)).toEqual([]);
    const url = await textOf(dialog.locator(".secret .mono"));
    await close();

    const own = await openDashboard(browser, `${platform.posthorn.url}/`, new URL(url).hash, { expected: /status of 401/ });
    await own.page.getByRole("heading", { level: 1, name: "Shared" }).waitFor();
    await own.goto("#/apps/shared/settings");
    await own.page.getByRole("button", { name: "Rotate secret" }).click();
    await own.page.getByRole("dialog").getByRole("button", { name: "Rotate" }).click();
    const secret = own.page.getByRole("dialog", { name: "New secret" });
    await secret.waitFor();
    await expect.poll(() => textOf(secret.locator(".secret .mono").first())).toMatch(/^[0-9a-f]{64}$/);
    // The link ended with the old secret.
    await secret.getByRole("button", { name: "I have copied it" }).click();
    await own.page.getByLabel("API token").waitFor();
    await own.close();
  });
});
