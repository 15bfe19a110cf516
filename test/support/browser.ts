/** Headless Chromium and the dashboard in it. What the page logs, loads from elsewhere or is refused by its policy fails the test. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Disposable, type Locator, type Page, type Request } from "playwright-core";
import { describe, expect } from "vitest";
import { findBrowser } from "../../scripts/set-up.mjs";
import { countDescendants } from "./costs/processor-time.ts";
import { eventually } from "./eventually.ts";

const path = findBrowser();
/** Without Chromium the suite is skipped; global-setup.ts has said so, or has failed where it could have been installed. */
export const describeInBrowser = describe.skipIf(path === null);

const IMAGES = fileURLToPath(new URL("../../docs/images/", import.meta.url));
const FLAGS = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run"];
/** Each process takes as much as a short test. */
const FEW_PROCESSES = ["in-process-gpu", "process-per-site", "renderer-process-limit=1", "disable-site-isolation-trials"];
const QUIET = ["disable-background-networking", "disable-component-update", "disable-sync"];

export async function startBrowser(): Promise<Browser> {
  const args = [...FLAGS, ...FEW_PROCESSES, ...QUIET].map((flag) => `--${flag}`);
  const browser = await chromium.launch({ executablePath: path ?? "", headless: true, args });
  const close = browser.close.bind(browser);
  browser.close = (options) => {
    countDescendants();
    return close(options);
  };
  return browser;
}

export interface OpenOptions {
  readonly width?: number;
  readonly scheme?: "light" | "dark";
  readonly token?: string;
  /** UTC when not given. */
  readonly timezone?: string;
  /** Log lines that belong to the test, such as those of answers that are errors. */
  readonly expected?: RegExp;
  /** Loads the page even if another test has left it as it was loaded. */
  readonly isLoaded?: true;
}

export interface Opened {
  readonly page: Page;
  /** What went wrong in the page so far. */
  readonly troubles: string[];
  goto(hash: string): Promise<void>;
  /** Ends the page; it must have had no troubles. */
  close(): Promise<void>;
}

/** A page in a context of its own: a new one takes as much as a short test. */
interface Tab {
  readonly page: Page;
  /** Base and token of the document, which is as it was loaded; null: none. To load it takes three times as much as to show another view. */
  document: string | null;
  signIn: Disposable | null;
}

/** Tabs that no test uses, by browser and time zone. */
const idle = new WeakMap<Browser, Map<string, Tab[]>>();

function idleTabs(browser: Browser, timezone: string): Tab[] {
  const ofBrowser = idle.get(browser) ?? new Map<string, Tab[]>();
  idle.set(browser, ofBrowser);
  const tabs = ofBrowser.get(timezone) ?? [];
  ofBrowser.set(timezone, tabs);
  return tabs;
}

async function newTab(browser: Browser, timezone: string): Promise<Tab> {
  const context = await browser.newContext({ locale: "en-GB", timezoneId: timezone });
  context.setDefaultTimeout(60_000);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  await page.addInitScript({ content: LAZY_AXE });
  return { page, document: null, signIn: null };
}

/** Leaves the tab as a new one. */
async function empty(tab: Tab): Promise<void> {
  await tab.signIn?.dispose();
  await tab.page.evaluate(() => {
    sessionStorage.clear();
    localStorage.clear();
  });
  await tab.page.goto("about:blank");
  tab.document = tab.signIn = null;
}

/** Ends the streams of idle tabs: Posthorn keeps the numbers of past hours while it is watched, and would not see a past that a test writes. */
export async function emptyIdleTabs(browser: Browser): Promise<void> {
  for (const tab of [...(idle.get(browser)?.values() ?? [])].flat()) if (tab.document !== null) await empty(tab);
}

/** A view that asks for nothing and shows nothing of what another has shown. */
const NOWHERE = "#/nowhere";

/** Shows another view of the same document. */
async function show(page: Page, hash: string): Promise<void> {
  await page.evaluate(
    (to) =>
      new Promise<void>((resolve) => {
        const before = location.href;
        location.hash = to;
        if (location.href === before) return resolve();
        addEventListener("hashchange", () => requestAnimationFrame(() => setTimeout(resolve)), { once: true });
      }),
    hash,
  );
}

