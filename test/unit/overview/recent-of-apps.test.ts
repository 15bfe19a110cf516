import { expect, test } from "vitest";
import type { RecentAttempts } from "../../../src/model/recent-attempts.ts";
import { createRecentOfApps } from "../../../src/overview/recent-of-apps.ts";

test("an app without recent attempts is read again only with a new attempt, a new hour or a new app of its slug", async () => {
  const reads: string[] = [];
  const recent = new Map<string, number>();
  const readAll = createRecentOfApps(async (app): Promise<RecentAttempts> => {
    reads.push(app);
    const minute = { start: 0, delivered: recent.get(app) ?? 0, failures: new Map<number, number>(), firstFailureAt: null };
    return { minutes: [minute], lastSuccessAt: 7 };
  });
  const volumes = { busy: [0, 5], idle: [4, 0] };
  let createdAt = 1;
  let hour = 0;
  const read = async (): Promise<string> => {
    const of = ([before, last]: readonly number[]) => [before ?? 0, last ?? 0].map((attempts) => ({ attempts, delivered: attempts }));
    const apps = ["busy", "idle"].map((slug) => ({ slug, createdAt }));
    const found = await readAll(apps, new Map(Object.entries(volumes).map(([app, counts]) => [app, of(counts)])), hour);
    expect([...found.keys()].sort()).toEqual(["busy", "idle"]);
    return reads.splice(0).join();
  };

  recent.set("busy", 5);
  expect([await read(), await read()]).toEqual(["busy,idle", "busy"]);
  volumes.idle = [4, 1];
  recent.set("idle", 1);
  expect([await read(), await read()]).toEqual(["busy,idle", "busy,idle"]);
  recent.set("idle", 0);
  expect([await read(), await read()]).toEqual(["busy,idle", "busy"]);
  hour = 1;
  expect([await read(), await read()]).toEqual(["busy,idle", "busy"]);
  createdAt = 2;
  expect([await read(), await read()]).toEqual(["busy,idle", "busy"]);
});
