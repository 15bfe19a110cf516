/** Headless Chromium and the dashboard in it. What the page logs, loads from elsewhere or is refused by its policy fails the test. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Locator, type Page, type Request } from "playwright-core";
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
}

export interface Opened {
  readonly page: Page;
  /** What went wrong in the page so far. */
  readonly troubles: string[];
  goto(hash: string): Promise<void>;
  /** Ends the page; it must have had no troubles. */
  close(): Promise<void>;
}

/** Pages that no test uses, each in a context of its own, by browser and time zone: a new one takes as much as a short test. */
const idle = new WeakMap<Browser, Map<string, Page[]>>();

function idlePages(browser: Browser, timezone: string): Page[] {
  const ofBrowser = idle.get(browser) ?? new Map<string, Page[]>();
  idle.set(browser, ofBrowser);
  const pages = ofBrowser.get(timezone) ?? [];
  ofBrowser.set(timezone, pages);
  return pages;
}

async function newPage(browser: Browser, timezone: string): Promise<Page> {
  const context = await browser.newContext({ locale: "en-GB", timezoneId: timezone });
  context.setDefaultTimeout(60_000);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  return context.newPage();
}

/** @param base where the dashboard is, with a slash at its end */
export async function openDashboard(browser: Browser, base: string, hash = "#/", options: OpenOptions = {}): Promise<Opened> {
  const { width = 1280, scheme = "light", token, timezone = "UTC", expected } = options;
  const pages = idlePages(browser, timezone);
  const page = pages.pop() ?? (await newPage(browser, timezone));
  await page.setViewportSize({ width, height: width < 600 ? 844 : 860 });
  await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
  await page.mouse.move(0, 0);
  const signIn = token === undefined ? null : await page.addInitScript((value) => sessionStorage.setItem("posthorn-token", value), token);
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
  page.on("request", (request) => {
    if (!request.url().startsWith(base)) trouble(`request to ${request.url()}`);
    if (!request.url().endsWith("/live")) calls.add(request);
  });
  for (const end of ["requestfinished", "requestfailed"] as const)
    page.on(end as "requestfinished", (request) => void calls.delete(request));
  const goto = async (to: string): Promise<void> => {
    await page.goto(base + to);
  };
  await goto(hash);
  return {
    page,
    troubles,
    goto,
    async close() {
      page.removeAllListeners();
      await signIn?.dispose();
      await page.unrouteAll();
      // As a new tab would find it.
      await page.evaluate(() => {
        sessionStorage.clear();
        localStorage.clear();
      });
      await page.goto("about:blank");
      pages.push(page);
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

const AXE = readFileSync(fileURLToPath(import.meta.resolve("axe-core/axe.min.js")), "utf8");
/** A rule's impact is that of its findings: rules of less are not looked at. */
const SERIOUS = `axe.run(document, {
  resultTypes: ["violations"],
  rules: Object.fromEntries(axe._audit.rules.filter(({ impact }) => !["serious", "critical"].includes(impact)).map(({ id }) => [id, { enabled: false }])),
})`;

/** Serious and critical findings of axe-core, in words. */
export async function findings(page: Page): Promise<string[]> {
  if (!(await page.evaluate("'axe' in window"))) await page.evaluate(AXE);
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
