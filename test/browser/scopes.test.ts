/** Each kind of token is offered what it covers, in every view, and nothing else: no call is refused. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { TokenScope } from "../../src/model/token-scope.ts";
import { describeInBrowser, findings, openDashboard, settled, startBrowser } from "../support/browser.ts";
import { eventually } from "../support/eventually.ts";
import { type Platform, startPlatform } from "../support/platform.ts";

const ADMIN = "admin-token-12345";
const READ = "read-token-123456";

/** Buttons and links that act. Others only change what is shown. */
const ACTS =
  /^(?:New app|Create|Add|Remove|Save|Install|Uninstall|Edit|Enable|Disable|Discard|Delete|Retry|Close circuit|Send|Rotate|Replay|Resend)\b/;

interface View {
  readonly hash: string;
  /** Shown when the view has what it needs. */
  readonly ready: string;
  /** Opens a row's details. */
  readonly opens?: true;
  readonly offers: Readonly<Record<TokenScope, readonly string[]>>;
}

const NOTHING = { read: [], act: [], manage: [] } as const;
const HEAD = ["Retry now", "Send again", "Send test event"];
const forActing = (...more: readonly string[]): View["offers"] => {
  const offered = [...HEAD, ...more].sort();
  return { read: [], act: offered, manage: offered };
};

