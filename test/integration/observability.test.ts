/**
 * The ready-made views against a running Posthorn: every metric that a rule or dashboard names is in a live scrape, a real
 * Prometheus takes the shipped configuration and answers every query, and the rules fire when they should.
 */
import { spawn, spawnSync } from "node:child_process";
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { findBinary } from "../../scripts/servers.mjs";
import { METRICS, type MetricDefinition } from "../../src/telemetry/metric-table.ts";
import { eventually } from "../support/eventually.ts";
import { connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, startReceiver } from "../support/receiver.ts";
import { freePort, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly runbook_url: string };
}

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: ReadonlyArray<{ readonly expr?: string; readonly datasource?: { readonly uid: string } }>;
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly templating: { readonly list: ReadonlyArray<{ readonly name: string; readonly query: unknown }> };
  readonly panels: readonly Panel[];
}

const root = fileURLToPath(new URL("../../", import.meta.url));
const prometheusFolder = join(root, "observability/prometheus");
const read = (file: string): string => readFileSync(join(root, file), "utf8");

const rules = (parse(read("observability/prometheus/rules.yml")) as { groups: Array<{ rules: Rule[] }> }).groups.flatMap(
  (group) => group.rules,
);
const dashboards = globSync("observability/grafana/dashboards/*.json", { cwd: root }).map((file) => JSON.parse(read(file)) as Dashboard);
const queries = dashboards.flatMap(({ uid, panels }) =>
  panels.flatMap(({ title, targets = [] }) => targets.flatMap(({ expr }) => (expr === undefined ? [] : [{ uid, title, expr }]))),
);
/** A dashboard's variables, as a viewer would have set them. */
const withVariables = (expr: string): string => expr.replaceAll("$__rate_interval", "1m").replaceAll("$app", "acme");

/** The tests of promtool are left out only where it can't be had; TEST_PROMTOOL=required makes that a failure. */
const canRun = findBinary("promtool") !== null && findBinary("prometheus") !== null;
const withPrometheus = test.skipIf(!canRun && process.env["TEST_PROMTOOL"] !== "required");

const TOKEN = "read-token-123456";
let nats: Server;
let redis: Server;
let posthorn: Posthorn;
let scrape: string;

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
  posthorn = await startPosthornHere({ nats, redis, settings: { POSTHORN_API_TOKENS: `admin:admin-token-12345,read:${TOKEN}` } });
  const admin = { authorization: "Bearer admin-token-12345" };
  const bad = await startReceiver(answer(400));
  await posthorn.api("PUT", "/v1/apps/acme", { webhook_url: bad.url, events: ["*"] }, admin);
  for (const uuid of ["0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f", "0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e60"])
    await posthorn.api("PUT", `/v1/installations/${uuid}`, { app: "acme", organization_id: "42", allow_duplicate: true }, admin);
  await posthorn.api("POST", "/v1/installations/0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e60/disable", undefined, admin);
  const bus = await connectBus(nats, posthorn.prefix);
  await bus.publish("issue.created", { organization_id: "42", data: {} });
  scrape = await eventually(async () => {
    const { body } = await posthorn.api("GET", "/metrics", undefined, { authorization: `Bearer ${TOKEN}` });
    return String(body).includes('posthorn_parked_oldest_age_seconds{app="acme"}') && String(body);
  });
  await Promise.all([bus.close(), bad.stop()]);
});
afterAll(async () => {
  await posthorn.end();
  await Promise.all([nats.stop(), redis.stop()]);
});

/** Metric names in PromQL: what is ours, and what Prometheus makes of histograms. */
function metricsIn(expr: string): string[] {
  return [...expr.matchAll(/\b(posthorn_[a-z_]+|process_[a-z_]+)\b/g)].map(([name]) => name);
}

