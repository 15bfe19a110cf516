/**
 * A process that starts an app, stops it at the first byte on standard input, prints what still keeps it alive, and never calls
 * process.exit.
 */
import { once } from "node:events";
import { createApp } from "../../src/app/app.ts";
import { loadConfig } from "../../src/config/load-config.ts";

const { stdout, stdin } = process;
const before = process.getActiveResourcesInfo();
const app = await createApp(loadConfig(), {});
await app.start();
stdout.write("started\n");
await once(stdin, "data");
stdin.destroy();
await app.stop();
const left = process.getActiveResourcesInfo();
for (const resource of before) if (left.includes(resource)) left.splice(left.indexOf(resource), 1);
stdout.write(`${JSON.stringify(left)}\n`);
