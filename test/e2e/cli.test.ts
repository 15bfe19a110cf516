/** The command line against a running service: as people and as programs use it. */
import { spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CliOptions, type CliRun, runCli } from "../support/cli.ts";
import { eventually } from "../support/eventually.ts";
import { MAIN, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Behaviour, type Receiver, startReceiver } from "../support/receiver.ts";
import { freePort, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;
let posthorn: Posthorn;
let receiver: Receiver;
let environment: Record<string, string>;

const asThePathSays: Behaviour = ({ path }, response) =>
  void response.writeHead(path === "/throttled" ? 429 : 200, { "retry-after": "60" }).end("ok");

beforeAll(async () => {
  [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver(asThePathSays)]);
  posthorn = await startPosthornHere({ nats, redis, settings: { POSTHORN_API_TOKENS: "admin:admin-token-12345,read:read-token-123456" } });
  environment = {
    POSTHORN_URL: posthorn.url,
    POSTHORN_TOKEN: "admin-token-12345",
    POSTHORN_NATS_URL: nats.url,
    POSTHORN_SUBJECT_PREFIX: posthorn.prefix,
  };
});
afterAll(async () => {
  await posthorn.end();
  await Promise.all([nats.stop(), redis.stop(), receiver.stop()]);
});

const cli = (line: string | readonly string[], options: CliOptions = {}): Promise<CliRun> =>
  runCli(typeof line === "string" ? line.split(" ") : line, { environment, ...options });

/** Something that goes on until it is interrupted, and what it says meanwhile. */
function following(line: string) {
  const interrupt = new AbortController();
  let said = "";
  const onOutput = (text: string): void => {
    said += text;
  };
  const ended = cli(line, { signal: interrupt.signal, onOutput });
  return {
    says: (text: string) => eventually(() => said.includes(text)),
    end() {
      interrupt.abort();
      return ended;
    },
    ended,
  };
}

/** An app of its own in an organization of its own. */
async function installed(
  options: readonly string[] = [],
  url = receiver.url,
): Promise<{ slug: string; organization: string; uuid: string }> {
  const slug = `app-${randomUUID().slice(0, 8)}`;
  const organization = randomUUID();
  const added = await cli(["apps", "add", slug, "--webhook", url, "--events", "*", "--retry", "", ...options, "--json"]);
  expect(added.err).toBe("");
  const { json } = await cli(["installations", "add", slug, "--organization", organization, "--json"]);
  return { slug, organization, uuid: json[0].uuid as string };
}

const publish = (organization: string, id: string) => cli(["publish", "issue.created", "--organization", organization, "--id", id]);

describe.concurrent("what happens now", () => {
  test("and status ends when there is nothing, or nothing more", async () => {
    const { slug, uuid } = await installed();
    expect(await cli(`status --app ${slug} --count 1 --timeout 200ms`)).toMatchObject({
      ...{ code: 1, out: "", err: expect.stringContaining("no status event within 200 ms; --timeout waits longer") },
    });
    await cli(`installations disable ${uuid}`);
    const some = await cli(`status --app ${slug} --since 1h --count 5 --timeout 3s --json`);
    expect([some.code, some.json.map(({ type }) => type)]).toEqual([0, ["integration.disabled"]]);
  });

  test("is shown by tail: every attempt once, of every app", async () => {
    const { slug, organization } = await installed();
    await publish(organization, "before");
    await eventually(async () => (await cli(`requests ${slug} --json`)).json.length === 1);
    const one = following(`tail ${slug} --json --count 2`);
    const every = following("tail");
    await Promise.all([one.says("Following"), every.says("Following all apps")]);
    await publish(organization, "first");
    await one.says("first");
    await publish(organization, "second");
    const { code, json } = await one.ended;
    expect([code, json.map(({ app, event_id: id }) => [app, id])]).toEqual([
      0,
      [
        [slug, "first"],
        [slug, "second"],
      ],
    ]);
    await every.says(slug);
    expect((await every.end()).code).toBe(0);
  });

  test("is shown by tail over a restart of the service", async () => {
    const prefix = `t-${randomUUID().slice(0, 8)}`;
    const options = { nats, redis, prefix, settings: { POSTHORN_HTTP_PORT: String(await freePort()) } };
    const first = await startPosthornHere(options);
    const { slug } = await first.install({ webhook_url: receiver.url });
    const tail = following(`tail ${slug} --count 1 --json --url ${first.url}`);
    await tail.says("Following");
    await first.end();
    await tail.says("trying again");
    const second = await startPosthornHere(options);
    await second.api("POST", `/v1/apps/${slug}/test`);
    expect((await tail.ended).json).toEqual([expect.objectContaining({ app: slug, event_type: "test.ping" })]);
    await second.end();
  });

  test("and what changed is shown by status, also from before", async () => {
    const { slug, uuid } = await installed();
    const live = following(`status --app ${slug}`);
    await live.says("Following");
    await cli(`installations disable ${uuid}`);
    await live.says("integration.disabled");
    expect((await live.end()).code).toBe(0);
    await cli(`installations enable ${uuid}`);
    const past = await cli(`status --since 1h --app ${slug} --count 2 --timeout 60s --json`);
    expect(past.json.map(({ type }) => type)).toEqual(["integration.disabled", "integration.enabled"]);
  });
});

