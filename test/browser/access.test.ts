/** The dashboard with tokens, behind proxies, and while Redis, NATS or Posthorn itself are away. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  describeInBrowser,
  findings,
  type OpenOptions,
  openDashboard,
  picture,
  settled,
  startBrowser,
  textOf,
} from "../support/browser.ts";
import { eventually } from "../support/eventually.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { startProxy } from "../support/proxy.ts";

const ADMIN = "admin-token-12345";
const READ = "read-token-123456";

describeInBrowser("the dashboard", () => {
  let platform: Platform;
  let browser: Browser;

  async function start(): Promise<Platform> {
    const started = await startPlatform({ POSTHORN_API_TOKENS: `admin:${ADMIN},read:${READ}` }, { authorization: `Bearer ${ADMIN}` });
    await started.register("pager", "ok", { name: "Pager Relay" });
    await started.register("discourse", "refuses", { name: "Discourse Bridge" });
    await started.deliver("pager", "issue.created", 1);
    await started.deliver("discourse", "issue.created", 1);
    return started;
  }

  beforeAll(async () => {
    [platform, browser] = await Promise.all([start(), startBrowser()]);
  });
  afterAll(async () => {
    await browser.close();
    await platform.stop();
  });

  const open = (hash: string, options: OpenOptions = {}, base = `${platform.posthorn.url}/`) =>
    openDashboard(browser, base, hash, { token: ADMIN, ...options });

  test("asks for a token, refuses a wrong one, and forgets it at a sign-out", async () => {
    const { page, close } = await openDashboard(browser, `${platform.posthorn.url}/`, "#/apps/pager", { expected: /status of 401/ });
    await page.getByLabel("API token").waitFor();
    expect(await findings(page)).toEqual([]);
    await picture(page, "sign-in");
    await page.getByLabel("API token").fill("not-it");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("This token or link is unknown or has expired.").waitFor();
    await page.getByLabel("API token").fill(ADMIN);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "Pager Relay" }).waitFor();
    expect(await page.evaluate(() => [sessionStorage.length, localStorage.length, document.cookie])).toEqual([1, 0, ""]);
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("API token").waitFor();
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
    await close();
  });

  test("offers no actions to a token that may only read", async () => {
    const { page, goto, close } = await open("#/apps/pager", { token: READ });
    await page.getByText("Read only").waitFor();
    await page.locator(".installations tbody tr").waitFor();
    const actions = ["Send test event", "Enable", "Disable", "Rotate secret", "Save", "Resend", /^Replay/];
    const offered = async (): Promise<number[]> => {
      await settled(page);
      return Promise.all(actions.map((name) => page.getByRole("button", { name }).count()));
    };
    expect(await offered()).toEqual([0, 0, 0, 0, 0, 0, 0].map((none, at) => (at === 2 ? 1 : none)));
    expect(await page.locator(".installations").getByRole("button").count()).toBe(0);
    await goto("#/apps/discourse/dead-letters");
    await page.locator("tbody .row-link").click();
    await page.getByRole("dialog").waitFor();
    await goto("#/apps/discourse/requests");
    await page.locator("tbody .row-link").click();
    await page.getByRole("dialog").waitFor();
    await goto("#/apps/pager/settings");
    await page.getByText("Your token can view the settings, but not change them.").waitFor();
    await expect.poll(() => page.getByLabel("Name", { exact: true }).isDisabled()).toBe(true);
    expect(await offered()).toEqual([0, 0, 0, 0, 0, 0, 0]);
    await close();
  });

  test("opens an app's own page for its token, and offers nothing that the API refuses it", async () => {
    await platform.register("refused", "refuses", { name: "Refused" }, ["northwind", "contoso"]);
    await platform.deliver("refused", "issue.created", 2);
    await eventually(async () => (await platform.call("GET", "/v1/dead-letters?app=refused")).items.length === 2);
    const { token } = await platform.call("POST", "/v1/apps/refused/tokens");
    // A call that is refused is a line of the browser's log: `close` fails of it.
    const { page, goto, close } = await open("#/", { token });
    const main = page.getByRole("main");
    const offered = async (): Promise<string[]> => {
      await settled(page);
      return main.getByRole("button").allInnerTexts();
    };
    const refused = /Enable|Disable|Discard|Rotate|Save/;

    await page.getByRole("heading", { level: 1, name: "Refused" }).waitFor();
    await page.getByText(/^One app, no settings until /).waitFor();
    await expect
      .poll(() => page.getByRole("navigation", { name: "Main" }).getByRole("link").allInnerTexts())
      .toEqual(["App", "Deliveries"]);
    await expect
      .poll(() => main.getByRole("navigation").getByRole("link").allInnerTexts())
      .toEqual(["Overview", "Requests", expect.stringMatching(/^Dead letters/), "Timeline", "Settings"]);
    await eventually(async () => (await page.locator(".installations tbody tr").count()) === 2);
    await page.locator(".legend").first().waitFor();
    expect((await offered()).filter((text) => refused.test(text))).toEqual(["Disabled 0"]);
    expect(await page.locator(".installations").getByRole("button").count()).toBe(0);
    expect(await findings(page)).toEqual([]);
    await picture(page, "app-token");

    await page.getByRole("button", { name: "Send test event" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Send", exact: true }).click();
    await page.getByRole("region", { name: "Result" }).getByText("422 Rejected").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });

    // Its row is written after its answer, and the list doesn't change by itself.
    await eventually(async () => (await platform.call("GET", "/v1/apps/refused/webhook-requests")).items.length === 3);
    await page.getByRole("link", { name: "Requests" }).click();
    await eventually(async () => (await page.locator("tbody .row-link").count()) === 3);
    await page.locator("tbody .row-link", { hasText: "issue.created" }).first().click();
    await page.getByRole("dialog").getByRole("heading", { name: "Attempts of this delivery" }).waitFor();
    await page.getByRole("dialog").locator(".attempts li").waitFor();
    await page.getByRole("region", { name: "Delivery state" }).getByText("Dead letter").waitFor();
    expect((await offered()).filter((text) => refused.test(text))).toEqual([]);
    expect(await findings(page)).toEqual([]);

    await page.getByRole("dialog").getByRole("link", { name: /^dlv_/ }).click();
    await page.getByRole("region", { name: "Delivery to refused" }).getByRole("button", { name: "Replay" }).waitFor();
    expect(await page.getByRole("button", { name: "Resend" }).count()).toBe(0);
    expect(await findings(page)).toEqual([]);

    await goto("#/apps/refused/dead-letters");
    await eventually(async () => (await page.locator("tbody .row-link").count()) === 2);
    await page.locator("tbody .row-link").first().click();
    await page.getByRole("dialog").getByRole("region", { name: "Event data" }).getByText('"n"').waitFor();
    expect(await findings(page)).toEqual([]);
    await page.getByRole("dialog").getByRole("button", { name: "Replay" }).click();
    await page.getByText("Replayed.", { exact: true }).waitFor();
    await eventually(async () => (await page.locator("tbody .row-link").count()) >= 1);
    await page.getByRole("button", { name: "Replay all" }).click();
    await page
      .getByRole("dialog")
      .getByText(/dead letters? match/)
      .waitFor();
    await page
      .getByRole("dialog")
      .getByRole("button", { name: /^Replay \d/ })
      .click();
    await page
      .getByRole("dialog")
      .getByText(/^Done: /)
      .waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });

    await goto("#/apps/refused/settings");
    await page.getByText("Your token can view the settings, but not change them.").waitFor();
    await page.getByLabel("Name", { exact: true }).waitFor();
    expect((await offered()).filter((text) => refused.test(text))).toEqual([]);
    expect(await findings(page)).toEqual([]);

    await goto("#/apps/refused/timeline");
    await page
      .getByText(/No status changes|Exhausted|Rejected/i)
      .first()
      .waitFor();
    for (const elsewhere of ["#/apps/pager", "#/dead-letters", "#/timeline"]) {
      await goto(elsewhere);
      await page.getByText("Your token covers only refused.").waitFor();
    }
    expect(await findings(page)).toEqual([]);
    await page.getByRole("link", { name: "Open its page" }).click();
    await page.getByRole("heading", { level: 1, name: "Refused" }).waitFor();
    const { items } = await platform.call("GET", "/v1/apps/refused/installations");
    await goto(`#/installations/${items[1].uuid}`);
    await page.locator(".installations tbody tr.named", { hasText: items[1].organization_id }).waitFor();
    await close();
  });

  test("signs in by a portal link, which offers what its scope covers and leaves no token in the address", async () => {
    await platform.register("portal", "ok", { name: "Portal App" });
    const { url } = await platform.call("POST", "/v1/portal-links", { app: "portal", scope: "manage", expires_in: "1h" });
    const { hash } = new URL(url as string);
    const { page, goto, close } = await openDashboard(browser, `${platform.posthorn.url}/`, hash, {});
    await page.getByRole("heading", { level: 1, name: "Portal App" }).waitFor();
    expect(page.url()).not.toContain("token");
    await goto("#/apps/portal/settings");
    await page.getByText("Your token can change the webhook URL").waitFor();
    await expect.poll(() => page.getByLabel("Name", { exact: true }).isDisabled()).toBe(true);
    await page.getByRole("button", { name: "Remove *" }).click();
    await page.getByLabel("Event types").fill("issue");
    await page.getByRole("button", { name: "Add header" }).click();
    await page.getByLabel("Header name").fill("X-Team");
    await page.getByLabel("Header value").fill("blue");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved.").waitFor();
    const saved = await platform.call("GET", "/v1/apps/portal");
    await goto("#/apps/portal/timeline?show=changes");
    await page.locator(".timeline li", { hasText: "by app portal" }).getByText('after: {"events":["issue"]').waitFor();
    expect([saved.events, saved.headers, saved.name]).toEqual([["issue"], { "X-Team": "[redacted]" }, "Portal App"]);
    expect(await findings(page)).toEqual([]);
    await close();
  });

  test("works under a path of its own, with everything it loads and calls", async () => {
    const proxy = await startProxy(platform.posthorn.url, { path: "/ops/posthorn/" });
    const { page, goto, close } = await open("#/", {}, proxy.url);
    await page.getByText("Live", { exact: true }).waitFor();
    await page.getByRole("link", { name: "Pager Relay" }).click();
    await page.locator(".legend").first().waitFor();
    await goto("#/apps/pager/requests");
    await page.locator("tbody .row-link").waitFor();
    await goto("#/timeline");
    await page.getByRole("heading", { name: "Timeline" }).waitFor();
    expect(await page.evaluate(() => document.fonts.check("14px Inter"))).toBe(true);
    await close();
    await proxy.stop();
  });

  test.concurrent("says so while NATS is down", async ({ onTestFinished }) => {
    const own = await start();
    onTestFinished(own.stop);
    const { page, goto, close } = await open("#/", { expected: /status of 50\d/ }, `${own.posthorn.url}/`);
    await page.getByText("Live", { exact: true }).waitFor();
    await own.nats.kill();
    await page
      .getByRole("alert")
      .getByText(/NATS is unreachable: nothing is delivered/)
      .waitFor();
    const row = page.locator("tbody tr", { hasText: "Discourse Bridge" });
    await eventually(async () => (await textOf(row.locator("td").last())) === "?");
    await goto("#/dead-letters");
    await page.getByRole("alert").getByText("The dead letters could not be loaded.").waitFor();
    expect(await page.getByText("There are no dead letters.").count()).toBe(0);
    await goto("#/apps/pager/timeline");
    await page.getByRole("alert").getByText("The timeline could not be loaded.").waitFor();
    expect(await page.getByText("No status changes").count()).toBe(0);
    await own.nats.restart();
    await page.getByText("NATS is unreachable").waitFor({ state: "detached" });
    // By itself, because events may have been missed.
    await page.getByText("No status changes in the last 30 days.").waitFor();
    await close();
  });

  test.concurrent("says what is unknown while Redis is down, and that it is not nothing", async ({ onTestFinished }) => {
    const own = await start();
    onTestFinished(own.stop);
    const { page, goto, close } = await open("#/", { expected: /status of 503/ }, `${own.posthorn.url}/`);
    await page.getByText("Live", { exact: true }).waitFor();
    await own.redisServer.kill();
    await page
      .getByRole("alert")
      .getByText(/Redis is unreachable: attempts, rates and the request log are unavailable/)
      .waitFor();
    const row = page.locator("tbody tr", { hasText: "Pager Relay" });
    await eventually(async () => /Unknown\s+\?\s+\?/.test(await textOf(row)));
    expect(await findings(page)).toEqual([]);
    await picture(page, "redis-away");
    await goto("#/apps/pager");
    await page.getByRole("alert").getByText("The stats could not be loaded.").waitFor();
    expect(await page.getByText("No attempts").count()).toBe(0);
    await goto("#/apps/pager/requests");
    await page.getByRole("alert").getByText("The request log could not be loaded.").waitFor();
    expect(await page.getByText(/No requests|No matching attempts/).count()).toBe(0);
    await own.redisServer.restart();
    await page.getByText("Redis is unreachable").waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator("tbody .row-link").waitFor();
    await close();
  });

  test.concurrent("asks again and again where a proxy holds back what is pushed, until it does so no longer", async () => {
    const proxy = await startProxy(platform.posthorn.url, { path: "/", collects: true });
    const { page, goto, close } = await open("#/", {}, proxy.url);
    await page.evaluate(() => {
      const later = setTimeout;
      globalThis.setTimeout = ((run: () => void, ms: number) => later(run, ms === 5_000 ? 50 : ms)) as typeof setTimeout;
    });
    await page.getByText("Every 5 s").waitFor();
    await page.getByRole("link", { name: "Pager Relay" }).waitFor();
    const [uuid] = await platform.register("later", "ok", { name: "Later" });
    await page.getByRole("link", { name: "Later" }).waitFor();
    await goto("#/apps/later");
    await page.getByRole("button", { name: "Disable", exact: true }).waitFor();
    await platform.call("POST", `/v1/installations/${uuid}/disable`);
    await page.getByRole("button", { name: "Enable", exact: true }).waitFor();
    await goto("#/apps/later/timeline");
    await page.getByText("Integration disabled").waitFor();
    await platform.call("POST", `/v1/installations/${uuid}/enable`);
    await page.getByText("Integration enabled").waitFor();
    proxy.passOn();
    await page.evaluate(() => {
      const now = Date.now;
      Date.now = () => now() + 60_000;
    });
    await page.getByText("Live", { exact: true }).waitFor();
    await close();
    await proxy.stop();
  });

  test.concurrent("says that it may be old when Posthorn itself does not answer, and continues when it does", async () => {
    const proxy = await startProxy(platform.posthorn.url, { path: "/" });
    const { page, close } = await open("#/", { expected: /net::ERR|Failed to load/ }, proxy.url);
    await page.getByText("Live", { exact: true }).waitFor();
    await proxy.stop();
    await page
      .getByRole("alert")
      .getByText(/This page may be out of date: .*Reconnecting/)
      .waitFor();
    await page.getByText("Not connected").waitFor();
    await eventually(async () => (await page.getByRole("link", { name: "Pager Relay" }).count()) === 1);
    await close();
  });

  test("shows an organization its installations, by a link that is made on its page", async () => {
    await platform.register("tenant-a", "ok", { name: "Tenant A" }, ["acme-inc"]);
    await platform.register("tenant-b", "ok", { name: "Tenant B" }, ["other-inc"]);
    const admin = await open("#/apps/tenant-a");
    await admin.page.getByRole("link", { name: "acme-inc" }).click();
    await admin.page.getByRole("link", { name: "tenant-a" }).waitFor();
    await admin.page.getByRole("button", { name: "Create link" }).click();
    const dialog = admin.page.getByRole("dialog");
    await dialog.getByLabel("Its holder may").selectOption({ label: "Also enable, disable and change installations" });
    expect(await findings(admin.page)).toEqual([]);
    await dialog.getByRole("button", { name: "Create" }).click();
    const url = await textOf(dialog.locator(".secret .mono"));
    await admin.close();
    const { page, close } = await openDashboard(browser, `${platform.posthorn.url}/`, new URL(url).hash, {});
    await page.getByRole("heading", { level: 1, name: "Organization acme-inc" }).waitFor();
    await page.locator("tbody tr", { hasText: "tenant-a" }).waitFor();
    await expect.poll(() => page.locator("tbody tr").count()).toBe(1);
    await page.getByRole("button", { name: "Disable" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Disable" }).click();
    await page.locator("tbody tr", { hasText: "Disabled" }).waitFor();
    expect(await findings(page)).toEqual([]);
    await close();
  });
});
