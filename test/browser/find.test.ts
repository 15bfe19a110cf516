/** The search box and the explain page in a browser. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeInBrowser, findings, openDashboard, pictures, startBrowser, TIME, textOf } from "../support/browser.ts";
import { deliveryIdOf } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { type Platform, startPlatform } from "../support/platform.ts";

describeInBrowser("why a webhook did not arrive", () => {
  let platform: Platform;
  let browser: Browser;
  let uuids: Record<string, string>;

  const installationOf = async (app: string): Promise<string> =>
    (await platform.call("GET", `/v1/installations?app=${app}`)).items[0].uuid as string;

  beforeAll(async () => {
    [platform, browser] = await Promise.all([startPlatform({ POSTHORN_CIRCUIT_MIN_ATTEMPTS: "1000" }), startBrowser()]);
    const { register } = platform;
    await register("pager", "ok", { name: "Pager Relay" });
    await register("tracker", "talks", { name: "Tracker", retry_schedule_s: [600] });
    await register("archive", "down", { name: "Archive", retry_schedule_s: [] });
    await register("digest", "ok", { name: "Digest", events: ["comment"] });
    await register("elsewhere", "ok", { name: "Elsewhere" }, ["contoso"]);
    uuids = Object.fromEntries(
      await Promise.all(["pager", "tracker", "archive", "digest"].map(async (app) => [app, await installationOf(app)])),
    );
    await platform.bus.publish(
      "issue.created",
      '{"id":"evt-7","organization_id":"northwind","data":{"issue":{"id":12345678901234567890}}}',
    );
    await eventually(async () => {
      const { deliveries } = await platform.call("GET", "/v1/events/evt-7");
      return (
        deliveries
          .map(({ state }: { state: string }) => state)
          .toSorted()
          .join() === "dead_letter,delivered,retrying"
      );
    });
  });
  afterAll(async () => {
    await browser.close();
    await platform.stop();
  });

  const open = (hash: string, options = {}) => openDashboard(browser, `${platform.posthorn.url}/`, hash, options);

  test("the search box leads to the event: its data, who got it, who did not and why", async () => {
    const { page, close } = await open("#/");
    await page.getByRole("searchbox", { name: /Find an event/ }).fill("evt-7");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "issue.created", level: 1 }).waitFor();
    await eventually(() => page.url().includes("#/events/evt-7?type=issue.created"));
    await expect.poll(() => textOf(page.getByRole("region", { name: "Data" }))).toContain('"id": 12345678901234567890');
    await expect
      .poll(() => textOf(page.getByRole("region", { name: "Delivery to pager" })))
      .toMatch(/Delivered[\s\S]*The event was stored[\s\S]*Attempt 1: delivered/);
    const retrying = page.getByRole("region", { name: "Delivery to tracker" });
    await expect
      .poll(() => textOf(retrying))
      .toMatch(/Retrying[\s\S]*Attempt 1: failed, answered with status 503[\s\S]*The next attempt is due/);
    await expect
      .poll(() => textOf(page.getByRole("region", { name: "Not delivered to" })))
      .toMatch(/digest\s+The app subscribes to comment; the event is issue\.created/);
    expect(await findings(page)).toEqual([]);
    await pictures(page, "explain");

    await page.getByLabel("App", { exact: true }).fill("elsewhere");
    await page.getByRole("button", { name: "Explain for this app" }).click();
    await page.getByText("App elsewhere is not installed in organization northwind; it is installed once elsewhere.").waitFor();
    await page.getByLabel("App", { exact: true }).fill("elsewhare");
    await page.keyboard.press("Enter");
    await page.getByText("No app elsewhare (did you mean elsewhere?).").waitFor();
    await page.getByRole("button", { name: "Show all apps" }).click();
    await page.getByRole("region", { name: "Delivery to pager" }).waitFor();
    await close();
  });

  test("a dead letter is replayed, and a delivery resent, where they are explained", async () => {
    await platform.register("fixed", "refuses", {}, ["fixcorp"]);
    await platform.bus.publish("issue.created", '{"id":"evt-8","organization_id":"fixcorp","data":{}}');
    const delivery = deliveryIdOf("evt-8", await installationOf("fixed"));
    await eventually(async () => (await platform.call("GET", `/v1/deliveries/${delivery}`)).delivery.state === "dead_letter");
    await platform.call("PATCH", "/v1/apps/fixed", { webhook_url: `${platform.receiver.url}/ok` });
    const { page, close } = await open(`#/deliveries/${delivery}`);
    const way = page.getByRole("region", { name: "Delivery to fixed" });
    await way.getByText("Dead letter").first().waitFor();
    expect(await findings(page)).toEqual([]);
    await way.getByRole("button", { name: "Replay" }).click();
    await eventually(async () => {
      await page.getByRole("button", { name: "Refresh" }).click();
      return /Delivered/.test(await textOf(way));
    });
    await way.getByRole("button", { name: "Resend" }).click();
    await page.getByText("Resent as a run of its own.").waitFor();
    await eventually(async () => {
      await page.getByRole("button", { name: "Refresh" }).click();
      return (await way.getByText("Attempt 1: delivered").count()) === 2;
    });
    await close();
  });

  test("what waits for a retry is made due where it is explained", async () => {
    await platform.register("impatient", "talks", { retry_schedule_s: [600, 600] }, ["impatient-corp"]);
    await platform.bus.publish("issue.created", '{"id":"evt-9","organization_id":"impatient-corp","data":{}}');
    const delivery = deliveryIdOf("evt-9", await installationOf("impatient"));
    await eventually(async () => (await platform.call("GET", `/v1/deliveries/${delivery}`)).delivery.state === "retrying");
    const { page, close } = await open(`#/deliveries/${delivery}`);
    await page.getByRole("button", { name: "Retry now" }).click();
    await page.getByText("What waits for a retry is due now.").waitFor();
    await eventually(async () => {
      await page.getByRole("button", { name: "Refresh" }).click();
      return (await page.getByText("Attempt 2: failed").count()) === 1;
    });
    await close();
  });

  test("what waits is listed with its reason and its next due time, and what is done on demand", async () => {
    const { page, close } = await open("#/deliveries");
    const row = page.locator("tbody tr").filter({ hasText: "tracker" });
    await row.waitFor();
    await expect
      .poll(() => textOf(row))
      .toMatch(new RegExp(String.raw`issue\.created\s+Attempt 2 is due at ${TIME} UTC\.\s+Retrying\s+tracker`));
    expect(await page.locator("tbody tr").filter({ hasText: "pager" }).count()).toBe(0);
    expect(await findings(page)).toEqual([]);
    await pictures(page, "deliveries");
    await page
      .getByRole("radio", { name: "Delivered" })
      .or(page.getByRole("button", { name: "Delivered" }))
      .first()
      .click();
    await page.locator("tbody tr").filter({ hasText: "pager" }).first().waitFor();
    await page.getByLabel("App", { exact: true }).fill("pager");
    await page.keyboard.press("Enter");
    await eventually(() => page.url().includes("app=pager"));
    await page.locator("tbody tr").filter({ hasText: "pager" }).first().getByRole("link").click();
    await page.getByRole("region", { name: "Delivery to pager" }).waitFor();
    await close();
  });

  test("deliveries are listed by state, outcome, code, installation, event and time", async () => {
    const { page, goto, close } = await open("#/deliveries?show=all", { expected: /status of 400/ });
    const apps = async (): Promise<string> => [...new Set(await page.locator("tbody td:nth-child(4)").allInnerTexts())].toSorted().join();
    const of7 = "#/deliveries?show=all&event=evt-7";
    await goto(of7);
    await eventually(async () => (await apps()) === "archive,pager,tracker");
    await page.getByRole("button", { name: "Retrying" }).click();
    await eventually(async () => (await apps()) === "tracker");
    await goto(of7);
    await page.getByRole("button", { name: "More filters" }).click();
    await page.getByLabel("Outcome").selectOption("Failed");
    await eventually(async () => (await apps()) === "archive,tracker");
    await page.getByLabel("Response code").fill("500");
    await page.keyboard.press("Enter");
    await eventually(async () => (await apps()) === "archive");
    expect(await findings(page)).toEqual([]);
    await goto(`${of7}&installation=${uuids["pager"]}`);
    await eventually(async () => (await apps()) === "pager");
    await goto(`${of7}&since=15m`);
    await eventually(async () => (await apps()) === "archive,pager,tracker");
    await goto(`${of7}&since=between&to=2020-01-05T10:11Z`);
    await page.getByText("No such deliveries.").waitFor();
    await goto(`${of7}&code=abc`);
    await page
      .getByRole("alert")
      .getByText(/response_code/)
      .waitFor();
    await close();
  });

  test("events are listed by organization, type and time, page by page, and lead to what became of them", async () => {
    const { publish } = platform.bus;
    for (let n = 0; n < 60; n++) await publish("comment.created", { id: `many-${n}`, organization_id: "many", data: {} });
    await publish("comment.deleted", { id: "many-last", organization_id: "many", app: "pager", data: {} });
    const { page, goto, close } = await open("#/events?organization=many");
    const ids = (): Promise<string[]> => page.locator("tbody td:last-child").allInnerTexts();
    await eventually(async () => (await ids()).length === 50);
    expect((await ids()).slice(0, 3)).toEqual(["many-last", "many-59", "many-58"]);
    await page.getByText("only for pager").waitFor();
    expect(await findings(page)).toEqual([]);
    await pictures(page, "events");
    await page.getByRole("button", { name: "Show older" }).click();
    await eventually(async () => (await ids()).length === 61);
    await page.getByText(/The oldest event of the stream was stored at \S+ UTC\./).waitFor();
    await page.getByLabel("Event type", { exact: true }).fill("comment.deleted");
    await page.keyboard.press("Enter");
    await eventually(async () => (await ids()).join() === "many-last");
    await page.getByLabel("Organization", { exact: true }).fill("nobody");
    await page.keyboard.press("Enter");
    await page.getByText("No matching events.").waitFor();
    await page.getByRole("button", { name: "Show all" }).click();
    await eventually(async () => (await ids()).length === 50);
    await page.getByRole("combobox", { name: "Time", exact: true }).selectOption("Between…");
    await page.getByLabel("To", { exact: true }).fill("2020-01-05T10:11");
    await page.getByText("No matching events.").waitFor();
    await goto("#/events?type=issue.created&organization=northwind&since=1h");
    await page.locator("tr", { hasText: "evt-7" }).getByRole("link").click();
    await page.getByRole("region", { name: "Delivery to pager" }).waitFor();
    await close();
  });

  test("the system shows what waits, the streams, the replicas and the busiest apps now", async () => {
    // The others may be longer ago than what the page shows.
    await platform.deliver("pager", "issue.created", 1);
    const { page, close } = await open("#/system");
    await page.getByRole("region", { name: "Replicas" }).getByText("Ready").waitFor();
    const streams = page.getByRole("region", { name: "Streams" });
    await expect
      .poll(() => streams.locator("tbody th").allInnerTexts())
      .toEqual(["events", "retries", "parked", "dead-letters", "status", "audit"]);
    await expect.poll(() => textOf(streams.locator("tbody tr").first())).toMatch(/^events\s+\d+\s+[\d.]+ k?B\s+7 days/);
    await expect
      .poll(() => textOf(page.getByRole("region", { name: "Dependencies" })))
      .toMatch(/Works\s+NATS\s*Connected\.[\s\S]*Works\s+Redis/);
    await expect
      .poll(() => textOf(page.getByRole("region", { name: "Servers" }).locator("tbody tr")))
      .toMatch(
        /^NATS 127\.0\.0\.1:\d+\s+\d[\d.]+\s.*\d\d:\d\d:\d\d UTC\s+Redis 127\.0\.0\.1:\d+\s+\d[\d.]+\s.*\d\d:\d\d:\d\d UTC\s+[\d.]+ MB, no limit/,
      );
    await page.getByRole("region", { name: "Busiest apps, last 5 minutes" }).getByRole("link", { name: "pager" }).waitFor();
    expect(await findings(page)).toEqual([]);
    await pictures(page, "system");
    await page.getByRole("link", { name: "pager" }).click();
    await eventually(() => page.url().includes("#/apps/pager?range=1h"));
    await close();
    const phone = await open("#/system", { width: 390, scheme: "dark" });
    await phone.page.getByRole("region", { name: "Replicas" }).getByText("Ready").waitFor();
    expect(await findings(phone.page)).toEqual([]);
    expect(await phone.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
    await phone.close();
  });

  test.each(["#/", "#/events", "#/deliveries", "#/dead-letters", "#/timeline", "#/system", "#/apps/pager", "#/events/evt-7"])(
    "the search box finds on %s",
    async (hash) => {
      const { page, close } = await open(hash);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.getByRole("searchbox", { name: /Find an event/ }).fill(deliveryIdOf("evt-7", uuids["tracker"] ?? "").slice(0, 14));
      await page.keyboard.press("Enter");
      await page.getByRole("region", { name: "Delivery to tracker" }).waitFor();
      await close();
    },
  );

  test("what several things are called is a list, and what nothing is called says so; on a phone, too", async () => {
    const { page, close } = await open(`#/find?q=${(uuids["pager"] ?? "").slice(0, 8)}`, { width: 390, scheme: "dark" });
    await eventually(() => page.url().includes("#/apps/pager"));
    await page.getByRole("searchbox", { name: /Find an event/ }).fill("northwind");
    await page.keyboard.press("Enter");
    await page.getByText("4 installations").waitFor();
    await expect.poll(() => page.locator(".found a").count()).toBe(5);
    expect(await findings(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
    await page.getByRole("searchbox", { name: /Find an event/ }).fill("pagr");
    await page.keyboard.press("Enter");
    await page.getByText("Did you mean the app pager?").waitFor();
    await page.goto(`${platform.posthorn.url}/#/events/evt-7`);
    await page.getByRole("region", { name: "Delivery to tracker" }).waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
    expect(await findings(page)).toEqual([]);
    await page.goto(`${platform.posthorn.url}/#/organizations/${"x".repeat(200)}`);
    await page.getByRole("heading", { name: "Organization xxx" }).waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
    await page.goto(`${platform.posthorn.url}/#/nowhere`);
    await page.getByText("Page not found.").waitFor();
    expect(await page.title()).toBe("Page not found · Posthorn");
    await close();
  });
});