describe.concurrent("the process", () => {
  const start = (...words: string[]) => spawn(process.execPath, [MAIN, ...words], { env: { PATH: process.env["PATH"], ...environment } });

  test("ends quietly when its reader has seen enough", async () => {
    const { slug, organization } = await installed();
    const child = start("tail", slug);
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    await eventually(() => said.includes("Following"));
    child.stdout.destroy();
    await publish(organization, randomUUID());
    expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(0);
    expect(said).toBe(`Following ${slug}; Ctrl-C stops.\n`);
  });

  test("follows until Ctrl-C", async () => {
    const { slug } = await installed();
    const child = start("tail", slug);
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    await eventually(() => said.includes("Following"));
    child.kill("SIGINT");
    expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(0);
  });

  test("serves with POSTHORN_URL and POSTHORN_TOKEN set, which are the command line's", async () => {
    const other = await startPosthornHere({ nats, redis, settings: { POSTHORN_URL: posthorn.url, POSTHORN_TOKEN: "x" } });
    expect(await other.end()).toBe(0);
  });
});

describe.concurrent("apps and installations", () => {
  test("are made, shown, changed by what is given, and removed when that is meant", async () => {
    const added = await cli(["apps", "add", "shop", "--webhook", receiver.url, "--header", "X-Team: blue", "--events", "issue,comment.*"]);
    expect([added.code, added.out]).toEqual([0, expect.stringMatching(/client secret {3}[0-9a-f]{64}\nwebhook secret {2}whsec_/)]);
    const again = await cli(["apps", "add", "shop", "--webhook", receiver.url]);
    expect([again.code, again.err]).toEqual([1, expect.stringMatching(/exists already\nposthorn apps set changes an existing one/)]);
    const changed = await cli("apps set shop --timeout 5s --ordered --json");
    expect(changed.json).toEqual([
      expect.objectContaining({ timeout_ms: 5_000, ordered: true, events: ["issue", "comment.*"], headers: { "X-Team": "[redacted]" } }),
    ]);
    const byIssue = await cli("apps set shop --order-by /issue/id --on-exhausted stop --json");
    expect(byIssue.json).toMatchObject([{ ordered: true, order_by: "/issue/id", on_exhausted: "stop", timeout_ms: 5_000 }]);
    expect((await cli("apps get shop")).out).toMatch(/ordered by +\/issue\/id\non exhausted +stop\n/);
    const both = await cli("apps set shop --ordered --order-by app");
    expect([both.code, both.err]).toEqual([64, expect.stringContaining("found more than one of them")]);
    expect(Object.keys((await cli("apps --json")).json[0])).toEqual(Object.keys((await cli("apps get shop --json")).json[0]));
    expect((await cli("apps")).out).toMatch(/^SLUG[\s\S]*\nshop +not installed +unpublished /);
    expect((await cli("apps set shop --timeout 90s --retry 5s,5m,1h")).out).toMatch(/timeout +90s\nretry +5s, 5m, 1h\n/);
    const rotated = await cli("apps rotate-secret shop --json");
    expect(rotated.json[0].client_secret).toMatch(/^[0-9a-f]{64}$/);
    const { uuid } = (await cli("installations add shop --organization 7 --project 1 --project 2 --json")).json[0];
    expect((await cli(`installations health ${uuid}`)).out).toMatch(/^status +active\nparked +0\n\nDAY/);
    expect((await cli(`installations disable ${uuid}`)).out).toMatch(/status +disabled/);
    expect((await cli(`installations discard ${uuid}`)).out).toMatch(/^0 went to dead letters/);
    expect((await cli(`installations enable ${uuid} --json`)).json[0].status).toBe("active");
    expect((await cli(`installations set ${uuid} --all-projects --json`)).json[0]).toMatchObject({ project_ids: [], organization_id: "7" });
    expect((await cli("installations --app shop --json")).json).toHaveLength(1);
    const unsure = await cli("apps delete shop");
    expect([unsure.code, unsure.err]).toEqual([
      64,
      expect.stringMatching(/this removes app shop and its 1 installation; confirm with --yes/),
    ]);
    expect((await cli(`installations delete ${uuid} --yes`)).out).toMatch(/^Removed the installation of shop in organization 7/);
    expect((await cli("apps delete shop --yes")).out).toBe("Removed app shop and its 0 installations.\n");
    expect((await cli("apps get shop")).code).toBe(1);
  });

  test("have a token of their own, for as long as it is asked for", async () => {
    const { slug } = await installed();
    const shown = await cli(["apps", "token", slug]);
    const hour = /^token {8}(phapp_\S+)\nscope {8}act\nvalid until {2}(.+)\n$/.exec(shown.out);
    expect([shown.code, shown.err, hour]).toEqual([0, expect.stringContaining("shown only once"), expect.anything()]);
    const { json } = await cli(["apps", "token", slug, "--ttl", "5m", "--json"]);
    expect(json).toMatchObject([{ app: slug, scope: "act", token: expect.stringMatching(/^phapp_/), expires_at: expect.any(String) }]);
    expect(Date.parse(hour?.[2] ?? "") - Date.parse(json[0].expires_at as string)).toBeGreaterThan(50 * 60_000);

    const own = { environment: { ...environment, POSTHORN_TOKEN: json[0].token as string } };
    expect((await cli(["requests", slug, "--json"], own)).code).toBe(0);
    expect(await cli(["apps", "token", slug], own)).toMatchObject({ code: 77, out: "" });
    expect(await cli(["apps", "token", slug, "--ttl", "25h"])).toMatchObject({
      code: 65,
      err: expect.stringContaining("wanted at most 86400"),
    });
    expect(await cli(["apps", "token", slug, "--ttl", "1500ms"])).toMatchObject({
      code: 64,
      err: expect.stringContaining("whole seconds"),
    });
  });

  test("have answers that are retried, can be retried now, and have their circuit closed", async () => {
    const { slug } = await installed(["--retry-on", "404,5XX"]);
    expect((await cli(`apps get ${slug}`)).out).toMatch(/^retry on +404, 5xx$/m);
    expect((await cli(["apps", "set", slug, "--retry-on", ""])).out).toMatch(/^retry on +no answer$/m);
    expect((await cli(`apps set ${slug} --retry-on default --json`)).json).toMatchObject([{ retry_on: null }]);
    await cli(`apps set ${slug} --retry 5s --timeout 5s --max-in-flight 5`);
    expect((await cli(`apps set ${slug} --retry default --timeout default --max-in-flight default --json`)).json).toMatchObject([
      { retry_schedule_s: null, timeout_ms: null, max_in_flight: null },
    ]);
    expect(await cli(`apps set ${slug} --retry-on 410`)).toMatchObject({ code: 65, err: expect.stringContaining('found "410", wanted') });
    expect(await cli(`apps retry-now ${slug}`)).toMatchObject({ code: 0, out: "0 deliveries due now.\n" });
    expect((await cli(`apps retry-now ${slug} --json`)).json).toEqual([{ app: slug, deliveries: 0 }]);
    expect(await cli(`apps close-circuit ${slug}`)).toMatchObject({ code: 0, out: `The circuit of ${slug} is closed.\n` });
    expect((await cli(`apps retry-now ${slug}x`)).code).toBe(1);
  });

  test("that are not there are refused with the nearest one that is", async () => {
    await installed(["--name", "Near"]);
    const { slug } = await installed();
    const { code, err } = await cli(`requests ${slug}x`);
    expect([code, err]).toEqual([1, `posthorn: no app ${slug}x\nDid you mean ${slug}?\n`]);
  });
});

