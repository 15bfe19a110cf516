/** posthorn config: the settings of this process's environment, as serve and the commands read them; not those of a running Posthorn. */
import { type EffectiveSetting, effectiveSettings } from "../config/effective-settings.ts";
import { loadConfig } from "../config/load-config.ts";
import { command, flag } from "./command.ts";

export const configCommand = command({
  name: "config",
  summary: "Shows the settings of this environment, with secrets masked, and what is wrong with them.",
  usesApi: false,
  details: "A Posthorn that runs elsewhere has the settings of its own environment.",
  options: { set: flag("Only settings that are set.") },
  examples: ["config", "config --set", "config --json"],
  async run({ output, options, environment }) {
    output.note("The settings of this environment: posthorn serve would run with them here. A Posthorn elsewhere has its own.");
    const settings = effectiveSettings(environment).filter(({ source }) => !options.set || source !== "default");
    output.table<EffectiveSetting>(
      [
        { title: "SETTING", cell: ({ variable }) => variable, style: ({ source }) => (source === "default" ? undefined : "bold") },
        { title: "FROM", cell: ({ source }) => source },
        { title: "VALUE", cell: ({ value }) => value ?? "not set" },
      ],
      settings,
      "Nothing is set.",
    );
    loadConfig(environment);
  },
});