describe("every metric that is named is in a live scrape", () => {
  const isScraped = (name: string): boolean => new RegExp(`^${name}(\\{| )`, "m").test(scrape);

  test.each(rules.map(({ alert, expr }) => [alert, expr]))("by the alert %s", (_alert, expr) => {
    for (const name of metricsIn(expr)) expect(isScraped(name), name).toBe(true);
  });

  test.each(queries.map(({ uid, title, expr }) => [uid, title, expr]))("by %s: %s", (_uid, _title, expr) => {
    expect(metricsIn(expr).length).toBeGreaterThan(0);
    for (const name of metricsIn(expr)) expect(isScraped(name), name).toBe(true);
  });

  test("and with labels that it has", () => {
    const definitions: Readonly<Record<string, MetricDefinition>> = METRICS;
    for (const expr of [...rules.map((rule) => rule.expr), ...queries.map((query) => query.expr)]) {
      for (const [, name = "", selector = ""] of expr.matchAll(/\b(posthorn_[a-z_]+)\{([^}]*)\}/g)) {
        const { labels = {} } = definitions[name.replace(/_(bucket|count|sum)$/, "")] ?? {};
        const named = [...selector.matchAll(/([a-z]+)(?:=~|!~|=|!=)/g)].map(([, label]) => label);
        expect(Object.keys(labels)).toEqual(expect.arrayContaining(named));
      }
    }
  });
});

