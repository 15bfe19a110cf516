#!/usr/bin/env node
/** Process entry: settings → app → signals → exit code. The only place that touches process.on and process.exit. */
import { createApp } from "./app.ts";
import { ConfigError, loadConfig } from "./config/load-config.ts";
import { reEncryptSecrets } from "./maintenance.ts";
import { AppError, messageOf } from "./model/app-error.ts";

const OLDEST_NODE = 24;
/** sysexits.h EX_CONFIG. */
const EXIT_CONFIG = 78;
/** sysexits.h EX_USAGE. */
const EXIT_USAGE = 64;

if (Number(process.versions.node.split(".")[0]) < OLDEST_NODE) {
  process.stderr.write(`Posthorn needs Node ${OLDEST_NODE} or newer, this is ${process.versions.node}\n`);
  process.exit(EXIT_CONFIG);
}

const COMMANDS: Readonly<Record<string, () => Promise<void>>> = {
  serve,
  "re-encrypt": () => reEncryptSecrets(loadConfig()),
};

const [name = "serve", ...rest] = process.argv.slice(2);
const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
if (command === undefined || rest.length > 0) {
  process.stderr.write(
    `usage: posthorn [${Object.keys(COMMANDS).join(" | ")}]\nSettings are environment variables, see docs/configuration.md.\n`,
  );
  process.exit(EXIT_USAGE);
}

async function serve(): Promise<void> {
  const app = await createApp(loadConfig(), process.env);
  const { logger } = app;

  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) {
      logger.warn({ signal }, "second signal, exiting at once");
      process.exit(1);
    }
    stopping = true;
    logger.info({ signal }, "stopping");
    app.stop().then(
      (clean) => process.exit(clean ? 0 : 1),
      (error: unknown) => {
        logger.error({ error: messageOf(error) }, "stop failed");
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  process.on("unhandledRejection", (error) => {
    logger.fatal({ error: error instanceof Error ? error.stack : String(error) }, "unhandled rejection");
    process.exit(1);
  });

  try {
    await app.start();
  } catch (error) {
    if (stopping) return;
    logger.fatal({ code: error instanceof AppError ? error.code : undefined, error: messageOf(error) }, "start failed");
    await app.stop();
    process.exit(exitCodeOf(error));
  }
}

/** What only a person can mend is a matter of configuration; what may mend itself is worth a restart. */
function exitCodeOf(error: unknown): number {
  return error instanceof AppError && !error.retryable ? EXIT_CONFIG : 1;
}

command().catch((error: unknown) => {
  process.stderr.write(`${error instanceof ConfigError || error instanceof AppError ? error.message : (error as Error).stack}\n`);
  process.exit(exitCodeOf(error));
});