describe.concurrent("an event", () => {
  test("is published with its numbers as written, looked for in the log and explained", async () => {
    const { slug, organization, uuid } = await installed();
    const id = randomUUID();
    const data = '{"big":12345678901234567890,"n":1.0}';
    const published = await cli(["publish", "issue.created", "--organization", organization, "--id", id, "--data", "-"], { input: data });
    expect([published.code, published.out]).toEqual([0, expect.stringMatching(/^issue\.created .+ stored as \S+_EVENTS \d+\n$/)]);
    expect((await publish(organization, id)).out).toMatch(/was already published; nothing was stored/);
    await eventually(() => receiver.requests.some(({ body }) => body.toString().includes(data)));
    const rows = await eventually(async () => {
      const { json } = await cli(`requests ${slug} --json`);
      return json.length > 0 && json;
    });
    expect(rows).toEqual([expect.objectContaining({ event_id: id, outcome: "delivered", response_code: 200 })]);
    expect((await cli(`requests ${slug} --errors`)).out).toMatch(/^No matching requests/);
    expect((await cli(`explain ${id}`)).out).toMatch(new RegExp(`${slug}  delivered[\\s\\S]*installation ${uuid} \\(active\\)`));
    expect((await cli(`explain ${rows[0].delivery_id} --json`)).json[0].delivery.state).toBe("delivered");
    expect((await cli(`explain ${randomUUID()}`)).code).toBe(1);
  });

  test("that is invalid is refused with the reason", async () => {
    const { code, err } = await cli("publish Issue.Created --organization 42");
    expect([code, err]).toEqual([65, expect.stringMatching(/type: found "Issue\.Created", wanted <resource>\.<action>/)]);
  });

  test("is published from the samples by its type, with the text of its numbers", async () => {
    const { organization } = await installed();
    for (const type of ["seer.pr_created", "metric_alert.critical"]) {
      const { code, out } = await cli(`publish --example ${type} --organization ${organization}`);
      expect([code, out]).toEqual([0, expect.stringMatching(new RegExp(`^${type.replace(".", "\\.")} .+ stored as`))]);
    }
    await eventually(() => receiver.requests.some(({ body }) => body.toString().includes('"pr_number":318')));
    await eventually(() => receiver.requests.some(({ body }) => body.toString().includes('"alert_threshold":100.0')));
  });

  test.each([
    ["--example seer.pr_creatd", /found "seer.pr_creatd", did you mean seer.pr_created\?/],
    ["--example constructor", /found "constructor", wanted one of issue\.created, /],
    ["issue.created --example issue.created", /give either it or those/],
    ["--example issue.created --data {}", /give either it or those/],
    ["", /<type> is missing/],
  ])("is not published with %j", async (words, message) => {
    const { code, err } = await cli(`publish ${words} --organization 42`.replace("  ", " "));
    expect([code, err]).toEqual([64, expect.stringMatching(message)]);
  });
});

