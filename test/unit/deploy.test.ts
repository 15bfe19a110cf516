/** What is shipped for running Posthorn agrees with the program: settings, ports, probes, times. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { findBinary } from "../../scripts/servers.mjs";
import { documentedRoutes } from "../../src/api/routes/all-routes.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import type { Setting } from "../../src/config/setting.ts";
import { SETTINGS } from "../../src/config/settings.ts";
import { parseDuration } from "../../src/config/values.ts";
import { createSubjects } from "../../src/jetstream/subjects.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (file: string): string => readFileSync(join(root, file), "utf8");
const manifest = (name: string) => parse(read(`deploy/kubernetes/${name}.yaml`));
const openPaths = documentedRoutes()
  .filter(({ access }) => access === "open")
  .map(({ url }) => url);
/** A second wall has to close at least these; 168.63.129.16 is Azure's. */
const CLOSED_NETWORKS = ["10.0.0.0/8", "100.64.0.0/10", "168.63.129.16/32", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15"];
const LABELS = { "app.kubernetes.io/name": "posthorn" };
/** Secrets as their files would hold them. */
const secrets = {
  "api-tokens": `admin:${"a".repeat(24)},read:${"b".repeat(24)}`,
  "encryption-key": "ab".repeat(32),
  "nats-url": "nats://u:p@nats:4222",
  "redis-url": "redis://u:p@redis:6379",
};
const defaultMs = (name: "DRAIN_TIMEOUT" | "STARTUP_TIMEOUT"): number => parseDuration(SETTINGS[name].default);

const variables: Array<[file: string, variables: string[]]> = [
  ...["Dockerfile", "deploy/systemd/posthorn.service"].map((file): [string, string[]] => [
    file,
    read(file).match(/POSTHORN_[A-Z_]+/g) ?? [],
  ]),
  ["docker-compose.yml", Object.keys(parse(read("docker-compose.yml")).services.posthorn.environment)],
];

test.each(variables)("%s sets what is a setting", (_file, found) => {
  const known = Object.entries(SETTINGS as Readonly<Record<string, Setting<unknown>>>).flatMap(([name, { secret }]) =>
    secret ? [name, `${name}_FILE`] : [name],
  );
  const named = found.filter((name) => name.startsWith("POSTHORN_")).map((name) => name.slice("POSTHORN_".length));
  expect(named.length).toBeGreaterThan(0);
  expect(named.filter((name) => !known.includes(name))).toEqual([]);
});

describe("the Kubernetes deployment", () => {
  const { spec, metadata } = manifest("deployment");
  const pod = spec.template.spec;
  const [container] = pod.containers;

  test("starts with the settings of its config map and secrets", () => {
    const folder = mkdtempSync(join(tmpdir(), "posthorn-deploy-"));
    for (const [name, text] of Object.entries(secrets)) writeFileSync(join(folder, name), text);
    const mounted = (path: string): string => path.replace("/run/secrets/posthorn", folder);
    const fromSecrets = Object.fromEntries(container.env.map(({ name, value }: { name: string; value: string }) => [name, mounted(value)]));
    const config = loadConfig({ ...manifest("configmap").data, ...fromSecrets });
    rmSync(folder, { recursive: true });
    expect([config.httpPort, config.apiTokens.length, config.encryptionKey?.key.length]).toEqual([container.ports[0].containerPort, 2, 32]);
    expect(Object.keys(manifest("secret.example").stringData).sort()).toEqual(Object.keys(secrets).sort());
    // Kubernetes would add POSTHORN_SERVICE_HOST and others for the service of that name.
    expect(pod.enableServiceLinks).toBe(false);
  });

  test("is probed at paths that need no token, and given the time that a start and a stop take", () => {
    for (const probe of [container.startupProbe, container.livenessProbe, container.readinessProbe]) {
      expect(openPaths).toContain(probe.httpGet.path);
      expect(probe.httpGet.port).toBe(container.ports[0].name);
    }
    const { periodSeconds, failureThreshold } = container.startupProbe;
    expect(periodSeconds * failureThreshold * 1000).toBeGreaterThan(defaultMs("STARTUP_TIMEOUT"));
    const drainMs = parseDuration(manifest("configmap").data.POSTHORN_DRAIN_TIMEOUT);
    expect(pod.terminationGracePeriodSeconds * 1000).toBeGreaterThan(container.lifecycle.preStop.sleep.seconds * 1000 + drainMs);
  });

  test("runs as nobody in particular, on a file system that it can't write", () => {
    expect([pod.securityContext.runAsNonRoot, pod.securityContext.runAsUser > 0]).toEqual([true, true]);
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    expect(pod.automountServiceAccountToken).toBe(false);
    expect(read("Dockerfile")).toMatch(/^USER 1000:1000$/m);
  });

  test("is what service, budget, network policy and scaler select", () => {
    expect([spec.selector.matchLabels, spec.template.metadata.labels, metadata.labels]).toEqual([LABELS, LABELS, LABELS]);
    expect(manifest("service").spec.selector).toEqual(LABELS);
    expect(manifest("service").spec.ports[0].targetPort).toBe(container.ports[0].name);
    expect(manifest("poddisruptionbudget").spec.selector.matchLabels).toEqual(LABELS);
    expect(manifest("networkpolicy").spec.podSelector.matchLabels).toEqual(LABELS);
    expect(manifest("networkpolicy").spec.ingress[0].ports).toEqual([{ port: container.ports[0].containerPort }]);
    expect(manifest("scaledobject").spec.scaleTargetRef.name).toBe(metadata.name);
    expect(spec.replicas).toBeUndefined();
  });

  test("is scaled on the lag of the consumer that there is, above what a process may hold", () => {
    const [{ type, metadata: trigger }] = manifest("scaledobject").spec.triggers;
    const names = createSubjects(SETTINGS.SUBJECT_PREFIX.default);
    expect([type, trigger.stream, trigger.consumer]).toEqual(["nats-jetstream", names.streams.events, names.eventsConsumer]);
    expect(Number(trigger.lagThreshold)).toBeGreaterThan(2 * Number(SETTINGS.MAX_IN_FLIGHT.default));
  });

  test("may call public addresses, NATS, Redis and the name servers only", () => {
    const { egress } = manifest("networkpolicy").spec;
    expect(egress.map(({ ports }: { ports?: Array<{ port: number }> }) => ports?.map(({ port }) => port))).toEqual([
      [53, 53],
      [4222],
      [6379],
      undefined,
    ]);
    const { except } = egress[3].to[0].ipBlock;
    for (const network of CLOSED_NETWORKS) expect(except).toContain(network);
  });

  test("is put together by kustomize", (context) => {
    const kubectl = findBinary("kubectl");
    if (kubectl === null) return context.skip("there is no kubectl on this machine");
    const { stdout, stderr } = spawnSync(kubectl, ["kustomize", join(root, "deploy/kubernetes")], { encoding: "utf8" });
    expect(stderr).toBe("");
    const made = parseAllDocuments(stdout).map((document) => document.toJS() as { kind: string; metadata: { namespace?: string } });
    expect(made.map(({ kind }) => kind).sort()).toEqual(
      ["ConfigMap", "Deployment", "Namespace", "NetworkPolicy", "PodDisruptionBudget", "ScaledObject", "Service"].sort(),
    );
    for (const { kind, metadata: named } of made) if (kind !== "Namespace") expect(named.namespace).toBe("posthorn");
  });
});

describe("the systemd unit", () => {
  const unit = read("deploy/systemd/posthorn.service");

  test("lets a stop take its time and does not try again what only a person can mend", () => {
    const stopMs = Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1]) * 1000;
    expect(stopMs).toBeGreaterThan(defaultMs("DRAIN_TIMEOUT"));
    expect(unit).toMatch(/^RestartPreventExitStatus=64 78$/m);
    expect(unit).toMatch(/^ExecStart=\S+\/posthorn serve$/m);
  });

  test("closes private networks, leaves loopback open for what Posthorn needs, and gets its secrets as files", () => {
    const all = (name: string): string[] =>
      [...unit.matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].flatMap(([, text]) => text?.split(" ") ?? []);
    expect(all("IPAddressAllow")).toEqual(["localhost"]);
    expect(all("IPAddressDeny")).toEqual(
      expect.arrayContaining(["link-local", "multicast", ...CLOSED_NETWORKS, "fc00::/7", "64:ff9b::/96"]),
    );
    const files = all("LoadCredential").map((text) => text.split(":")[0] ?? "");
    expect(files).toEqual(["api-tokens", "encryption-key", "nats-url", "redis-url"]);
    for (const file of files) expect(unit).toContain(`Environment=POSTHORN_${file.replace("-", "_").toUpperCase()}_FILE=%d/${file}`);
  });

  test("is one that systemd takes", (context) => {
    const analyze = findBinary("systemd-analyze");
    if (analyze === null) return context.skip("there is no systemd-analyze on this machine");
    const folder = mkdtempSync(join(tmpdir(), "posthorn-unit-"));
    const file = join(folder, "posthorn.service");
    // It looks whether the program is there.
    writeFileSync(file, unit.replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`));
    const { status, stderr } = spawnSync(analyze, ["verify", "--man=no", file], { encoding: "utf8" });
    rmSync(folder, { recursive: true });
    expect([status, stderr]).toEqual([0, ""]);
  });
});

test("the image starts serve without npm, and listens beyond loopback, which takes tokens", () => {
  const dockerfile = read("Dockerfile");
  expect(dockerfile).toMatch(/^ENTRYPOINT \["node", "dist\/main\.js"\]\nCMD \["serve"\]$/m);
  expect(() => loadConfig({ POSTHORN_HTTP_HOST: "0.0.0.0" })).toThrow(/POSTHORN_API_TOKENS/);
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, files]) => files?.split(" ") ?? []);
  expect(copied.length).toBeGreaterThan(4);
  expect(copied.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});

describe("docker-compose.yml", () => {
  const text = read("docker-compose.yml");
  const compose = parse(text) as {
    services: Record<string, { environment?: Record<string, string>; networks?: unknown; profiles?: string[] }>;
    networks: Record<string, { ipam: { config: Array<{ subnet: string }> } }>;
    configs: Record<string, { content: string }>;
  };
  const folder = mkdtempSync(join(tmpdir(), "posthorn-env-"));
  const file = join(folder, ".env");
  const made = spawnSync("sh", [join(root, "deploy/make-env.sh"), file], { encoding: "utf8" });
  const mode = statSync(file).mode & 0o777;
  const variables = new Map(
    readFileSync(file, "utf8")
      .split("\n")
      .filter(Boolean)
      .map((line) => line.split("=") as [string, string]),
  );
  const again = spawnSync("sh", [join(root, "deploy/make-env.sh"), file], { encoding: "utf8" });
  rmSync(folder, { recursive: true });

  test("has no secret of its own: each is asked for, and deploy/make-env.sh makes it", () => {
    expect(text).not.toMatch(/change-me/);
    const asked = [...text.matchAll(/\$\{(\w+)(:\?)?/g)].filter(([, name = ""]) => /TOKEN|PASSWORD|KEY|SECRET/.test(name));
    expect(asked.length).toBeGreaterThan(8);
    expect(asked.filter(([, , required]) => required === undefined)).toEqual([]);
    const named = [
      ...asked.map(([, name = ""]) => name),
      ...[...read("deploy/nats/posthorn.conf").matchAll(/\$(\w+_PASSWORD)/g)].map(([, name = ""]) => name),
    ];
    expect([...new Set(named)].sort()).toEqual([...variables.keys()].sort());
    expect([made.status, made.stdout, mode]).toEqual([0, "", 0o600]);
    expect([again.status, again.stderr]).toEqual([1, expect.stringContaining("is there already")]);
  });

  test("starts Posthorn with what was made", () => {
    const environment = compose.services["posthorn"]?.environment ?? {};
    const filled = Object.fromEntries(
      Object.entries(environment)
        .filter(([name]) => name.startsWith("POSTHORN_"))
        .map(([name, value]) => [
          name,
          value.replace(/\$\{(\w+)(?::?[?-]([^}]*))?\}/g, (_all, variable: string, or = "") => variables.get(variable) ?? or),
        ]),
    );
    const config = loadConfig(filled);
    expect(config.apiTokens.map(({ token }) => token.length > 24)).toEqual([true, true]);
    expect(variables.get("POSTHORN_API_TOKENS")).toContain(`read:${variables.get("POSTHORN_METRICS_TOKEN")}`);
    // nats-server reads a value that looks like a number as one.
    for (const [name, value] of variables) if (name.endsWith("_PASSWORD")) expect(value).toMatch(/^[a-z][0-9a-f]{48}$/);
    expect(new Set(variables.values()).size).toBe(variables.size);
  });

  test("opens nothing to webhooks but the demo's receiver, which is where nothing else is", () => {
    const address = "172.31.255.10";
    expect(compose.services["posthorn"]?.environment?.["POSTHORN_TARGET_ALLOW"]).toBe(`\${POSTHORN_TARGET_ALLOW-${address}/32}`);
    expect(compose.services["receiver"]).toMatchObject({ profiles: ["demo"], networks: { webhooks: { ipv4_address: address } } });
    const within = Object.keys(compose.services).filter((name) =>
      JSON.stringify(compose.services[name]?.networks ?? "").includes("webhooks"),
    );
    expect(within).toEqual(["posthorn", "receiver"]);
    expect(compose.networks["webhooks"]?.ipam.config).toEqual([{ subnet: "172.31.255.0/28" }]);
  });

  test("has Redis with the user of docs/security.md, and anybody else may ping", () => {
    const [, documented = ""] = /^(user posthorn on .*)$/m.exec(read("docs/security.md")) ?? [];
    const content = (compose.configs["redis"]?.content ?? "").replace(/\$\{REDIS_PASSWORD[^}]*\}/, "change-me-posthorn").trim();
    expect(content.split("\n")).toEqual(["appendonly yes", "user default on nopass resetkeys resetchannels -@all +ping", documented]);
  });
});