describeInBrowser("the page offers exactly what the token covers", () => {
  let platform: Platform;
  let browser: Browser;
  let views: readonly View[] = [];

  beforeAll(async () => {
    [platform, browser] = await Promise.all([
      startPlatform({ POSTHORN_API_TOKENS: `admin:${ADMIN},read:${READ}` }, { authorization: `Bearer ${ADMIN}` }),
      startBrowser(),
    ]);
    const [, paused] = await platform.register("own", "refuses", { name: "Own", headers: { "X-Team": "a" } }, ["northwind", "contoso"]);
    await platform.register("other", "ok", { name: "Other" }, ["contoso"]);
    await platform.call("POST", `/v1/installations/${paused}/disable`);
    await platform.bus.publish("issue.created", { id: "parked", organization_id: "contoso", app: "own", data: {} });
    await platform.deliver("own", "issue.created", 1);
    const [refuses] = await platform.register("refuses", "refuses", {}, ["contoso"]);
    await platform.bus.publish("issue.created", { id: "refused", organization_id: "contoso", installation_uuid: refuses, data: {} });
    const { items } = await eventually(async () => {
      const letters = await platform.call("GET", "/v1/dead-letters?app=own");
      const { items: installations } = await platform.call("GET", "/v1/apps/own/installations?status=disabled");
      return letters.items.length === 1 && installations[0].parked === 1 && letters;
    });
    const { delivery_id: delivery, event } = items[0];
    views = [
      { hash: "#/apps/own", ready: ".installations tbody tr", offers: forActing() },
      { hash: "#/apps/own/requests", ready: "tbody .row-link", opens: true, offers: forActing("Resend") },
      { hash: "#/apps/own/dead-letters", ready: "tbody .row-link", opens: true, offers: forActing("Replay", "Replay all") },
      { hash: "#/apps/own/timeline", ready: ".timeline, .empty", offers: forActing() },
      {
        hash: "#/apps/own/settings",
        ready: ".settings .chip",
        offers: {
          ...forActing(),
          manage: [...HEAD, "Add header", "Remove *", "Remove header X-Team", "Rotate secret", "Save"].sort(),
        },
      },
      { hash: `#/deliveries/${delivery}`, ready: ".explained-event", offers: { read: [], act: ["Replay"], manage: ["Replay"] } },
      { hash: `#/events/${event.id}`, ready: ".explained-event", offers: { read: [], act: ["Replay"], manage: ["Replay"] } },
      { hash: "#/find?q=northwind", ready: ".found, .empty", offers: NOTHING },
      { hash: "#/deliveries", ready: "tbody .row-link, .empty", offers: NOTHING },
    ];
  });
  afterAll(async () => {
    await browser.close();
    await platform.stop();
  });

  const visit = async (token: string, hashes: ReadonlyArray<Pick<View, "hash" | "ready" | "opens">>): Promise<string[][]> => {
    const { page, goto, close } = await openDashboard(browser, `${platform.posthorn.url}/`, "#/", { token });
    const refused: string[] = [];
    page.on("response", (response) => {
      if (response.status() === 403) refused.push(`${response.request().method()} ${response.url()}`);
    });
    const offered: string[][] = [];
    for (const { hash, ready, opens } of hashes) {
      await goto(hash);
      await page.locator(ready).first().waitFor();
      if (opens) {
        await page.locator("tbody .row-link").first().click();
        await page.getByRole("dialog").waitFor();
      }
      await settled(page);
      const names = await page
        .locator("main button, main a.button")
        .evaluateAll((buttons) => buttons.map((button) => button.getAttribute("aria-label") ?? button.textContent?.trim() ?? ""));
      offered.push([...new Set(names.filter((name) => ACTS.test(name)))].sort());
    }
    expect(await findings(page)).toEqual([]);
    expect(refused).toEqual([]);
    await close();
    return offered;
  };
  const navigation = async (token: string): Promise<string[]> => {
    const { page, close } = await openDashboard(browser, `${platform.posthorn.url}/`, "#/system", { token });
    const links = page.getByRole("navigation", { name: "Main" }).getByRole("link");
    await links.first().waitFor();
    await page.getByText("Page not found.").waitFor();
    const names = await links.allInnerTexts();
    await close();
    return names;
  };
  const tokens = new Map<string, string>();
  /** The same for all tests, so that they can use one document. */
  const tokenOf = async (owner: string, scope: TokenScope): Promise<string> => {
    const key = `${owner} ${scope}`;
    const token = tokens.get(key) ?? ((await platform.call("POST", `/v1/${owner}/tokens`, { scope })).token as string);
    tokens.set(key, token);
    return token;
  };

  test.each(["read", "act", "manage"] as const)("to an app's token of scope %s", async (scope) => {
    expect(await visit(await tokenOf("apps/own", scope), views)).toEqual(views.map(({ offers }) => offers[scope]));
  });

  test("to a token that may read everything", async () => {
    const all = ["#/", "#/dead-letters", "#/timeline"].map((hash) => ({ hash, ready: "table, .timeline, .empty" }));
    const nowhere = { hash: "#/new-app", ready: ".empty" };
    expect(await visit(READ, [...views, ...all, nowhere])).toEqual([...views, ...all, nowhere].map(() => []));
  });

  test("to an admin token, which covers everything", async () => {
    const offered = await visit(ADMIN, [{ hash: "#/", ready: "table" }, ...views]);
    expect(offered[0]).toEqual(["New app"]);
    expect(offered[1]).toEqual(["Disable", "Discard parked", "Edit", "Enable", "Install", ...HEAD]);
    expect(offered[5]).toEqual(expect.arrayContaining(["Create link", "Delete app", "Rotate secret", "Save"]));
  });

  test.each<[TokenScope, readonly string[], readonly string[], readonly string[]]>([
    ["read", [], [], []],
    ["manage", ["Disable", "Edit", "Enable", "Send again"], ["Replay", "Replay all"], ["Enable installation", "Resend"]],
    // Last, because the next tests use its token.
    ["act", ["Send again"], ["Replay", "Replay all"], ["Resend"]],
  ])("to an organization's token of scope %s", async (scope, installations, letters, waiting) => {
    const seen = [
      { hash: "#/", ready: "tbody tr" },
      { hash: "#/apps/own", ready: "tr.named" },
      { hash: "#/events", ready: "tbody .row-link" },
      { hash: "#/deliveries", ready: "tbody .row-link" },
      { hash: "#/dead-letters", ready: "tbody .row-link", opens: true },
      { hash: "#/timeline", ready: ".timeline, .empty" },
      { hash: "#/timeline?show=changes", ready: ".timeline, .empty" },
      { hash: "#/find?q=contoso", ready: ".found, .empty" },
      { hash: "#/events/parked", ready: ".explained-event" },
      { hash: "#/events/refused", ready: ".explained-event" },
    ] as const;
    const token = await tokenOf("organizations/contoso", scope);
    expect(await visit(token, seen)).toEqual([
      ...[installations, installations, [], [], letters, [], [], []],
      ...[waiting, letters.slice(0, 1)],
    ]);
    expect(await navigation(token)).toEqual(["Installations", "Events", "Deliveries", "Dead letters", "Timeline"]);
  });

  test("the reach of a token, however long in words, fits a phone", async () => {
    const token = await tokenOf("organizations/contoso", "act");
    const { page, goto, close } = await openDashboard(browser, `${platform.posthorn.url}/`, "#/", { token, width: 390 });
    await page.getByText(/^One organization, no settings/).waitFor();
    await page.getByRole("button", { name: "Sign out" }).waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
    // So does the time of a step, next to its text.
    await goto("#/events/parked");
    await page.getByText("Goes to dead letters if it is still parked.").waitFor();
    const overlaps = await page.locator(".event-title").evaluateAll((steps) =>
      steps.some((step) => {
        const time = step.lastElementChild as Element;
        const text = document.createRange();
        text.setStart(step, 0);
        text.setEndBefore(time);
        const { left, top, bottom } = time.getBoundingClientRect();
        return [...text.getClientRects()].some((line) => line.right > left && line.bottom > top && line.top < bottom);
      }),
    );
    expect(overlaps).toBe(false);
    await close();
  });

  test("an organization is sent what its installation has missed", async () => {
    const { page, close } = await openDashboard(browser, `${platform.posthorn.url}/`, "#/", {
      token: await tokenOf("organizations/contoso", "act"),
      expected: /status of 400/,
    });
    await page.locator("tbody tr", { hasText: "other" }).getByRole("button", { name: "Send again" }).click();
    const dialog = page.getByRole("dialog", { name: "Send again" });
    await dialog.getByLabel("Per second, at most").fill("many");
    await dialog.getByRole("button", { name: "Count" }).click();
    await dialog.locator(".field-problem").waitFor();
    await dialog.getByLabel("Per second, at most").fill("50");
    await dialog.getByRole("button", { name: "Count" }).click();
    await dialog.getByText(/^\d+ deliver/).waitFor();
    expect(await findings(page)).toEqual([]);
    await close();
  });

  test("an organization's own installation is changed with its token, which says why another is broken", async () => {
    const [gone] = await platform.register("gone", "gone", {}, ["contoso"]);
    await platform.deliver("gone", "issue.created", 1, "contoso");
    await eventually(async () => (await platform.call("GET", `/v1/installations/${gone}`)).status === "broken");
    const { page, goto, close } = await openDashboard(browser, `${platform.posthorn.url}/`, "#/", {
      token: await tokenOf("organizations/contoso", "manage"),
    });
    await page.locator("tbody tr", { hasText: "other" }).getByRole("button", { name: "Edit" }).click();
    const dialog = page.getByRole("dialog");
    expect(await dialog.getByLabel("Organization").count()).toBe(0);
    await dialog.getByLabel("Projects").fill("7");
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.getByText("projects 7").waitFor();
    await page.getByText(/^The receiver answered 410 Gone/).waitFor();
    expect(await findings(page)).toEqual([]);

    // Nothing is pushed to it: it asks again.
    const refresh = page.getByRole("button", { name: "Refresh" });
    await platform.call("POST", `/v1/installations/${gone}/enable`);
    await refresh.click();
    await page.locator("tbody tr", { hasText: "gone" }).getByText("Active").waitFor();
    await goto("#/timeline");
    await page.getByText("Integration recovered").waitFor();
    await expect.poll(() => page.locator(".segments button").allInnerTexts()).toEqual(["Status", "Given up", "Changes"]);
    await platform.call("POST", `/v1/installations/${gone}/disable`);
    const path = `/v1/status-events?app=gone&topics=integration`;
    await eventually(async () => (await platform.call("GET", path)).items[0].type === "integration.disabled");
    await refresh.click();
    await page.getByRole("paragraph").filter({ hasText: "Integration disabled gone" }).waitFor();
    await close();
  });
});
