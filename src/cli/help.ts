/** posthorn help [command] */
import { type Command, command } from "./command.ts";
import { findCommand } from "./command-line.ts";
import { overview, usageOf } from "./usage.ts";

/** @param commands a function, because this command is one of them */
export const helpCommand = (commands: () => readonly Command[]): Command =>
  command({
    name: "help",
    summary: "Lists the commands, or shows the options of one.",
    usesApi: false,
    operands: ["[command]..."],
    examples: ["help replay", "help apps add"],
    async run({ output, operands }) {
      const ofGroup = commands().filter(({ name }) => operands.length === 1 && name.startsWith(`${operands[0]} `));
      if (operands.length === 0) output.line(overview(commands()));
      else if (ofGroup.length > 0) output.line(ofGroup.map(usageOf).join("\n\n"));
      else output.line(usageOf(findCommand(commands(), operands).command));
    },
  });