test.concurrent("what was given up is listed, shown and replayed", async ({ onTestFinished }) => {
  const own = await startReceiver(answer(400, "no\u001b[31m"));
  onTestFinished(own.stop);
  const { slug, organization } = await installed([], own.url);
  const [one, two] = [randomUUID(), randomUUID()];
  await publish(organization, one);
  await publish(organization, two);
  const letters = await eventually(async () => {
    const { json } = await cli(`dead-letters --app ${slug} --json`);
    return json.length === 2 && json;
  });
  expect((await cli(`dead-letters --app ${slug} --limit 1`)).err).toBe("There are more: --limit 10 shows them\n");
  await eventually(async () =>
    /reason +rejected[\s\S]*ATTEMPT[\s\S]*1 .* rejected +400/.test((await cli(`dead-letters get ${letters[0].sequence}`)).out),
  );
  await eventually(async () => /response body +no \[31m\n/.test((await cli(`requests ${slug} --errors --full --limit 1`)).out));
  expect((await cli(`replay --app ${slug} --dry-run`)).out).toBe("2 dead letters would be replayed.\n");
  own.behave(answer(200));
  expect((await cli(`replay ${letters[0].sequence}`)).out).toBe(`${letters[0].sequence} will be delivered again.\n`);
  expect((await cli(`replay ${letters[1].delivery_id} --json`)).json[0].resend_id).toMatch(/^dead-letter-\d+-\d+$/);
  const all = await cli(`replay --app ${slug}`, { columns: 100 });
  expect(all.out).toBe("0 dead letters replayed.\n");
  await eventually(async () => (await cli(`requests ${slug} --json`)).json.filter(({ outcome }) => outcome === "delivered").length === 2);
  expect((await cli("replay 999999")).code).toBe(1);
});

test.concurrent("what was missed is counted, sent, listed and shown", async () => {
  const { slug, organization } = await installed();
  await publish(organization, randomUUID());
  await eventually(async () => (await cli(`requests ${slug} --json`)).json.length === 1);
  expect((await cli(`replays create --app ${slug} --what missed --dry-run`)).out).toMatch(/^0 deliveries would be sent:\nreplay +rpl_/);
  const created = await cli(`replays create --app ${slug} --what all --since 1d --wait`);
  expect(created.out).toMatch(/state +done[\s\S]*found +1 \(0 failed, 0 missed, 1 delivered\)\nsent +1\ndone +1\n/);
  const [replay] = (await cli(`replays --app ${slug} --state done --limit 1 --json`)).json;
  expect((await cli(`replays --app ${slug} --limit 1`)).out).toMatch(/^ID .*\nrpl_[0-9a-f]{32} +done +\S+ +all +1 +1 +1 +0 +0 /);
  expect((await cli(`replays show ${replay.id}`)).out).toMatch(/what +all\n/);
  expect((await cli(`replays cancel ${replay.id}`)).code).toBe(1);
  expect((await cli("replays create --what all")).err).toMatch(/wanted --app or --installation/);
  expect((await cli(`replays create --app ${slug}`)).err).toMatch(/wanted --what failed, --what missed, --what all/);
});

test.concurrent.each([
  "dead-letters --app nope",
  `dead-letters --installation ${randomUUID()}`,
  "dead-letters get 999999",
  "replay --app nope",
  "replay --app nope --dry-run",
  `replay --installation ${randomUUID()}`,
  "replay 999999",
  `replay dlv_${"0".repeat(32)}`,
  "requests nope",
  "tail nope",
  "installations --app nope",
  ...["get", "set --organization 1", "health", "enable", "disable", "discard", "delete --yes"].map((verb) =>
    verb.replace(/^(\S+)/, `installations $1 ${randomUUID()}`),
  ),
  ...["get", "set --timeout 1s", "delete --yes", "rotate-secret", "token", "test"].map((verb) => verb.replace(/^(\S+)/, "apps $1 nope")),
  "debug on nope",
  "debug off nope",
  `debug off ${randomUUID()}`,
  `explain dlv_${"0".repeat(32)}`,
  "explain no-such-event",
])("posthorn %s: what isn't there is not found", async (line) => {
  const { code, out, err } = await cli(line);
  expect([code, out, err]).toEqual([1, "", expect.stringMatching(/^posthorn: (?:no|nothing is known about) /)]);
});

test.concurrent("what receivers and publishers wrote never controls the terminal", async ({ onTestFinished }) => {
  const hostile = "\u001b]0;title\u0007\u001b[2J\u009b31m\u202eoops";
  const own = await startReceiver(answer(400, hostile));
  onTestFinished(own.stop);
  // Control characters in a name or an id are refused; what only turns the text around is not.
  const { slug, organization } = await installed(["--name", hostile.replace(/\p{Cc}/gu, "")], own.url);
  const data = JSON.stringify({ [hostile]: hostile });
  const publishAs = (eventId: string) => ["publish", "issue.created", "--organization", organization, "--id", eventId, "--data", data];
  const id = `${randomUUID()}\u202eoops`;
  expect((await cli(publishAs(id))).code).toBe(0);
  const [letter] = await eventually(async () => {
    const { json } = await cli(`dead-letters --app ${slug} --json`);
    return json.length === 1 && json;
  });
  for (const line of [
    ["apps", "get", slug],
    ["apps", "set", slug, "--name", hostile],
    ["apps"],
    ["dead-letters", "--app", slug],
    ["dead-letters", "get", String(letter.sequence)],
    ["requests", slug, "--full"],
    ["explain", id],
    ["explain", `${id}${hostile}`],
    ["apps", "get", hostile],
    publishAs(`${id}${hostile}`),
    [hostile],
  ]) {
    const { out, err } = await cli(line);
    expect([line[0], out + err]).toEqual([line[0], expect.not.stringMatching(/(?!\n)[\p{Cc}\u202e]/u)]);
    expect([line[0], out + err]).toEqual([line[0], expect.stringMatching(/\S/)]);
    for (const text of (await cli([...line, "--json"])).out.split("\n")) if (text !== "") JSON.parse(text);
  }
  expect((await cli(`dead-letters get ${letter.sequence} --json`)).json[0].event.data).toEqual({ [hostile]: hostile });
});

test.concurrent("at 80 columns an attempt shows what happened, with an id that commands take", async ({ onTestFinished }) => {
  const own = await startReceiver(answer(400, "no"));
  onTestFinished(own.stop);
  const { slug, organization, uuid } = await installed([], own.url);
  const id = `evt-${randomUUID()}`;
  await publish(organization, id);
  const [row] = await eventually(async () => {
    const { json } = await cli(`requests ${slug} --json`);
    return json.length === 1 && json;
  });
  const { out } = await cli(`requests ${slug} --utc`, { columns: 80, environment: { ...environment, NO_COLOR: "1" } });
  const lines = out.trimEnd().split("\n");
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  expect(lines[0]).toMatch(/^TIME \(UTC\) +EVENT +OUTCOME +CODE/);
  const [, short = ""] = /^\d\d-\d\d \d\d:\d\d:\d\d {2}issue\.created {2}rejected +400 +.*(dlv_[0-9a-f]{8})$/.exec(lines[1] ?? "") ?? [];
  expect(lines[2]).toBe(`  ${row.error}`);
  for (const line of [
    ["explain", short],
    ["requests", slug, "--delivery", short],
    ["requests", slug, "--event", id.slice(0, 16)],
    ["deliveries", "--event", id.slice(0, 16), "--installation", uuid.slice(0, 8)],
    ["explain", id.slice(0, 16)],
  ]) {
    const run = await cli([...line, "--json"]);
    expect([line, run.code, run.err]).toEqual([line, 0, ""]);
    expect(JSON.stringify(run.json)).toContain(row.delivery_id);
  }
  for (const verb of ["get", "health", "disable", "enable"]) expect((await cli(`installations ${verb} ${uuid.slice(0, 8)}`)).code).toBe(0);
  expect((await cli(`audit --installation ${uuid.slice(0, 8)} --json`)).json).toHaveLength(3);
  expect((await cli(`status --installation ${uuid.slice(0, 8)} --since 1h --count 3 --json`)).json.map(({ type }) => type)).toEqual([
    "delivery.rejected",
    "integration.disabled",
    "integration.enabled",
  ]);
  const [letter] = (await cli(`dead-letters --app ${slug} --installation ${uuid.slice(0, 8)} --json`)).json;
  expect(letter.delivery_id).toBe(row.delivery_id);
  own.behave(answer(200));
  expect((await cli(`replay ${short} --json`)).json[0].delivery_id).toBe(row.delivery_id);
  const [replay] = (await cli(`replays create --app ${slug} --what failed --rate 10/s --json`)).json;
  expect((await cli(`replays show ${replay.id.slice(0, 12)}`)).out).toMatch(/rate +10\/s\n/);
  const bounds = "The beginning of an id, and a trace, are found among the newest events";
  for (const [line, found] of [
    ["explain dlv_00000000", "posthorn: no delivery dlv_00000000\n"],
    ["explain evt-nowhere", /^posthorn: no event evt-nowhere: \d+ events from \d{4}-\d\d-\d\d \d\d:\d\d:\d\d[Z+-]/],
    [`deliveries --app ${slug} --event evt-nowhere`, ""],
  ] as const) {
    const { err } = await cli(line);
    expect(err).toMatch(found);
    expect(err).toContain(bounds);
  }
  expect((await cli("installations get 00000000")).err).toBe("posthorn: no installation 00000000\n");
});

test.concurrent("a beginning that two ids have is refused with both", async () => {
  const { slug } = await installed();
  const uuids = ["1", "2"].map((last) => `abcd0000-0000-4000-8000-00000000000${last}`);
  for (const uuid of uuids) await cli(`installations add ${slug} --organization ${uuid} --uuid ${uuid}`);
  const { code, err } = await cli("installations disable abcd0000");
  expect(code).toBe(1);
  for (const uuid of uuids) expect(err).toContain(uuid);
  expect((await cli(`installations get ${uuids[0]} --json`)).json[0].status).toBe("active");
});

test.concurrent("times are local with their offset, and are taken back as they are shown", async () => {
  const { slug } = await installed();
  const inKathmandu = { environment: { ...environment, TZ: "Asia/Kathmandu" } };
  const [, created = ""] = /^created +(.*)$/m.exec((await cli(`apps get ${slug}`, inKathmandu)).out) ?? [];
  expect(created).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+05:45$/);
  expect((await cli(`apps get ${slug} --utc`, inKathmandu)).out).toMatch(/^created +\S+ \S+Z$/m);
  expect((await cli(["audit", "--app", slug, "--since", created, "--json"], inKathmandu)).json.length).toBeGreaterThan(0);
  expect((await cli(["audit", "--app", slug, "--until", created], inKathmandu)).out).toBe("No changes.\n");
  expect((await cli(["audit", "--app", slug, "--until", created.slice(0, 19)], inKathmandu)).out).toBe("No changes.\n");
});

