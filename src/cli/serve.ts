/** posthorn serve: the service itself, which main.ts runs. */
import { command } from "./command.ts";

export const serveCommand = command({
  name: "serve",
  summary: "Runs the service in the foreground, logging JSON to standard output.",
  usesApi: false,
  details: "Its settings are environment variables: docs/configuration.md, or posthorn config.",
  examples: ["serve"],
  run: ({ serve }) => serve(),
});
