/** The list of apps in a browser: nothing, something, and a thousand. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeInBrowser, emptyIdleTabs, findings, openDashboard, pictures, startBrowser, textOf } from "../support/browser.ts";
import { eventually } from "../support/eventually.ts";
import { type Platform, startPlatform } from "../support/platform.ts";

describeInBrowser("the apps", () => {
  let platform: Platform;
  let browser: Browser;
  let base: string;

  beforeAll(async () => {
    [platform, browser] = await Promise.all([startPlatform(), startBrowser()]);
    base = `${platform.posthorn.url}/`;
  });
  afterAll(async () => {
    await browser.close();
    await platform.stop();
  });

  const open = (hash = "#/", options = {}) => openDashboard(browser, base, hash, options);
  const names = async (page: Awaited<ReturnType<typeof open>>["page"]) => page.locator("tbody .row-link").allInnerTexts();

  test("that are not there yet are said to be none, with how to begin", async () => {
    const { page, close } = await open();
    await page.getByText("There are no apps yet.").waitFor();
    await expect.poll(() => textOf(page.locator("pre"))).toContain(`export POSTHORN_URL=${platform.posthorn.url}\n`);
    expect(await findings(page)).toEqual([]);
    await close();
  });

  test("are shown with their condition, their numbers and what waits for them, those in trouble first", async () => {
    const { register, deliver, call } = platform;
    await emptyIdleTabs(browser);
    await register("linear-sync", "ok", { name: "Linear Sync" }, ["northwind", "contoso"]);
    await register("pager", "ok", { name: "Pager Relay" });
    await register("old-crm", "gone", { name: "Old CRM" }, ["northwind", "contoso"]);
    await register("discourse", "refuses", { name: "Discourse Bridge" });
    await register("ledger", "down", { name: "Ledger" });
    const [archived] = await register("archive", "ok", { name: "Archive" });
    await register("quiet", "ok", { name: "Quiet" }, []);
    await call("POST", `/v1/installations/${archived}/disable`);
    const wave = (hoursAgo: number, most: number): number => Math.round(most * (0.6 + 0.4 * Math.sin(hoursAgo / 3.8)));
    await platform.writePast([
      { app: "linear-sync", days: 2, medianMs: 40, outcomes: (ago) => ({ delivered: wave(ago, 800) }) },
      {
        app: "pager",
        days: 2,
        medianMs: 150,
        outcomes: (ago) => ({ delivered: wave(ago, 300), failed: ago > 3 && ago < 9 ? 150 : 4, timed_out: ago > 4 && ago < 7 ? 60 : 0 }),
      },
      { app: "ledger", days: 2, medianMs: 90, outcomes: (ago) => (ago < 2 ? { failed: 90 } : { delivered: wave(ago, 200) }) },
      { app: "old-crm", days: 2, medianMs: 400, outcomes: (ago) => (ago > 3 ? { delivered: wave(ago, 30) } : {}) },
      { app: "discourse", days: 2, medianMs: 210, outcomes: (ago) => ({ delivered: wave(ago, 60) }) },
    ]);
    await deliver("old-crm", "issue.created", 1);
    await deliver("discourse", "issue.created", 3);
    await deliver("ledger", "issue.created", 20);
    await platform.bus.publish("issue.created", { organization_id: "northwind", app: "archive", data: {} });
    await platform.bus.connection.jetstream().publish(`${platform.posthorn.prefix}.events.issue.created`, "this is no JSON");
    await eventually(async () => (await call("GET", "/v1/overview")).unreadable === 1);

    const { page, close } = await open();
    const conditions = async () => {
      const found = await page.locator("tbody td.wide .pill").allInnerTexts();
      return (await names(page)).map((name, at) => `${name}: ${found[at]}`);
    };
    await expect.poll(conditions).toEqual([
      "Ledger: Failing",
      "Old CRM: 1 of 2 broken",
      "Archive: Disabled",
      "Quiet: Not installed",
      "Discourse Bridge: Healthy",
      "Linear Sync: Healthy",
      // Its bad hours are over.
      "Pager Relay: Healthy",
    ]);
    await expect.poll(() => textOf(page.locator("tbody tr", { hasText: "Archive" }).locator("td").nth(4))).toBe("1");
    const discourse = page.locator("tbody tr", { hasText: "Discourse Bridge" });
    await expect.poll(() => textOf(discourse.locator("td").last())).toBe("3");
    await expect.poll(() => textOf(page.locator(".metrics"))).toMatch(/Need attention\s+2/);
    const badge = page.getByRole("link", { name: /^Dead letters/ }).locator(".badge");
    await eventually(async () => new RegExp(`Dead letters\\s+${await textOf(badge)}$`).test(await textOf(page.locator(".metrics"))));
    await expect.poll(() => page.locator(".spark").count()).toBe(14);
    expect(await findings(page)).toEqual([]);
    await pictures(page, "apps");
    await close();
  });

  test.each([
    ["dark", 1280],
    ["light", 390],
    ["dark", 390],
  ] as const)("are legible and usable in %s at a width of %d", async (scheme, width) => {
    const { page, close } = await open("#/", { scheme, width });
    await page.getByRole("link", { name: "Ledger" }).waitFor();
    expect(await findings(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
    await close();
  });

  test("are sorted by any column, searched and narrowed to those in trouble, all in the address", async () => {
    const { page, goto, close } = await open();
    await page.getByRole("button", { name: "Attempts, 24 h" }).click();
    await eventually(async () => (await names(page))[0] === "Linear Sync");
    await expect.poll(() => page.getByRole("columnheader", { name: "Attempts, 24 h" }).getAttribute("aria-sort")).toBe("descending");
    await page.getByRole("button", { name: "Attempts, 24 h" }).click();
    await eventually(async () => (await names(page)).at(-1) === "Linear Sync");
    await page.getByRole("button", { name: /^App/ }).click();
    await eventually(async () => (await names(page))[0] === "Archive");

    await page.getByRole("button", { name: /Need attention/ }).click();
    await eventually(async () => (await names(page)).join() === "Ledger,Old CRM");
    await page.getByRole("searchbox", { name: "Search apps" }).fill("CRM");
    await eventually(async () => (await names(page)).join() === "Old CRM");
    await eventually(() => page.url().includes("sort=name&show=attention&q=CRM"));
    await page.reload();
    await eventually(async () => (await names(page)).join() === "Old CRM");
    await page.getByRole("searchbox", { name: "Search apps" }).fill("nothing like it");
    await page.getByText("No app matches “nothing like it”.").waitFor();
    await page.getByRole("button", { name: "Show all apps" }).click();
    await eventually(async () => (await names(page)).length === 7);
    await goto("#/nowhere");
    await page.getByText("Page not found.").waitFor();
    await close();
  });

  test("can be gone through with the keyboard alone", async () => {
    const { page, close } = await open("#/", { isLoaded: true });
    await page.getByRole("link", { name: "Ledger" }).waitFor();
    await page.keyboard.press("Tab");
    await eventually(() => page.evaluate(() => document.activeElement?.textContent === "Skip to content"));
    await page.keyboard.press("/");
    await eventually(() => page.getByRole("searchbox", { name: "Search apps" }).evaluate((box) => document.activeElement === box));
    await page.keyboard.type("linear");
    await eventually(async () => (await names(page)).length === 1);
    await page.getByRole("link", { name: "Linear Sync" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "Linear Sync" }).waitFor();
    await eventually(() => page.evaluate(() => document.activeElement?.tagName === "H1"));
    await eventually(async () => (await page.title()) === "Linear Sync · Posthorn");
    await page.goBack();
    await page.getByRole("heading", { level: 1, name: "Apps" }).waitFor();
    await close();
  });

  test("take the key of the search as soon as its box is there", async () => {
    const { page, goto, close } = await open("#/timeline");
    await page.evaluate(() => {
      new MutationObserver((_, observer) => {
        const box = document.querySelector("main input[type=search]");
        if (box === null) return;
        observer.disconnect();
        document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "/", bubbles: true }));
        document.body.dataset["focused"] = String(document.activeElement === box);
      }).observe(document.body, { childList: true, subtree: true });
    });
    await goto("#/");
    await page.locator("body[data-focused]").waitFor();
    await expect.poll(() => page.locator("body").getAttribute("data-focused")).toBe("true");
    await close();
  });

  test("change before one's eyes", async () => {
    const { page, close } = await open("#/?q=live");
    await page.getByText("Live", { exact: true }).waitFor();
    await platform.register("live-one", "ok", { name: "Live One" });
    const row = page.locator("tbody tr", { hasText: "Live One" });
    await row.waitFor();
    await expect.poll(() => textOf(row)).toContain("Idle");
    await platform.deliver("live-one", "issue.created", 2);
    await eventually(async () => /Healthy[\s\S]*\b2\b[\s\S]*100%/.test(await textOf(row)));
    await platform.call("DELETE", "/v1/apps/live-one");
    await row.waitFor({ state: "detached" });
    await close();
  });

  test("may be a thousand", async () => {
    await emptyIdleTabs(browser);
    const slugs = Array.from({ length: 1_000 }, (_, n) => `many-${String(n).padStart(4, "0")}`);
    for (let from = 0; from < slugs.length; from += 50) {
      await Promise.all(slugs.slice(from, from + 50).map((slug) => platform.register(slug, "ok", { name: `Many ${slug.slice(5)}` }, [])));
    }
    await platform.writePast(
      slugs.map((app, n) => ({
        app,
        days: 1,
        medianMs: 30,
        outcomes: (ago) => (ago < 12 ? { delivered: (n + 1) * 100, failed: n % 5 === 0 ? 1 : 0 } : {}),
      })),
    );
    const { page, close } = await open("#/?sort=-attempts");
    await eventually(async () => (await textOf(page.locator(".segments"))).includes("All 1,007"));
    await eventually(async () => (await names(page))[0] === "Many 0999");
    // Drawn as far as one looks, and further as one scrolls.
    const drawn = await page.locator("tbody .row-link").count();
    expect(drawn).toBeLessThan(200);
    await page.mouse.wheel(0, 100_000);
    await eventually(async () => (await page.locator("tbody .row-link").count()) > drawn);
    await page.getByRole("searchbox", { name: "Search apps" }).fill("many-0421");
    await eventually(async () => (await names(page)).join() === "Many 0421");
    await page.getByRole("searchbox", { name: "Search apps" }).fill("");
    await page.getByRole("button", { name: /^App/ }).click();
    await eventually(async () => (await names(page))[2] === "Ledger");
    expect(await findings(page)).toEqual([]);
    await close();
  });
});