test.concurrent("the overview shows the apps in trouble first, and why", async () => {
  const { slug, organization } = await installed([], `${receiver.url}/throttled`);
  const event = randomUUID();
  await publish(organization, event);
  const shown = await eventually(async () => {
    const { out } = await cli("overview --limit 1");
    return out.includes("throttled") && out;
  });
  expect(shown).toMatch(
    /^posthorn +ready\nnats +\d\S+, at 127\.0\.0\.1:\d+, connected since [^,]+\nredis +\d\S+, at .*, memory \S+ MB, no limit\n/,
  );
  expect(shown).toMatch(/\napps +\d+, 1 throttled.*\ninstallations +\d+ active, /);
  expect(shown).toMatch(new RegExp(`\n${slug} +throttled .*Throttled until \\S+ \\S+: the receiver answered 429`));
  const inKathmandu = { environment: { ...environment, TZ: "Asia/Kathmandu" } };
  for (const line of ["apps", `deliveries --app ${slug}`, `explain ${event}`])
    expect((await cli(line, inKathmandu)).out).toMatch(/hrottled until \S+ \d\d:\d\d:\d\d\+05:45/);
  expect((await cli(`explain ${event} --utc`, inKathmandu)).out).toMatch(/throttled until \S+ \S+Z/);
  expect((await cli("overview --json")).json[0].items.map((app: { slug: string }) => app.slug)).toContain(slug);
});

