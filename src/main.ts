#!/usr/bin/env node
/**
 * Process entry: command line → command, or settings → app → signals; then the exit code. The only place that touches
 * process.on and process.exit. Everything else is imported once the version of Node is known to be right.
 */
import cluster from "node:cluster";
import { existsSync, mkdirSync } from "node:fs";
import module from "node:module";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Config } from "./config/settings.ts";

const OLDEST_NODE = 24;
/** sysexits.h EX_CONFIG. */
const EXIT_CONFIG = 78;
/** 128 + SIGINT */
const EXIT_INTERRUPTED = 130;
/** A process that has just become ready has events to deliver first. */
const COLLECT_AFTER_MS = 10_000;

if (Number(process.versions.node.split(".")[0]) < OLDEST_NODE) {
  process.stderr.write(
    `Posthorn needs Node ${OLDEST_NODE} or newer, this is ${process.versions.node}. Install it from https://nodejs.org, or run\n` +
      `"npx posthorn" in a clone after "npm ci": npm installs Node ${OLDEST_NODE} there.\n`,
  );
  process.exit(EXIT_CONFIG);
}

const interrupted = new AbortController();
const interrupt = (): void => {
  if (interrupted.signal.aborted) process.exit(EXIT_INTERRUPTED);
  interrupted.abort();
};
process.on("SIGTERM", interrupt);
process.on("SIGINT", interrupt);

keepCompiledCode();
const { AppError, messageOf } = await import("./model/app-error.ts");
const { runCommandLine } = await import("./cli/run.ts");

/** Runs the service, in this process or in several. */
async function serve(): Promise<never> {
  const { loadConfig } = await import("./config/load-config.ts");
  const config = loadConfig();
  return config.processes > 1 && cluster.isPrimary ? serveInWorkers(config) : serveHere(config);
}

async function serveInWorkers(config: Config): Promise<never> {
  const { startWorkers } = await import("./app/processes.ts");
  const workers = startWorkers(config);
  onSignals(workers.stop, workers.stop);
  if (interrupted.signal.aborted) workers.stop();
  process.exit(await workers.ended);
}

/** It ends with the process. */
async function serveHere(config: Config): Promise<never> {
  limitHeap();
  const { createApp } = await import("./app/app.ts");
  const app = await createApp(config, process.env);
  const { logger } = app;
  process.on("exit", app.flushLog);

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
  // Ctrl-C reaches a worker and its parent, which passes it on.
  onSignals(stop, cluster.isPrimary ? stop : () => {});
  // A signal that came while modules were loaded.
  if (interrupted.signal.aborted) process.exit(0);
  process.on("unhandledRejection", (error) => {
    logger.fatal({ error: error instanceof Error ? error.stack : String(error) }, "unhandled rejection");
    process.exit(1);
  });

  try {
    await app.start();
    setTimeout(collectGarbage, COLLECT_AFTER_MS).unref();
  } catch (error) {
    // A stop ends a start that is still in progress, and then the process.
    if (!stopping) {
      logger.fatal({ code: error instanceof AppError ? error.code : undefined, error: messageOf(error) }, "start failed");
      process.exit(exitCodeOf(error));
    }
  }
  return new Promise<never>(() => {});
}

/** The new handlers come first: a signal that waits for the event loop is lost when its last handler is removed. */
function onSignals(onTerm: NodeJS.SignalsListener, onInt: NodeJS.SignalsListener): void {
  process.on("SIGTERM", onTerm);
  process.on("SIGINT", onInt);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.off(signal, interrupt);
}

/**
 * Lets the old generation grow to twice what is in use, instead of up to four times: at full load a process takes 200 MB instead
 * of 280, for up to 12 % more CPU (docs/scaling.md). NODE_OPTIONS doesn't take this flag.
 */
function limitHeap(): void {
  setFlagsFromString("--heap-growing-percent=100");
}

/** A start leaves more garbage than an idle process would ever collect: 12 MB. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  // Contexts that exist already don't get it.
  (runInNewContext("gc") as () => void)();
}

/**
 * The next start takes half the time. The folder is the user's own, because what is in it gets run: never one that others
 * may write. Where there is none, or it can't be written, every start compiles. NODE_COMPILE_CACHE names another.
 */
function keepCompiledCode(): void {
  const { HOME, XDG_CACHE_HOME = HOME && join(HOME, ".cache") } = process.env;
  if (!XDG_CACHE_HOME) return;
  const folder = join(XDG_CACHE_HOME, "posthorn");
  try {
    // One by one: a home that isn't there is not made.
    for (const path of [XDG_CACHE_HOME, folder]) if (!existsSync(path)) mkdirSync(path, { mode: 0o700 });
    module.enableCompileCache(folder);
  } catch {
    // It may not be written.
  }
}

async function reEncrypt(): Promise<0> {
  const { loadConfig } = await import("./config/load-config.ts");
  const { reEncryptSecrets } = await import("./app/re-encrypt-secrets.ts");
  await reEncryptSecrets(loadConfig());
  return 0;
}

/** A fault that only a person can repair is a matter of configuration; one that may pass by itself is worth a restart. */
function exitCodeOf(error: unknown): number {
  return error instanceof AppError && !error.retryable ? EXIT_CONFIG : 1;
}

async function readInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

// A reader that has seen enough, as head has, is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

const exitCode = await runCommandLine(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  environment: process.env,
  signal: interrupted.signal,
  readInput,
  serve,
  reEncrypt,
});
process.exit(exitCode);
