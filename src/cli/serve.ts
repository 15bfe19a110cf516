/** posthorn serve: runs the service, which main.ts starts. */
import { command } from "./command.ts";

export const serveCommand = command({
  name: "serve",
  summary: "Runs the service in the foreground, logging to standard output.",
  usesApi: false,
  details:
    "Its settings are environment variables: see docs/configuration.md or posthorn config. Logs are JSON, or lines for people on a terminal (POSTHORN_LOG_FORMAT).",
  examples: ["serve"],
  run: ({ serve }) => serve(),
});
