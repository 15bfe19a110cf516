import { expect, test } from "vitest";
import { effectiveSettings } from "../../../src/config/effective-settings.ts";
import { SETTINGS } from "../../../src/config/settings.ts";

const settingOf = (name: string, environment: Record<string, string>) =>
  effectiveSettings(environment).find(({ variable }) => variable === `POSTHORN_${name}`);

test("every setting is there, with where its value comes from", () => {
  expect(effectiveSettings({}).length).toBeGreaterThan(Object.keys(SETTINGS).length);
  expect(settingOf("MAX_IN_FLIGHT", {})).toMatchObject({ value: "256", source: "default" });
  expect(settingOf("MAX_IN_FLIGHT", { POSTHORN_MAX_IN_FLIGHT: "8" })).toMatchObject({ value: "8", source: "environment" });
  expect(settingOf("APPS_FILE", {})).toMatchObject({ value: null, source: "default" });
});

test.each<[string, Record<string, string>, string, string]>([
  ["API_TOKENS", { POSTHORN_API_TOKENS: "admin:hunter2-hunter2-h" }, "********", "environment"],
  ["API_TOKENS", { POSTHORN_API_TOKENS_FILE: "/run/secrets/tokens" }, "********", "file"],
  ["TOKEN", { POSTHORN_TOKEN: "hunter2" }, "********", "environment"],
  ["ENCRYPTION_KEY", { POSTHORN_ENCRYPTION_KEY: "hunter2" }, "********", "environment"],
  ["NATS_URL", { POSTHORN_NATS_URL: "nats://svc:hunter2@a:4222,nats://b:4222" }, "nats://********@a:4222,nats://b:4222", "environment"],
  ["NATS_URL", { POSTHORN_NATS_URL: "nats://hunter2@a:4222" }, "nats://********@a:4222", "environment"],
  ["REDIS_URL", { POSTHORN_REDIS_URL: "redis://c:6379/2?password=hunter2" }, "redis://c:6379/2?********", "environment"],
  ["REDIS_URL", { POSTHORN_REDIS_URL: "hunter2" }, "********", "environment"],
])("%s of %j shows no secret", (name, environment, value, source) => {
  expect(settingOf(name, environment)).toMatchObject({ value, source });
});
