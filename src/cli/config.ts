/** posthorn config: the settings in force here, as serve and the commands read them. */
import { type EffectiveSetting, effectiveSettings } from "../config/effective-settings.ts";
import { loadConfig } from "../config/load-config.ts";
import { command, flag } from "./command.ts";

export const configCommand = command({
  name: "config",
  summary: "Shows the settings in force, with secrets masked, and what is wrong with them.",
  usesApi: false,
  options: { set: flag("Only settings that are set.") },
  examples: ["config", "config --set", "config --json"],
  async run({ output, options, environment }) {
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
