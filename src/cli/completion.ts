/** posthorn completion: a shell script that completes commands, options and their fixed values. */
import { type Command, choice, command } from "./command.ts";
import { optionsOf } from "./command-line.ts";
import { UsageError } from "./exit-codes.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;

/** @param commands a function, because this command is one of them */
export const completionCommand = (commands: () => readonly Command[]): Command =>
  command({
    name: "completion",
    summary: "Prints a completion script for your shell.",
    usesApi: false,
    operands: ["<bash|zsh|fish>"],
    details: [
      "bash:  echo 'source <(posthorn completion bash)' >> ~/.bashrc",
      "zsh:   echo 'source <(posthorn completion zsh)' >> ~/.zshrc   (after compinit)",
      "fish:  posthorn completion fish > ~/.config/fish/completions/posthorn.fish",
    ].join("\n"),
    examples: ["completion bash"],
    async run({ output, operands: [wanted = ""] }) {
      try {
        const shell = choice(SHELLS, "").parse(wanted);
        output.line(SCRIPTS[shell](commands()));
      } catch (error) {
        throw new UsageError(`completion: found ${JSON.stringify(wanted)}, ${(error as Error).message}`);
      }
    },
  });

const SCRIPTS: Readonly<Record<(typeof SHELLS)[number], (commands: readonly Command[]) => string>> = { bash, zsh, fish };

/** First words, and the second words of groups. */
function wordsOf(commands: readonly Command[]): { first: string[]; groups: Map<string, string[]> } {
  const groups = new Map<string, string[]>();
  for (const { name } of commands) {
    const [first = "", second] = name.split(" ");
    groups.set(first, [...(groups.get(first) ?? []), ...(second === undefined ? [] : [second])]);
  }
  return { first: [...groups.keys()], groups: new Map([...groups].filter(([, seconds]) => seconds.length > 0)) };
}

const optionNames = (of: Command): string[] => Object.keys(optionsOf(of)).map((name) => `--${name}`);

/** `case` branches: the words that can follow. */
function branches(commands: readonly Command[]): string {
  const lines: string[] = [];
  const { groups } = wordsOf(commands);
  for (const [group, seconds] of groups) lines.push(`    "${group}") words="${seconds.join(" ")}" ;;`);
  for (const candidate of commands) {
    const operand =
      candidate.name === "completion" ? `${SHELLS.join(" ")} ` : candidate.name === "help" ? `${wordsOf(commands).first.join(" ")} ` : "";
    lines.push(`    "${candidate.name}"*) words="${operand}${optionNames(candidate).join(" ")}" ;;`);
  }
  return lines.join("\n");
}

/** Values of options with fixed choices. */
function choices(commands: readonly Command[]): string {
  const found = new Map<string, Set<string>>();
  for (const candidate of commands) {
    for (const [name, option] of Object.entries(optionsOf(candidate))) {
      if (option.kind !== "value" || option.choices === undefined) continue;
      found.set(name, new Set([...(found.get(name) ?? []), ...option.choices]));
    }
  }
  return [...found].map(([name, values]) => `    --${name}) words="${[...values].join(" ")}" ;;`).join("\n");
}

function bash(commands: readonly Command[]): string {
  return `_posthorn() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" line="" words="" index
  for ((index = 1; index < COMP_CWORD; index++)); do
    case "\${COMP_WORDS[index]}" in
      -*) ;;
      *) line="\${line:+$line }\${COMP_WORDS[index]}" ;;
    esac
  done
  case "$line" in
    "") words="${wordsOf(commands).first.join(" ")}" ;;
${branches(commands)}
  esac
  case "$previous" in
${choices(commands)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _posthorn posthorn`;
}

/** zsh runs the bash script unchanged. */
function zsh(commands: readonly Command[]): string {
  return `autoload -U +X bashcompinit && bashcompinit
${bash(commands)}`;
}

function fish(commands: readonly Command[]): string {
  const quoted = (text: string): string => `'${text.replaceAll("'", "\\'")}'`;
  const lines = ["complete -c posthorn -f"];
  const { first, groups } = wordsOf(commands);
  for (const word of first) {
    const summary = commands.find(({ name }) => name === word)?.summary ?? `${(groups.get(word) ?? []).join(", ")}`;
    lines.push(`complete -c posthorn -n __fish_use_subcommand -a ${word} -d ${quoted(summary)}`);
  }
  for (const candidate of commands) {
    const [group = "", second] = candidate.name.split(" ");
    const seen = `__fish_seen_subcommand_from ${group}`;
    if (second !== undefined) {
      const others = (groups.get(group) ?? []).join(" ");
      lines.push(
        `complete -c posthorn -n '${seen}; and not __fish_seen_subcommand_from ${others}' -a ${second} -d ${quoted(candidate.summary)}`,
      );
    }
    const here = second === undefined ? seen : `${seen}; and __fish_seen_subcommand_from ${second}`;
    if (candidate.name === "completion") lines.push(`complete -c posthorn -n '${seen}' -a '${SHELLS.join(" ")}'`);
    for (const [name, option] of Object.entries(optionsOf(candidate))) {
      const values = option.kind === "flag" ? "" : option.choices === undefined ? " -r" : ` -x -a '${option.choices.join(" ")}'`;
      lines.push(`complete -c posthorn -n '${here}' -l ${name}${values} -d ${quoted(option.about)}`);
    }
  }
  return lines.join("\n");
}