test.concurrent("a context names a Posthorn, and its token is never shown or sent elsewhere", async () => {
  const { POSTHORN_URL: _url, POSTHORN_TOKEN: _token, ...rest } = environment;
  const home = mkdtempSync(join(tmpdir(), "posthorn-"));
  const inHome = { environment: { ...rest, XDG_CONFIG_HOME: home } };
  const run = (line: string, input?: string, more: Record<string, string> = {}) =>
    cli(line, { environment: { ...inHome.environment, ...more }, ...(input === undefined ? {} : { input }) });
  const added = await run(`context add prod --url ${posthorn.url} --token-stdin`, "admin-token-12345\n");
  expect(added).toMatchObject({ code: 0, out: `prod is ${posthorn.url}, the current context.\n`, err: "" });
  await run("context add away --url http://127.0.0.1:1 --token-stdin", "another-token-123");
  const file = join(home, "posthorn", "contexts.json");
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const listed = [await run("context"), await run("context list --json"), await run("context use prod"), await run("config")];
  for (const { out, err } of listed) expect(out + err).not.toMatch(/admin-token|another-token/);
  expect(listed[0]?.out).toMatch(/^NAME +CURRENT +TOKEN +URL\nprod +yes +yes +http/);

  // An option, then the environment, then the current context.
  expect((await run("apps")).code).toBe(0);
  expect(await run("apps --context away")).toMatchObject({ code: 69, err: expect.stringContaining("It is the address of context away") });
  expect(await run("apps", undefined, { POSTHORN_URL: "http://127.0.0.1:1" })).toMatchObject({ code: 69 });
  expect((await run("apps --context prod", undefined, { POSTHORN_URL: "http://127.0.0.1:1", POSTHORN_TOKEN: "nobody" })).code).toBe(0);
  expect((await run("apps", undefined, { POSTHORN_TOKEN: "nobody" })).code).toBe(77);
  expect((await run("apps --token admin-token-12345", undefined, { POSTHORN_TOKEN: "nobody" })).code).toBe(0);
  await run("context use away");
  expect((await run(`apps --url ${posthorn.url}`)).code).toBe(77);
  expect((await run("apps --token admin-token-12345 --context prod")).code).toBe(0);
  expect(await run("context use nowhere")).toMatchObject({ code: 1, err: "posthorn: no context nowhere; there are prod, away\n" });
  expect(await run("context remove away")).toMatchObject({ code: 0, out: "Removed away.\n" });
  expect((await run("context --json")).json).toEqual([{ name: "prod", url: posthorn.url, has_token: true, current: false }]);
  expect(readFileSync(file, "utf8")).not.toContain("another-token");
  writeFileSync(file, "admin-token-12345");
  const damaged = await run("context");
  expect([damaged.code, damaged.err]).toEqual([1, expect.stringMatching(/contexts\.json: found no contexts/)]);
  expect(damaged.err).not.toContain("admin-token");
  rmSync(home, { recursive: true });
});