describe("the alert rules", () => {
  const runbook = read("docs/runbook.md");
  const cases = parse(read("observability/prometheus/rules.test.yml")) as {
    tests: Array<{ alert_rule_test: Array<{ alertname: string; exp_alerts?: unknown[] }> }>;
  };
  const tested = cases.tests.flatMap(({ alert_rule_test: of }) => of);

  test.each(rules.map((rule) => [rule.alert, rule] as const))("%s has its section in the runbook and its two cases", (alert, rule) => {
    expect(rule.annotations.runbook_url).toBe(`docs/runbook.md#${alert.toLowerCase()}`);
    expect(runbook).toContain(`\n## ${alert}\n`);
    expect(["critical", "warning"]).toContain(rule.labels.severity);
    const ofAlert = tested.filter(({ alertname }) => alertname === alert);
    expect(ofAlert.some(({ exp_alerts: expected = [] }) => expected.length > 0)).toBe(true);
  });

  test("are all that the runbook has sections for", () => {
    const sections = [...runbook.matchAll(/^## (Posthorn\w+)$/gm)].map(([, alert]) => alert);
    expect(sections).toEqual(rules.map(({ alert }) => alert));
  });

  withPrometheus("are right in promtool's eyes, and fire when they should", () => {
    const run = (...args: string[]) => {
      const { status, stdout, stderr } = spawnSync("promtool", args, { cwd: prometheusFolder, encoding: "utf8" });
      return { status, output: stdout + stderr };
    };
    expect(run("check", "rules", "rules.yml")).toMatchObject({ status: 0, output: expect.stringContaining(`${rules.length} rules found`) });
    expect(run("test", "rules", "rules.test.yml")).toMatchObject({ status: 0, output: expect.stringContaining("SUCCESS") });
  });
});

test("the command of the README gives every runbook_url its base, in rules and tests alike", () => {
  const [, command = ""] = /^(sed -i .*)$/m.exec(read("observability/README.md")) ?? [];
  const folder = mkdtempSync(join(tmpdir(), "posthorn-rules-"));
  try {
    cpSync(prometheusFolder, join(folder, "observability/prometheus"), { recursive: true });
    expect(spawnSync("sh", ["-c", command], { cwd: folder, encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
    for (const file of ["rules.yml", "rules.test.yml"]) {
      const urls = [...readFileSync(join(folder, "observability/prometheus", file), "utf8").matchAll(/runbook_url: (\S+)/g)];
      expect(urls.length).toBeGreaterThanOrEqual(rules.length);
      for (const [, url] of urls) expect(url).toMatch(/^https:\/\/[^ ]+\/docs\/runbook\.md#posthorn[a-z]+$/);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

describe("the dashboards", () => {
  const provisioned = (
    parse(read("observability/grafana/provisioning/datasources/datasources.yml")) as {
      datasources: Array<{ uid: string }>;
    }
  ).datasources.map(({ uid }) => uid);

  test("are of the service, an app and the streams", () => {
    expect(dashboards.map(({ uid }) => uid).sort()).toEqual(["posthorn-app", "posthorn-service", "posthorn-streams"]);
  });

  test.each(dashboards.map((dashboard) => [dashboard.uid, dashboard] as const))(
    "%s asks data sources that are provisioned",
    (_uid, { panels }) => {
      expect(panels.length).toBeGreaterThan(5);
      for (const { type, targets = [], gridPos } of panels) {
        expect(type === "text" || targets.length > 0).toBe(true);
        expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
        for (const { datasource } of targets)
          if (datasource !== undefined) expect(["$datasource", ...provisioned]).toContain(datasource.uid);
      }
    },
  );

  test("have no panels over each other", () => {
    for (const { panels } of dashboards) {
      const taken = new Set<string>();
      for (const {
        gridPos: { x, y, w, h },
      } of panels) {
        for (let column = x; column < x + w; column++)
          for (let row = y; row < y + h; row++) {
            expect(taken.has(`${column},${row}`)).toBe(false);
            taken.add(`${column},${row}`);
          }
      }
    }
  });

  test("name only variables that they have", () => {
    for (const { templating, panels } of dashboards) {
      const variables = new Set(["__rate_interval", ...templating.list.map(({ name }) => name)]);
      for (const [, name = ""] of JSON.stringify(panels).matchAll(/\$([a-z_]+)/g)) expect(variables).toContain(name);
    }
  });
});

withPrometheus("a real Prometheus scrapes with the shipped configuration, loads the rules and answers every query", async () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-prometheus-"));
  const port = await freePort();
  const config = read("observability/prometheus/prometheus.yml")
    .replace("/run/posthorn-token", join(folder, "token"))
    .replace("posthorn:8080", new URL(posthorn.url).host)
    .replace("scrape_interval: 15s", "scrape_interval: 200ms")
    .replace("rules.yml", join(prometheusFolder, "rules.yml"));
  writeFileSync(join(folder, "token"), TOKEN);
  writeFileSync(join(folder, "prometheus.yml"), config);
  const child = spawn(
    "prometheus",
    [
      `--config.file=${join(folder, "prometheus.yml")}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: "ignore" },
  );
  const ask = async (path: string): Promise<any> => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`);
    const body = (await response.json()) as { status: string; data: unknown; error?: string };
    if (body.status !== "success") throw new Error(`${path}: ${body.error}`);
    return body.data;
  };
  const query = async (expr: string): Promise<any[]> => (await ask(`query?query=${encodeURIComponent(expr)}`)).result;
  try {
    await eventually(async () => (await query('up{job="posthorn"}'))[0]?.value[1] === "1");
    const loaded = (await ask("rules")).groups.flatMap((group: { rules: Array<{ name: string; health: string }> }) => group.rules);
    expect(loaded.map(({ name }: { name: string }) => name)).toEqual(rules.map(({ alert }) => alert));
    for (const { expr } of [...rules, ...queries]) await query(withVariables(expr));
    // What is asked of numbers that are there has an answer.
    await eventually(async () => (await query("sum(increase(posthorn_attempts_total[1m]))")).length === 1);
    expect((await query('posthorn_app_attempts_total{app="acme",outcome="rejected"}'))[0]?.value[1]).toBe("1");
    for (const { title, expr } of queries.filter(({ expr: of }) => !/histogram_quantile|increase|rate/.test(of)))
      expect((await query(withVariables(expr))).length, title).toBeGreaterThan(0);
  } finally {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
});