/** @param base where the dashboard is, with a slash at its end */
export async function openDashboard(browser: Browser, base: string, hash = "#/", options: OpenOptions = {}): Promise<Opened> {
  const { width = 1280, scheme = "light", token, timezone = "UTC", expected, isLoaded = false } = options;
  const tabs = idleTabs(browser, timezone);
  const tab = tabs.pop() ?? (await newTab(browser, timezone));
  const { page } = tab;
  const document = `${base} ${token}`;
  if (tab.document !== null && (tab.document !== document || isLoaded)) await empty(tab);
  await page.setViewportSize({ width, height: width < 600 ? 844 : 860 });
  await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
  await page.mouse.move(0, 0);
  const troubles: string[] = [];
  const trouble = (text: string): void => {
    if (!expected?.test(text)) troubles.push(text);
  };
  page.on("pageerror", (error) => trouble(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") trouble(message.text());
  });
  const calls = new Set<Request>();
  underWay.set(page, calls);
  // The result of an action is shown for a while, and an expected error may come again.
  let isAsLoaded = expected === undefined;
  page.on("request", (request) => {
    if (!request.url().startsWith(base)) trouble(`request to ${request.url()}`);
    if (!request.url().endsWith("/live")) calls.add(request);
    isAsLoaded &&= request.method() === "GET";
  });
  for (const end of ["requestfinished", "requestfailed"] as const)
    page.on(end as "requestfinished", (request) => void calls.delete(request));
  if (tab.document === null) {
    if (token !== undefined) tab.signIn = await page.addInitScript((value) => sessionStorage.setItem("posthorn-token", value), token);
    await page.goto(base + hash);
    tab.document = document;
  } else {
    await show(page, hash);
  }
  return {
    page,
    troubles,
    goto: (to) => show(page, to),
    async close() {
      page.removeAllListeners();
      await page.unrouteAll();
      isAsLoaded &&= (await page.evaluate(() => sessionStorage.length + localStorage.length)) === (token === undefined ? 0 : 1);
      await (isAsLoaded ? show(page, NOWHERE) : empty(tab));
      tabs.push(tab);
      expect(troubles).toEqual([]);
    },
  };
}

/** Requests of a page that have not ended, but for the streams, which never do. */
const underWay = new WeakMap<Page, Set<Request>>();

/** Waits until the page has what it has asked for, and shows it: what is not there then is not on its way. */
export async function settled(page: Page): Promise<void> {
  await eventually(async () => {
    const isIdle = (): boolean => underWay.get(page)?.size === 0;
    // A view that is rendered may send more requests, after the next frame.
    for (let frames = 0; frames < 2; frames++)
      if (isIdle()) await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve))));
    return isIdle();
  });
}

/** Sent once for all documents of a page, and run in those that are checked. */
const LAZY_AXE = `globalThis.runAxe = () => { ${readFileSync(fileURLToPath(import.meta.resolve("axe-core/axe.min.js")), "utf8")} }`;
/** A rule's impact is that of its findings: rules of less are not looked at. */
const SERIOUS = `if (!globalThis.axe) runAxe();
axe.run(document, {
  resultTypes: ["violations"],
  rules: Object.fromEntries(axe._audit.rules.filter(({ impact }) => !["serious", "critical"].includes(impact)).map(({ id }) => [id, { enabled: false }])),
})`;

/** Serious and critical findings of axe-core, in words. */
export async function findings(page: Page): Promise<string[]> {
  const { violations } = (await page.evaluate(SERIOUS)) as {
    violations: Array<{ id: string; help: string; nodes: Array<{ html: string; failureSummary: string }> }>;
  };
  return violations.flatMap(({ id, help, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${help}\n${html}\n${failureSummary}`));
}

/** A time that the page shows: around midnight some of one test are not of today, and have their date. */
export const TIME = String.raw`(?:\d{1,2} [A-Z][a-z]+, )?\d\d:\d\d:\d\d`;
export const MINUTE = TIME.replace(/:\\d\\d$/, "");

/** Writes docs/images/<name>.png when DOCS_IMAGES asks for it: with real times in them they never are the same twice. */
export async function picture(page: Page, name: string): Promise<void> {
  if (!process.env["DOCS_IMAGES"]) return;
  mkdirSync(IMAGES, { recursive: true });
  await page.screenshot({ path: join(IMAGES, `${name}.png`), animations: "disabled" });
}

/** A picture of a main view, light and dark, on a desk and on a phone. The page is left as it was. */
export async function pictures(page: Page, name: string): Promise<void> {
  if (!process.env["DOCS_IMAGES"]) return;
  const before = page.viewportSize();
  for (const [width, height, suffix] of [
    [1440, 900, ""],
    [390, 844, "-narrow"],
  ] as const) {
    await page.setViewportSize({ width, height });
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      await picture(page, `${name}-${colorScheme}${suffix}`);
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  if (before !== null) await page.setViewportSize(before);
}

/** The text as it is seen, without what is hidden, once there is such an element. */
export async function textOf(locator: Locator): Promise<string> {
  await locator.first().waitFor({ state: "attached" });
  return (await locator.allInnerTexts()).join("\n");
}