test.concurrent("a test call says what came back, and its exit code whether it was good", async ({ onTestFinished }) => {
  const own = await startReceiver();
  onTestFinished(own.stop);
  const { slug } = await installed([], own.url);
  expect((await cli(`apps test ${slug}`)).out).toMatch(/outcome +delivered\nresponse +200/);
  own.behave(answer(503));
  const failed = await cli(`apps test ${slug} --json`);
  own.behave(answer(200));
  const id = randomUUID();
  const payload = JSON.stringify({ action: "created", installation: { uuid: id }, data: { id, n: 1 }, actor: null }).replace(
    ":1}",
    ":1.0}",
  );
  expect((await cli(["apps", "test", slug, "--data", payload])).code).toBe(0);
  expect(own.requests.some(({ body }) => body.toString().includes(`"data":{"id":"${id}","n":1.0}`))).toBe(true);
  expect([failed.code, failed.json[0].outcome, failed.err]).toEqual([1, "failed", expect.stringContaining("was not delivered (failed)")]);
});

test.concurrent("detailed logging is switched on for a while, shown and switched off", async () => {
  const { slug, uuid } = await installed();
  expect((await cli(`debug on ${slug} --for 5m`)).out).toMatch(new RegExp(`^${slug} is logged in detail until \\d{4}-`));
  await cli(`debug on ${uuid}`);
  await eventually(async () => (await cli("debug --json")).json.length === 2);
  expect((await cli(`debug off ${slug}`)).code).toBe(0);
  await cli(`debug off ${uuid}`);
  await eventually(async () => (await cli("debug")).out === "Nothing is logged in detail.\n");
  expect((await cli("debug on nobody")).code).toBe(1);
});

