/** The request log, the dead letters and the timeline in a browser. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createSubjects } from "../../src/jetstream/subjects.ts";
import { integrationChanged } from "../../src/model/status-event.ts";
import { describeInBrowser, findings, openDashboard, pictures, settled, startBrowser, TIME, textOf } from "../support/browser.ts";
import { UUID } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";

describeInBrowser("what happened", () => {
  let platform: Platform;
  let browser: Browser;

  beforeAll(async () => {
    [platform, browser] = await Promise.all([
      startPlatform({ POSTHORN_TRACE_URL: "https://traces.example/trace/{trace_id}" }),
      startBrowser(),
    ]);
    const { register, deliver } = platform;
    await register("pager", "ok", { name: "Pager Relay", status: "published" }, ["northwind", "contoso"]);
    await deliver("pager", "issue.created", 2);
    await deliver("pager", "comment.created", 1, "contoso");
    await register("talker", "talks", {
      name: "Talker",
      status: "published",
      headers: { Authorization: "Bearer planted-secret" },
      retry_schedule_s: [1],
    });
    await deliver("talker", "issue.created", 1, "northwind", { big: 12_345_678_901_234_567_890n.toString(), text: "y".repeat(2_000) });
    await eventually(async () => (await platform.redis.llen("posthorn:error:{talker}:issue.created")) === 2);
    await register("discourse", "recovered", { name: "Discourse Bridge" }, ["northwind", "contoso"]);
    await deliver("discourse", "issue.created", 6);
    await deliver("discourse", "comment.created", 2, "contoso");
    await platform.bus.connection.jetstream().publish(`${platform.posthorn.prefix}.events.issue.created`, "this is no JSON");
  });
  afterAll(async () => {
    await browser.close();
    await platform.stop();
  });

  const open = (hash: string, options = {}) => openDashboard(browser, `${platform.posthorn.url}/`, hash, options);
  const types = (page: Page): Promise<string[]> => page.locator("tbody .row-link").allInnerTexts();
  const rows = (page: Page) => page.locator("tbody tr");

  test("requests are listed newest first, by type, errors, organization and time", async () => {
    const { page, goto, close } = await open("#/apps/pager/requests");
    await eventually(async () => (await types(page)).join() === "comment.created,issue.created,issue.created");
    await expect
      .poll(() => textOf(rows(page).first()))
      .toMatch(new RegExp(String.raw`^${TIME}\s+comment\.created\s+200 Delivered\s+1\s+[\d.]+ ms\s+contoso\s+dlv_`));
    expect(await findings(page)).toEqual([]);
    await pictures(page, "requests");
    await page.getByLabel("Event type").selectOption("issue.created");
    await eventually(async () => (await types(page)).length === 2);
    await page.getByLabel("Event type").selectOption("");
    await page.getByPlaceholder("Organization").fill("contoso");
    await page.keyboard.press("Enter");
    await eventually(async () => (await types(page)).join() === "comment.created");
    await page.getByRole("button", { name: "Errors" }).click();
    await page.getByText("No matching attempts.").waitFor();
    await page.getByRole("button", { name: "Show all" }).click();
    await eventually(async () => (await types(page)).length === 3);
    await page.getByLabel("Time").selectOption("Last 15 minutes");
    await eventually(async () => page.url().includes("since=15m") && (await types(page)).length === 3);
    await goto("#/apps/discourse/requests?errors=1&type=comment.created");
    await eventually(async () => (await types(page)).length === 2);
    await close();
  });

  test("requests are filtered by outcome, code, installation and event, and a link has the filters", async () => {
    const items = (await platform.call("GET", "/v1/apps/discourse/webhook-requests")).items as Array<Record<string, string>>;
    const [comment] = items.filter(({ event_type }) => event_type === "comment.created");
    const { page, goto, close } = await open("#/apps/discourse/requests");
    await eventually(async () => (await types(page)).length === 8);
    await page.getByRole("button", { name: "More filters" }).click();
    await page.getByLabel("Outcome").selectOption("Delivered");
    await page.getByText("No matching attempts.").waitFor();
    await page.getByLabel("Outcome").selectOption("Rejected");
    await eventually(async () => (await types(page)).length === 8);
    await page.getByLabel("Response code").fill("404");
    await page.keyboard.press("Enter");
    await page.getByText("No matching attempts.").waitFor();
    await page.getByRole("button", { name: "Show all" }).click();
    await page.getByLabel("Installation", { exact: true }).fill(comment?.["installation_uuid"] ?? "");
    await page.keyboard.press("Enter");
    await eventually(async () => (await types(page)).join() === "comment.created,comment.created");
    await page.getByLabel("Event id", { exact: true }).fill(comment?.["event_id"] ?? "");
    await page.keyboard.press("Enter");
    await eventually(async () => (await types(page)).length === 1);
    expect(await findings(page)).toEqual([]);
    const link = page.url().replace(/.*(?=#)/, "");
    await goto("#/");
    await goto(link);
    await eventually(async () => (await types(page)).length === 1);
    await expect.poll(() => page.getByLabel("Event id", { exact: true }).inputValue()).toBe(comment?.["event_id"]);
    await close();
  });

  test("times are in the browser's zone or in UTC, as chosen, and the choice is remembered", async () => {
    const { page, close } = await open("#/apps/pager/requests", { timezone: "Asia/Kolkata" });
    const [newest] = (await platform.call("GET", "/v1/apps/pager/webhook-requests")).items as Array<{ date: string }>;
    const utc = newest?.date.slice(11, 19) ?? "";
    const first = async (): Promise<string> => (await textOf(page.locator("tbody time").first())).slice(-8);
    await page.getByRole("columnheader", { name: "Time UTC+5:30" }).waitFor();
    await expect.poll(first).not.toBe(utc);
    await page.getByRole("button", { name: "Times in UTC+5:30" }).click();
    await page.getByRole("columnheader", { name: "Time UTC", exact: true }).waitFor();
    await expect.poll(first).toBe(utc);
    await page.locator("tbody .row-link").first().click();
    await page.getByRole("dialog").getByText(`${utc} UTC`).first().waitFor();
    await page.reload();
    await page.getByRole("columnheader", { name: "Time UTC", exact: true }).waitFor();
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.getByRole("combobox", { name: "Time", exact: true }).selectOption("Between…");
    await page.getByText("Both minutes included; UTC", { exact: true }).waitFor();
    await page.getByLabel("From", { exact: true }).fill(newest?.date.slice(0, 16) ?? "");
    await eventually(
      async () => page.url().includes(encodeURIComponent(`${newest?.date.slice(0, 16)}Z`)) && (await rows(page).count()) > 0,
    );
    await page.getByRole("button", { name: "Times in UTC" }).click();
    await page.getByText("Both minutes included; your time zone, Asia/").waitFor();
    await close();
  });

  test("requests between two times are in the browser's time zone, and in everybody's in the address", async () => {
    const [newest] = (await platform.call("GET", "/v1/apps/pager/webhook-requests")).items as Array<{ date: string }>;
    const minute = (change: number): string => new Date(Date.parse(newest?.date ?? "") + change * 60_000).toISOString().slice(0, 16);
    const { page, close } = await open("#/apps/pager/requests");
    await eventually(async () => (await types(page)).length === 3);
    await page.getByRole("combobox", { name: "Time", exact: true }).selectOption("Between…");
    await page.getByText("Both minutes included; your time zone, UTC").waitFor();
    await page.getByLabel("From", { exact: true }).fill(minute(1));
    await page.getByText("No matching attempts.").waitFor();
    await eventually(() => page.url().includes(`from=${encodeURIComponent(`${minute(1)}Z`)}`));
    await page.getByLabel("To", { exact: true }).fill(minute(0));
    await page.getByRole("alert").getByText("“From” is later than “to”.").waitFor();
    expect(await page.getByText(/No matching attempts/).count()).toBe(0);
    await expect.poll(() => page.getByLabel("From", { exact: true }).getAttribute("aria-invalid")).toBe("true");
    expect(await findings(page)).toEqual([]);
    await page.getByLabel("From", { exact: true }).fill(minute(-5));
    await eventually(async () => (await types(page)).length === 3);
    await page.getByRole("alert").waitFor({ state: "detached" });
    const shared = page.url().replace(/.*(?=#)/, "");
    await close();

    // Where it is later, it is the same minute.
    const tokyo = await open(shared, { timezone: "Asia/Tokyo", width: 390, scheme: "dark" });
    await eventually(async () => (await types(tokyo.page)).length === 3);
    await tokyo.page.getByText("your time zone, Asia/Tokyo").waitFor();
    await eventually(async () => (await tokyo.page.getByLabel("To", { exact: true }).inputValue()) === minute(9 * 60));
    expect(await findings(tokyo.page)).toEqual([]);
    expect(await tokyo.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
    await tokyo.page.getByRole("combobox", { name: "Time", exact: true }).selectOption("Any time");
    await eventually(() => !/from=|to=|since=/.test(tokyo.page.url()));
    await tokyo.goto("#/apps/pager/requests?since=between&from=yesterday");
    await tokyo.page.getByText("From: found “yesterday”, wanted a time such as 2026-01-05T10:11Z.").waitFor();
    await tokyo.close();
  });

  test("new requests come when one asks for them, or by themselves", async () => {
    await platform.register("busy", "ok");
    const { page, close } = await open("#/apps/busy/requests");
    await page.getByText("No requests yet.").waitFor();
    await platform.deliver("busy", "issue.created", 1);
    await page.getByText(", there are new attempts").waitFor({ state: "attached" });
    await page.getByRole("button", { name: /Refresh/ }).click();
    await eventually(async () => (await types(page)).length === 1);
    await page.getByLabel("Follow").check();
    await platform.deliver("busy", "issue.created", 1);
    await eventually(async () => (await types(page)).length === 2);
    await close();
  });

  test("a request opens to all that is known of it, is followed to its trace and sent again", async () => {
    const { page, close } = await open("#/apps/talker/requests?errors=1");
    await eventually(async () => (await types(page)).length === 2);
    await page.locator("tbody .row-link").first().click();
    const dialog = page.getByRole("dialog");
    await dialog.locator(".lead").getByText("Answered with status 503.").waitFor();
    // The delivery itself is further than any of its attempts.
    const now = dialog.getByRole("region", { name: "Delivery state" });
    await expect
      .poll(() => textOf(now))
      .toMatch(new RegExp(String.raw`Dead letter Answered with status 503\.\s+Given up\s+${TIME} UTC\s+Reason\s+Exhausted\s+Number\s+\d`));
    const [row] = (await platform.call("GET", "/v1/apps/talker/webhook-requests")).items as Array<Record<string, any>>;
    const facts = await textOf(dialog.locator(".facts"));
    for (const member of ["delivery_id", "event_id", "installation_uuid", "trace_id", "webhook_url"])
      expect(facts).toContain(row?.[member]);
    await expect.poll(() => dialog.locator(`a[href="https://traces.example/trace/${row?.["trace_id"]}"]`).count()).toBe(1);
    await expect.poll(() => textOf(dialog.locator(".headers"))).toMatch(/Authorization\s+\[redacted\]/);
    const request = dialog.getByRole("region", { name: "Request body" });
    await expect.poll(() => textOf(request)).toContain('{\n  "action": "created",\n  "installation": {');
    await expect.poll(() => textOf(request)).toContain('"big": "12345678901234567890"');
    await expect.poll(() => textOf(request)).toContain("cut here");
    await expect.poll(() => textOf(dialog.getByRole("region", { name: "Response body" }))).toMatch(/"code": "overloaded"[\s\S]*cut here/);
    // The answer is what one looks for first.
    const headings = await dialog.locator("h3").allInnerTexts();
    expect([headings[0], headings.at(-1)]).toEqual(["Response body", "Request headers"]);
    await pictures(page, "request");
    await dialog.getByRole("button", { name: "As sent" }).last().click();
    await expect.poll(() => textOf(request)).toContain('{"action":"created","installation":');
    expect(await page.content()).not.toContain("planted-secret");
    expect(await findings(page)).toEqual([]);

    // The attempts of the delivery lead to each other.
    await expect.poll(() => dialog.locator(".attempts li").count()).toBe(2);
    await dialog.locator(".attempts button").click();
    await eventually(async () => /Attempt\s+1\b/.test(await textOf(dialog.locator(".facts"))));

    const before = platform.receiver.requests.length;
    await dialog.getByRole("button", { name: "Resend" }).click();
    await page.getByText("Resent.").waitFor();
    await platform.receiver.waitFor(before + 1);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await eventually(() => !page.url().includes("open="));
    await close();
  });

  test("where a delivery is now is said of each that waits, and that it could not be loaded is not nowhere", async () => {
    await platform.register("waiting", "down", { name: "Waiting", retry_schedule_s: [3_600] });
    await platform.deliver("waiting", "issue.created", 1);
    const { page, goto, close } = await open("#/apps/waiting/requests", { expected: /status of 503/ });
    await page.locator("tbody .row-link").click();
    const now = page.getByRole("region", { name: "Delivery state" });
    await eventually(async () => /Retrying\s+Next attempt\s+\d/.test(await textOf(now)));
    expect(await findings(page)).toEqual([]);

    const address = "**/v1/deliveries/*";
    await page.route(address, (route) => route.fulfill({ status: 503, json: { detail: "NATS is away" } }));
    await now.getByRole("button", { name: "Refresh" }).click();
    await now.getByRole("alert").getByText("The delivery state could not be loaded. NATS is away.").waitFor();
    expect(await now.getByText("Retrying").count()).toBe(0);
    await page.unroute(address);
    await now.getByRole("button", { name: "Try again" }).click();
    await now.getByText("Retrying").waitFor();

    // What was given up leads to its dead letter.
    await goto("#/apps/discourse/requests?type=comment.created");
    await page.locator("tbody .row-link").first().click();
    await now.getByRole("link").click();
    await page.getByRole("dialog").getByRole("region", { name: "Event data" }).waitFor();
    await eventually(() => page.url().includes("#/apps/discourse/dead-letters?open="));
    await close();
  });

  test("a delivered request says that its body was not kept", async () => {
    const { page, close } = await open("#/apps/pager/requests");
    await page.locator("tbody .row-link").first().click();
    await page.getByRole("region", { name: "Delivery state" }).locator(".pill", { hasText: "Delivered" }).waitFor();
    await page.getByText("Headers and bodies of delivered attempts are kept when").waitFor();
    await close();
  });

  test("an event of any size and depth is shown at once as far as it can be looked at, and whole when asked for", async () => {
    const { page, close } = await open("#/apps/discourse/dead-letters");
    const items = Array.from({ length: 6_000 }, (_, n) => ({ [`key${n}`]: [], list: [n] }));
    const data = { items, deep: JSON.parse(`${"[".repeat(1_000)}${"]".repeat(1_000)}`) as unknown, last: "the end" };
    await page.route(/v1\/dead-letters\/\d+$/, async (route) => {
      const letter = (await (await route.fetch()).json()) as { event: object };
      await route.fulfill({ json: { ...letter, event: { ...letter.event, data } } });
    });
    await page.locator("tbody .row-link").first().click();
    const shown = page.getByRole("dialog").getByRole("region", { name: "Event data" });
    await shown.getByRole("button", { name: "Show all" }).waitFor();
    expect(await shown.locator("span").count()).toBeLessThanOrEqual(5_000);
    expect(await textOf(shown)).not.toContain("the end");
    await shown.getByRole("button", { name: "Show all" }).click();
    await eventually(async () => (await textOf(shown)).includes('"last": "the end"'));
    await close();
  });

  test("dead letters are listed with their reason and opened to their attempts and event", async () => {
    const { page, close } = await open("#/dead-letters");
    await eventually(async () => (await types(page)).length >= 10);
    await expect.poll(() => textOf(page.locator("tbody"))).toMatch(/none\s+[\w-]+\.events\.issue\.created/);
    expect(await findings(page)).toEqual([]);
    await pictures(page, "dead-letters");
    await page.getByRole("combobox", { name: "App" }).fill("discourse");
    await page.keyboard.press("Enter");
    await eventually(async () => (await types(page)).length === 8);
    await page.getByRole("searchbox", { name: "Event type" }).fill("comment.created");
    await page.keyboard.press("Enter");
    await eventually(async () => (await types(page)).join() === "comment.created,comment.created");
    await page.locator("tbody .row-link").first().click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Answered with status 422.").waitFor();
    await eventually(async () => (await textOf(dialog.getByRole("region", { name: "Event data" }))).includes('"n": 1'));
    await expect.poll(() => textOf(dialog.locator(".attempts"))).toContain("422 Rejected");
    expect(await findings(page)).toEqual([]);
    await close();
  });

  test("an event that could not be read is shown as it came", async () => {
    const { page, close } = await open("#/dead-letters");
    await page.getByRole("button", { name: /\.events\.issue\.created$/ }).click();
    await eventually(async () => (await textOf(page.getByRole("dialog"))).includes("this is no JSON"));
    await close();
  });

  test("dead letters are replayed one by one, selected, and all that match, with their progress", async () => {
    const { page, close } = await open("#/apps/discourse/dead-letters");
    await eventually(async () => (await types(page)).length === 8);
    platform.mend();
    const left = async (): Promise<number> => (await platform.call("GET", "/v1/dead-letters?app=discourse")).items.length;

    await page.locator("tbody .row-link").first().click();
    await page.getByRole("dialog").getByRole("button", { name: "Replay" }).click();
    await page.getByText("Replayed.", { exact: true }).waitFor();
    await eventually(async () => (await left()) === 7 && (await types(page)).length === 7);

    for (const at of [0, 1, 2])
      await page
        .getByRole("checkbox", { name: /^Select / })
        .nth(at + 1)
        .check();
    await page.getByRole("button", { name: "Replay 3 selected" }).click();
    const dialog = page.getByRole("dialog", { name: "Replay dead letters" });
    await dialog.getByText("3 dead letters will be replayed.").waitFor();
    await dialog.getByRole("button", { name: "Replay 3" }).click();
    await dialog.getByText("Done: 3 of 3 replayed.").waitFor();
    expect(await findings(page)).toEqual([]);
    await dialog.getByRole("button", { name: "Close", exact: true }).last().click();
    await eventually(async () => (await left()) === 4 && (await types(page)).length === 4);

    await page.getByRole("button", { name: "Replay all" }).click();
    await dialog.getByText("4 dead letters match").waitFor();
    await dialog.getByRole("button", { name: "Replay 4" }).click();
    await dialog.getByText("Done: 4 of 4 replayed.").waitFor();
    await dialog.getByRole("button", { name: "Close", exact: true }).last().click();
    await page.getByText("There are no dead letters.").waitFor();
    expect(await left()).toBe(0);
    await close();
  });

  test("dead letters are deleted for good: one, the selected ones, and all that match, once their number is confirmed", async () => {
    await platform.register("linter", "refuses", { name: "Linter" });
    await platform.deliver("linter", "issue.created", 5);
    await platform.deliver("linter", "comment.created", 3);
    const left = async (): Promise<number> => (await platform.call("GET", "/v1/dead-letters?app=linter")).items.length;
    await eventually(async () => (await left()) === 8);
    const { page, close } = await open("#/apps/linter/dead-letters");
    await eventually(async () => (await types(page)).length === 8);
    const dialog = page.getByRole("dialog", { name: "Delete dead letters" });

    await page.locator("tbody .row-link").first().click();
    await page.getByRole("button", { name: "Delete…" }).click();
    await dialog.getByText("1 dead letter will be deleted for good").waitFor();
    await dialog.getByRole("button", { name: "Delete 1", exact: true }).click();
    await page.getByText("1 dead letter deleted.").waitFor();
    await eventually(async () => (await left()) === 7 && (await types(page)).length === 7);

    for (const at of [1, 2])
      await page
        .getByRole("checkbox", { name: /^Select / })
        .nth(at)
        .check();
    await page.getByRole("button", { name: "Delete 2 selected…" }).click();
    await dialog.getByText("2 dead letters will be deleted for good").waitFor();
    expect(await findings(page)).toEqual([]);
    await dialog.getByRole("button", { name: "Cancel" }).click();
    expect(await left()).toBe(7);
    await page.getByRole("button", { name: "Delete 2 selected…" }).click();
    await dialog.getByRole("button", { name: "Delete 2", exact: true }).click();
    await eventually(async () => (await left()) === 5 && (await types(page)).length === 5);

    await page.getByRole("searchbox", { name: "Event type" }).fill("issue.created");
    await page.keyboard.press("Enter");
    const matching = await eventually(async () => {
      const shown = await types(page);
      return shown.length > 0 && !shown.includes("comment.created") && shown.length;
    });
    await page.getByRole("button", { name: "Delete all matching…" }).click();
    await dialog.getByText(`${matching} dead letters will be deleted for good`).waitFor();
    // A delivery that is given up meanwhile was not counted, and stays.
    await platform.deliver("linter", "issue.created", 1);
    await eventually(async () => (await left()) === 6);
    await dialog.getByRole("button", { name: `Delete ${matching}`, exact: true }).click();
    await page.getByText(`${matching} dead letters deleted.`).waitFor();
    await eventually(async () => (await left()) === 6 - matching && (await types(page)).length === 1);
    const [entry] = (await platform.call("GET", "/v1/audit?action=deleteDeadLetters")).items as Array<{ who: string }>;
    expect(entry).toBeDefined();
    await close();
  });

  test("changes are shown page by page", async () => {
    for (let n = 0; n < 51; n++) await platform.call("PATCH", "/v1/apps/busy", { name: `Busy ${n}` });
    const { page, close } = await open("#/apps/busy/timeline?show=changes");
    const shown = page.locator(".timeline li");
    await eventually(async () => (await shown.count()) === 50);
    await page.getByText('after: {"name":"Busy 50"}').waitFor();

    // An older page would be dropped with the first one, so it can't be asked for while that is loaded again.
    const first = Promise.withResolvers<void>();
    await page.route(/v1\/audit/, async (route) => {
      await first.promise;
      await route.continue();
    });
    await platform.call("PATCH", "/v1/apps/busy", { name: "Busier" });
    await page.getByRole("button", { name: "Refresh" }).click();
    await expect.poll(() => page.getByRole("button", { name: "Show older" }).isDisabled()).toBe(true);
    first.resolve();
    await page.getByText('after: {"name":"Busier"}').waitFor();
    await page.getByRole("button", { name: "Show older" }).click();
    await eventually(async () => (await shown.count()) > 51);
    await page.getByText('after: {"name":"Busy 0"}').waitFor();
    await close();
  });

  test("the timeline shows circuits and integrations, old and new, and dead letters when asked", async () => {
    const [uuid] = await platform.register("old-crm", "gone", { name: "Old CRM" });
    await platform.register("ledger", "down", { name: "Ledger" });
    await platform.deliver("old-crm", "issue.created", 1);
    await platform.deliver("ledger", "issue.created", 20);
    const { page, goto, close } = await open("#/timeline");
    const titles = async (): Promise<string[]> =>
      (await page.locator(".event-title").allInnerTexts()).map((text) => text.replace(new RegExp(String.raw`\s*${TIME}$`), ""));
    await eventually(
      async () =>
        (await titles()).sort().join("; ") ===
        "App failing ledger; Circuit opened ledger; Integration broken old-crm in organization northwind",
    );
    await expect.poll(() => textOf(page.locator(".event-detail"))).toContain("20 of 20 attempts failed within 60 s");
    await platform.call("POST", `/v1/installations/${uuid}/enable`);
    await eventually(async () => (await titles())[0] === "Integration recovered old-crm in organization northwind");
    expect(await findings(page)).toEqual([]);
    await pictures(page, "timeline");
    await page.getByRole("button", { name: "App", exact: true }).click();
    await eventually(async () => (await titles()).sort().join() === "App failing ledger,Circuit opened ledger");
    await page.getByRole("button", { name: "Given up" }).click();
    await page.getByText("issue.created after 1 attempt; answered with status 410").waitFor();
    await page.locator(".timeline li", { hasText: "status 410" }).getByRole("link", { name: "Delivery rejected" }).click();
    await page.getByRole("heading", { level: 1, name: "Delivery" }).waitFor();
    await goto("#/apps/old-crm/timeline");
    await eventually(
      async () =>
        (await titles()).join("; ") === "Integration recovered in organization northwind; Integration broken in organization northwind",
    );
    await goto("#/apps/pager/timeline");
    await page.getByText("No status changes in the last 30 days.").waitFor();
    await close();
  });

  test("the timeline has no gap, whatever is published before its stream, through it and between two of them", async () => {
    const { prefix, url } = platform.posthorn;
    const jetStream = platform.bus.connection.jetstream();
    const begin = Date.now();
    let published = 0;
    /** Status events about the organizations 1, 2, 3… */
    const publish = async (count: number): Promise<void> => {
      const stored: Array<Promise<unknown>> = [];
      for (const last = published + count; published < last; ) {
        const [organization_id, time] = [String(++published), new Date(begin + published).toISOString()];
        const data = { app: "relay", installation_uuid: UUID, organization_id, webhook_url: "https://relay.example", dashboard_url: null };
        const change = { ...data, previous_status: "active", status: "disabled", reason: { by: "person" } } as const;
        const event = integrationChanged({ id: `relay:${published}`, time, prefix }, "disabled", change);
        stored.push(jetStream.publish(createSubjects(prefix).statusOf(event), JSON.stringify(event)));
      }
      await Promise.all(stored);
    };
    await publish(1_000);
    const proxy = await startTcpProxy(Number(new URL(url).port));
    const { page, close } = await openDashboard(browser, `http://127.0.0.1:${proxy.port}/`, "#/timeline", { expected: /net::ERR/ });
    // A stream begins when this allows it.
    let gate = Promise.withResolvers<void>();
    await page.route("**/v1/overview/live", async (route) => {
      await gate.promise;
      await route.continue();
    });
    /** The organizations that the timeline shows, once the newest one is there; without a gap. */
    const shown = (): Promise<number[]> =>
      eventually(async () => {
        const found = (await page.locator(".event-title > :not(.event-time)").allTextContents()).flatMap(
          (text) => /organization (\d+)/.exec(text)?.[1] ?? [],
        );
        const wanted = found.map((_, at) => String(published - at));
        return found.length >= 50 && found.join() === wanted.join() && found.map(Number);
      });

    await page.reload();
    await shown();
    // More than a page.
    await publish(60);
    gate.resolve();
    await shown();
    await page.getByRole("button", { name: "Show older" }).click();
    await eventually(async () => (await shown()).length > 50);
    await publish(60);
    const before = await shown();

    // The first page is loaded again while an older one is on its way.
    const older = Promise.withResolvers<void>();
    const isOlder = /status-events.*cursor=.*limit=50$/;
    await page.route(isOlder, async (route) => {
      await older.promise;
      await route.continue();
    });
    await page.getByRole("button", { name: "Show older" }).click();
    gate = Promise.withResolvers();
    // Cuts the stream.
    proxy.thaw();
    await publish(10);
    gate.resolve();
    expect((await shown()).length).toBeGreaterThanOrEqual(before.length);
    older.resolve();
    await eventually(async () => (await shown()).length > before.length);

    // An older page arrives while the first one is loaded again; with it there are more than the API's longest page.
    const newest = Promise.withResolvers<void>();
    const isFirst = /status-events\?(?!.*cursor=)/;
    const asked = page.waitForRequest(isFirst);
    const answered = page.waitForResponse(isFirst);
    await page.route(isFirst, async (route) => {
      await newest.promise;
      await route.continue();
    });
    await page.route(isOlder, (route) => route.continue({ url: route.request().url().replace("limit=50", "limit=1000") }));
    proxy.thaw();
    await asked;
    await page.getByRole("button", { name: "Show older" }).click();
    await eventually(async () => (await shown()).length === published);
    newest.resolve();
    await answered;
    await settled(page);
    expect((await shown()).length).toBe(published);
    await close();
    await proxy.stop();
  });

  test.each(["#/apps/talker/requests", "#/dead-letters", "#/timeline", "#/apps/pager/settings"])(
    "%s is usable on a phone and in the dark",
    async (hash) => {
      const { page, close } = await open(hash, { width: 390, scheme: "dark" });
      await page.locator("table, .timeline, form.settings").first().waitFor();
      expect(await findings(page)).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
      await close();
    },
  );
});
