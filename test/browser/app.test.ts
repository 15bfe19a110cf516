/** One app in a browser: charts, installations, test event, settings, secret. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeInBrowser, findings, MINUTE, openDashboard, picture, pictures, startBrowser, TIME, textOf } from "../support/browser.ts";
import { eventually } from "../support/eventually.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { allHandled } from "../support/posthorn.ts";

describeInBrowser("an app", () => {
  let platform: Platform;
  let browser: Browser;

  beforeAll(async () => {
    [platform, browser] = await Promise.all([
      startPlatform({ POSTHORN_TRACE_URL: "https://traces.example/trace/{trace_id}" }),
      startBrowser(),
    ]);
  });
  afterAll(async () => {
    await browser.close();
    await platform.stop();
  });

  const open = (hash: string, options = {}) => openDashboard(browser, `${platform.posthorn.url}/`, hash, options);

  test("has its attempts by outcome and its latency by the minute, and over a day, a week and a month", async () => {
    await platform.register("pager", "ok", { name: "Pager Relay" }, ["northwind", "contoso"]);
    await platform.writePast([
      {
        app: "pager",
        days: 30,
        medianMs: 150,
        outcomes: (ago) => ({
          delivered: Math.round(300 + 200 * Math.sin(ago / 3.8)),
          failed: ago > 3 && ago < 8 ? 120 : 6,
          timed_out: ago > 4 && ago < 7 ? 50 : 0,
        }),
      },
    ]);
    const { page, close } = await open("#/apps/pager");
    const chart = page.locator(".chart", { hasText: "Attempts by outcome" });
    await chart.waitFor();
    await expect.poll(() => textOf(chart.locator(".legend"))).toMatch(/Delivered\s+7,\d{3}\s+Failed\s+\d{3}\s+Timed out\s+100/);
    await expect
      .poll(() => textOf(page.locator(".chart", { hasText: "Response time" }).locator(".legend")))
      .toMatch(/p50\s+1\d\d ms\s+p95\s+\d+ ms\s+p99/);
    await expect.poll(() => textOf(page.locator(".metrics").first())).toMatch(/Success rate\s+9\d\.\d%/);
    await pictures(page, "app");

    // The arrow keys go from hour to hour, and screen readers are told the figures of each.
    const slider = chart.getByRole("slider");
    await slider.focus();
    await page.keyboard.press("End");
    await expect.poll(() => slider.getAttribute("aria-valuetext")).toMatch(/–\d\d:00 UTC: Delivered \d+, Failed 6, Timed out 0$/);
    await page.keyboard.press("ArrowLeft");
    await expect.poll(() => textOf(chart.locator(".chart-head"))).toMatch(/\d\d:00–\d\d:00/);
    await chart.getByText("Show as table").click();
    await expect.poll(() => chart.locator("tbody tr").count()).toBe(24);

    await platform.deliver("pager", "issue.created", 2);
    await page.getByRole("button", { name: "1 hour" }).click();
    await eventually(async () => page.url().includes("range=1h") && (await chart.locator("tbody tr").count()) === 60);
    await expect.poll(() => textOf(chart.locator(".legend"))).toMatch(/^Delivered\s+2$/);
    expect(await findings(page)).toEqual([]);
    await page.getByRole("button", { name: "6 hours" }).click();
    await eventually(async () => (await chart.locator("tbody tr").count()) === 360);
    await page.getByRole("button", { name: "7 days" }).click();
    await eventually(async () => (await chart.locator("tbody tr").count()) === 28);
    await page.getByRole("button", { name: "30 days" }).click();
    await eventually(async () => (await chart.locator("tbody tr").count()) === 30);
    await eventually(() => page.url().includes("range=30d"));
    expect(await findings(page)).toEqual([]);
    await close();
  });

  test("without attempts says so, and not that something failed", async () => {
    await platform.register("idle", "ok");
    const { page, close } = await open("#/apps/idle");
    await page.getByText("No attempts in the last 24 hours.").waitFor();
    await expect.poll(() => textOf(page.locator(".metrics"))).toMatch(/Success rate\s+–/);
    await close();
  });

  test.each([
    ["dark", 1280],
    ["light", 390],
  ] as const)("is legible in %s at a width of %d", async (scheme, width) => {
    const { page, close } = await open("#/apps/pager", { scheme, width });
    await page.locator(".legend").first().waitFor();
    expect(await findings(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
    await close();
  });

  test("has its installations with their status, the reason when broken, and what to do about it", async () => {
    const [first = "", second = ""] = await platform.register("old-crm", "gone", { name: "Old CRM" }, ["northwind", "contoso"]);
    await platform.deliver("old-crm", "issue.created", 1);
    await eventually(async () => (await platform.call("GET", `/v1/installations/${first}`)).status === "broken");
    await platform.bus.publish("issue.created", { organization_id: "northwind", app: "old-crm", data: {} });
    // The link of a status event leads to the installation.
    const { page, close } = await open(`#/installations/${first}`);
    const rowOf = (organization: string) => page.locator(".installations tbody tr", { hasText: organization });
    await rowOf("northwind").waitFor();
    await eventually(() => page.url().includes(`#/apps/old-crm?installation=${first}`));
    await eventually(async () => {
      await page.reload();
      await rowOf("northwind").waitFor();
      return /Broken[\s\S]*The receiver answered 410 Gone · [\s\S]*1 fatal answer in 7 days; last: answered with status 410[\s\S]*\t1\t/.test(
        await textOf(rowOf("northwind")),
      );
    });
    expect(await findings(page)).toEqual([]);
    await picture(page, "installations");

    await rowOf("northwind").getByRole("button", { name: "Discard parked" }).click();
    await page.getByRole("dialog").getByText("1 delivery for organization northwind").waitFor();
    await page.getByRole("button", { name: "Discard", exact: true }).click();
    await page.getByText("Discarded: old-crm in organization northwind.").waitFor();
    await eventually(async () => (await platform.call("GET", "/v1/dead-letters?app=old-crm")).items.length === 2);

    await rowOf("northwind").getByRole("button", { name: "Enable" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Enable" }).click();
    await eventually(async () => (await textOf(rowOf("northwind").locator(".pill"))) === "Active");

    await rowOf("contoso").getByRole("button", { name: "Disable" }).click();
    const dialog = page.getByRole("dialog", { name: "Disable the installation?" });
    expect(await findings(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    expect((await platform.call("GET", `/v1/installations/${second}`)).status).toBe("active");
    await rowOf("contoso").getByRole("button", { name: "Disable" }).click();
    await dialog.getByRole("button", { name: "Disable" }).click();
    await eventually(async () => (await platform.call("GET", `/v1/installations/${second}`)).status === "disabled");
    await page.getByRole("button", { name: /^Disabled 1/ }).click();
    await eventually(async () => (await page.locator(".installations tbody tr").count()) === 1);

    // What others do is seen, too.
    await page.getByRole("button", { name: /^All 2/ }).click();
    await platform.call("POST", `/v1/installations/${second}/enable`);
    await eventually(async () => (await textOf(rowOf("contoso").locator(".pill"))) === "Active");
    await close();
  });

  test("that fails says since when, by which codes and what becomes of its deliveries", async () => {
    await platform.register("ledger", "down", { name: "Ledger" });
    await platform.deliver("ledger", "issue.created", 20);
    const { page, close } = await open("#/apps/ledger");
    await page
      .getByText(
        new RegExp(
          String.raw`^Failing since ${MINUTE} UTC: (\d+) of \1 attempts failed with 500\. Deliveries wait and are retried; next attempt ${TIME} UTC\.$`,
        ),
      )
      .waitFor();
    await close();
  });

  test("has its circuit closed and its retries made due by a person", async () => {
    const retrying = { retry_schedule_s: [3_600], name: "Billing" };
    await platform.register("billing", "down", retrying);
    await platform.deliver("billing", "issue.created", 20);
    const { page, close } = await open("#/apps/billing");
    await page.getByRole("button", { name: "Close circuit" }).click();
    await page.getByText("The circuit is closed. Parked deliveries are being sent.").waitFor();
    await page.getByRole("button", { name: "Close circuit" }).waitFor({ state: "detached" });
    await page.getByText(/^Failing since .*Failed deliveries are retried, or go to dead letters\.$/).waitFor();
    const attempts = await platform.redis.llen("posthorn:request:{billing}:issue.created");
    await page.getByRole("button", { name: "Retry now" }).click();
    await page.getByText(/^\d+ deliveries are due now\.$/).waitFor();
    await eventually(async () => (await platform.redis.llen("posthorn:request:{billing}:issue.created")) > attempts);
    expect(await findings(page)).toEqual([]);
    await close();
  });

  test("is sent a test event, and what came back is shown", async () => {
    const { page, close } = await open("#/apps/pager");
    await page.getByRole("button", { name: "Send test event" }).click();
    const dialog = page.getByRole("dialog", { name: "Send a test event" });
    await dialog.getByLabel("Event type").fill("issue.created");
    await dialog.getByLabel("Data").fill('{"hello": ');
    await dialog.getByRole("button", { name: "Send" }).click();
    await dialog.getByText(/The data is not JSON/).waitFor();
    await expect.poll(() => dialog.getByLabel("Data").getAttribute("aria-invalid")).toBe("true");
    await dialog.getByLabel("Data").fill('{"hello": "world"}');
    await dialog.getByRole("button", { name: "Send" }).click();
    await dialog.getByText("200 Delivered").waitFor();
    await expect.poll(() => dialog.locator('a[href^="https://traces.example/trace/"]').count()).toBe(1);
    expect(platform.receiver.requests.at(-1)?.json()).toMatchObject({ action: "created", data: { hello: "world" } });
    await expect.poll(() => dialog.getByLabel("Event type").inputValue()).toBe("issue.created");
    expect(await findings(page)).toEqual([]);
    await dialog.getByRole("button", { name: "Close", exact: true }).last().click();
    await dialog.waitFor({ state: "detached" });
    await close();
  });

  test("is sent what it has missed: counted, sent, paused, resumed and cancelled", async () => {
    await platform.register("again", "ok", { events: [] });
    for (let n = 0; n < 40; n++) await platform.bus.publish("again.created", { organization_id: "northwind", data: { n } });
    await allHandled(platform.bus);
    await platform.call("PATCH", "/v1/apps/again", { events: ["again"] });
    const { page, close } = await open("#/apps/again");
    await page.getByRole("button", { name: "Send again" }).click();
    const dialog = page.getByRole("dialog", { name: "Send again" });
    await dialog.getByLabel("Event types").fill("again.created");
    await dialog.getByLabel("Per second, at most").fill("1");
    await dialog.getByRole("button", { name: "Count" }).click();
    await dialog.getByText("40 deliveries: 0 failed, 40 missed, 0 delivered.").waitFor();
    expect(await findings(page)).toEqual([]);
    await dialog.getByRole("button", { name: "Send 40" }).click();
    await dialog.getByText(/Sending: \d+ of \d+ sent/).waitFor();
    await dialog.getByRole("button", { name: "Pause" }).click();
    await dialog.getByText(/Paused: \d+ of \d+ sent/).waitFor();
    expect(await findings(page)).toEqual([]);
    // Another visit finds it.
    await dialog.getByRole("button", { name: "Close", exact: true }).last().click();
    await dialog.waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Send again" }).click();
    await dialog.getByText(/Paused: /).waitFor();
    await dialog.getByRole("button", { name: "Resume" }).click();
    await dialog.getByText(/Sending: /).waitFor();
    await dialog.getByRole("button", { name: "Cancel replay" }).click();
    await dialog
      .getByText(/Cancelled: /)
      .waitFor()
      .catch(async (error: unknown) => {
        throw new Error(`the dialog says\n${await textOf(dialog)}`, { cause: error });
      });
    await dialog.getByRole("button", { name: "Send more" }).click();
    await dialog.getByLabel("What").selectOption("failed");
    await dialog.getByRole("button", { name: "Count" }).click();
    await dialog.getByText("0 deliveries: 0 failed").waitFor();
    await expect.poll(() => dialog.getByRole("button", { name: "Send 0" }).isDisabled()).toBe(true);
    await close();
  });

  test("has settings that are changed, unless they are wrong or somebody else was faster", async () => {
    await platform.register("acme", "ok", { name: "Acme", headers: { "X-Team": "blue" }, status: "published" });
    // The browser itself logs the two refusals.
    const { page, close } = await open("#/apps/acme/settings", { expected: /status of (400|412)/ });
    await page.getByLabel("Name", { exact: true }).waitFor();
    await expect.poll(() => page.getByLabel("Status").inputValue()).toBe("published");
    expect(await findings(page)).toEqual([]);
    await pictures(page, "settings");
    await page.getByLabel("Name", { exact: true }).fill("Acme Tracker");
    await page.getByRole("button", { name: "Remove *" }).click();
    await page.getByLabel("Event types").fill("issue, metric_alert.*");
    await page.getByLabel("Timeout").fill("5s");
    await page.getByLabel("Retries after").fill("5s, 30.5");
    await page.getByLabel("Attempts a second").fill("20");
    await page.getByLabel("Order", { exact: true }).selectOption("One at a time");
    await page.getByLabel("When one is given up").selectOption("stop");
    await page.getByRole("button", { name: "Add header" }).click();
    await page.getByLabel("Header name").last().fill("X-Colour");
    await page.getByLabel("Header value").last().fill("green");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved.").waitFor();
    expect(await platform.call("GET", "/v1/apps/acme")).toMatchObject({
      ...{ slug: "acme", name: "Acme Tracker", webhook_url: `${platform.receiver.url}/ok`, status: "published", ordered: true },
      ...{
        events: ["issue", "metric_alert.*"],
        headers: { "X-Team": "[redacted]", "X-Colour": "[redacted]" },
        timeout_ms: 5_000,
        retry_schedule_s: [5, 30.5],
        max_in_flight: null,
        ...{ retry_on: null, rate_limit: { per_s: 20, burst: 20 } },
        ...{ order_by: "app", on_exhausted: "stop" },
        ...{ created_at: expect.any(String), updated_at: expect.any(String) },
      },
    });
    await page.getByRole("heading", { level: 1, name: "Acme Tracker" }).waitFor();

    await page.getByRole("textbox", { name: "Webhook URL" }).fill("http://169.254.169.254/latest");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("This can’t be used: 169.254.169.254 is not a public address (POSTHORN_TARGET_ALLOW opens networks).").waitFor();
    const url = page.getByRole("textbox", { name: "Webhook URL" });
    await eventually(() => url.evaluate((input) => input === document.activeElement && input.getAttribute("aria-invalid") === "true"));
    await expect.poll(() => url.inputValue()).toBe("http://169.254.169.254/latest");
    expect(await findings(page)).toEqual([]);

    await platform.call("PUT", "/v1/apps/acme", { ...(await platform.call("GET", "/v1/apps/acme")), name: "Meanwhile" });
    await page.getByRole("textbox", { name: "Webhook URL" }).fill(`${platform.receiver.url}/ok`);
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Nothing was changed.").waitFor();
    await page.getByLabel("Name", { exact: true }).fill("Acme again");
    await page.getByRole("button", { name: "Save" }).click();
    await page
      .getByRole("alert")
      .getByText(/The app was changed in the meantime/)
      .waitFor();
    expect((await platform.call("GET", "/v1/apps/acme")).name).toBe("Meanwhile");
    await close();
  });

  test("gets a new secret, which is shown once", async () => {
    const { page, close } = await open("#/apps/pager/settings");
    await page.getByRole("button", { name: "Rotate secret" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Rotate" }).click();
    const dialog = page.getByRole("dialog", { name: "New secret" });
    await dialog.waitFor();
    const secret = await textOf(dialog.locator(".secret .mono").first());
    expect(secret).toMatch(/^[0-9a-f]{64}$/);
    await dialog.getByRole("button", { name: "Copy client secret" }).click();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(secret);
    expect(await findings(page)).toEqual([]);
    await dialog.getByRole("button", { name: "I have copied it" }).click();
    await dialog.waitFor({ state: "detached" });
    expect(await page.content()).not.toContain(secret);
    await close();
  });

  test("that is not there is said not to be", async () => {
    const { page, goto, close } = await open("#/apps/nobody", { expected: /status of 404/ });
    await page.getByText("There is no app nobody.").waitFor();
    await goto("#/installations/0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f");
    await page.getByText(/Installation 0f3c1d2e.* could not be loaded/).waitFor();
    await close();
  });
});