describe.concurrent("a local receiver", () => {
  const listen = async (slug: string, options: string) => {
    const port = await freePort();
    await cli(["apps", "set", slug, "--webhook", `http://127.0.0.1:${port}/hook`]);
    const listening = following(`listen --port ${port} ${options}`);
    await listening.says("Listening");
    return listening;
  };

  test("verifies, prints, and fails every Nth request", async () => {
    const secret = "0123456789abcdef".repeat(4);
    const { slug } = await installed(["--secret", secret]);
    const listening = await listen(slug, `--secret ${secret} --status 503 --every 2 --count 3 --json`);
    const outcomes: string[] = [];
    for (let times = 0; times < 3; times++) outcomes.push((await cli(`apps test ${slug} --json`)).json[0].outcome);
    expect(outcomes).toEqual(["delivered", "failed", "delivered"]);
    const { code, json } = await listening.ended;
    expect([code, json.map(({ signature, answered }) => [signature, answered])]).toEqual([
      0,
      [
        ["right", 200],
        ["right", 503],
        ["right", 200],
      ],
    ]);
  });

  test.each<[string, string]>([
    ["--reset", "unreachable"],
    ["--hang", "timed_out"],
    ["--delay 2s", "timed_out"],
    ["--status 410", "gone"],
    [`--secret ${"f".repeat(64)}`, "rejected"],
  ])("with %s a test call ends as %s", async (options, outcome) => {
    const { slug } = await installed(outcome === "timed_out" ? ["--timeout", "300ms"] : []);
    const listening = await listen(slug, options);
    expect((await cli(`apps test ${slug} --json`)).json[0].outcome).toBe(outcome);
    await listening.says("test.ping");
    expect((await listening.end()).code).toBe(0);
  });

  test("on a port that is taken says so", async () => {
    const { code, err } = await cli(`listen --port ${receiver.port}`);
    expect([code, err]).toEqual([1, `posthorn: port ${receiver.port} is in use; --port selects another\n`]);
  });
});

describe.concurrent("a token", () => {
  test.each<[string, Record<string, string>, string[], number, RegExp]>([
    ["that is missing", { POSTHORN_TOKEN: "" }, ["apps"], 78, /POSTHORN_TOKEN/],
    ["that is wrong", { POSTHORN_TOKEN: "nobody" }, ["apps"], 77, /Set POSTHORN_TOKEN to one of the service's POSTHORN_API_TOKENS/],
    ["for reading only", { POSTHORN_TOKEN: "read-token-123456" }, ["apps", "rotate-secret", "x"], 77, /read token/],
    ["given as an option", { POSTHORN_TOKEN: "nobody" }, ["apps", "--token", "read-token-123456"], 0, /^$/],
  ])("%s", async (_what, changed, words, code, err) => {
    const run = await cli(words, { environment: { ...environment, ...changed } });
    expect([run.code, run.err]).toEqual([code, expect.stringMatching(err)]);
  });
});

// Sequential: it blocks this process.
test("the process shows its settings without secrets, and what is wrong with them", () => {
  const run = spawnSync(process.execPath, [MAIN, "config", "--set"], {
    encoding: "utf8",
    env: { ...environment, POSTHORN_API_TOKENS: "admin:hunter2-hunter2-h", POSTHORN_MAX_IN_FLIGT: "8" },
  });
  expect(run.status).toBe(78);
  expect(run.stdout).toMatch(/POSTHORN_API_TOKENS +environment +\*{8}\n/);
  expect(run.stdout).not.toContain("hunter2");
  expect(run.stderr).toContain("POSTHORN_MAX_IN_FLIGT: no such setting, did you mean POSTHORN_MAX_IN_FLIGHT?");
});
