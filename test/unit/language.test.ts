/** The worst habits of language, refused: comments that begin with a riddle, and words that only we ever used. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { isChecked } from "../support/rooms.ts";
import { lineAt, readSources } from "../support/source-files.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

const all = readSources();
const checked = all.filter(({ room, isGenerated }) => isChecked(room) && !isGenerated);

/** An old word, or an old sense of one, and the word for it now (docs/glossary.md). */
interface OldWord {
  readonly old: RegExp;
  readonly now: string;
}

/** Words of prose and parts of names alike: `lane`, `ParkedLane`, `lane_label`. */
function word(forms: string, now: string): OldWord {
  return { old: new RegExp(`(?<![a-z])(?:${forms})(?![a-z])|(?<=[a-z])(?:${capitalized(forms)})(?![a-z])`, "g"), now };
}

/** Only as words of prose: the names of libraries have them. */
function phrase(forms: string, now: string): OldWord {
  return { old: new RegExp(`\\b(?:${forms})\\b`, "gi"), now };
}

function capitalized(forms: string): string {
  return forms.replace(/(^|\|)([a-z])/g, (_, bar: string, first: string) => bar + first.toUpperCase());
}

const OLD_WORDS: readonly OldWord[] = [
  word("lanes?|Lanes?", "stream"),
  phrase("parked-?drain|drains? (?:of|for) (?:a|the) queue|drain(?:s|ed|ing)? (?:a|the) (?:parked )?queue", "queue consumer"),
  word("gates?|Gates?", "admission"),
  word("passages?|Passages?", "decision"),
  word("verdicts?|Verdicts?", "disposition"),
  word("judges|Judges", "attempt listeners"),
  { old: /(?<!promise )\b(?:settle[sd]?|settling)\b(?!\s*(?:\?\.)?\.then)/gi, now: "complete, apply" },
  word("pokes?|poked|Pokes?", "wake"),
  word("wakeApp|appChanged", "wake"),
  phrase("worn out", "poison"),
  phrase("tired", "requeue"),
  word("watchdogs?|Watchdogs?", "stalled consumer"),
  phrase("stands? still|stood still", "stalled, waits"),
  phrase("anew", "again, recreated"),
  word("rungs?|Rungs?", "delay tier"),
  phrase("store budgets?", "publish window"),
  word("LaneSource|LaneReceipt|LanePlace|BusNames", "MessageRef, StoredMessageRef, Subjects"),
  word("nextProbe|canProbe|claimProbe", "recovery probe: due, claim, run"),
  word("busyUntil", "leasedUntil"),
  word("mayFlow", "isPaused"),
  word("leftBehind", "outbox"),
  phrase("left behind", "outbox, abandoned"),
  word("mended|mends|Mended", "recovered"),
  word("wasDelivered", "isDelivered"),
  word("whereabouts|Whereabouts", "lookup"),
  word("trails?|Trails?", "history"),
  // Not those of the alphabet: lower-case letters, a letter or digit.
  {
    old: /(?<![Dd]ead[\s_*-]*)(?<![a-z])(?<!(?:lower-case|capital|or more) )letters?\b(?!,? (?:or|and)? ?digits?)/g,
    now: "dead letter",
  },
  { old: /(?<![Dd]ead)Letters?\b/g, now: "dead letter" },
  phrase("told|heard|tells?", "sent, reported, shows"),
  word("figures?|Figures?", "metrics, counts"),
  phrase("goes on|going on|go on", "continues"),
  phrase("(?:is|are|was|were|while \\w+ (?:is|was)) away", "is down, unreachable"),
  phrase("so-manieth", "Nth"),
  phrase("found another", "the kind that was found"),
  phrase("delivered marks?", "dedup record"),
  phrase("whoever", "a subject"),
];

/** A use of an old word in another sense, in a file or folder. */
interface Exception {
  readonly where: string;
  readonly found: RegExp;
  readonly reason: string;
}

const TIER_CONSUMER = "the consumers of delay tiers keep the name that they have on the streams of an upgrade";

const EXCEPTIONS: readonly Exception[] = [
  { where: "src/web/", found: /^figures?$/i, reason: "the page's key figures, a word of design" },
  { where: "src/jetstream/subjects.ts", found: /^rung$/, reason: TIER_CONSUMER },
  { where: "docs/runbook.md", found: /^rung$/, reason: TIER_CONSUMER },
  { where: "docs/compatibility.md", found: /^lane$/, reason: "it says what was renamed" },
];

interface Refused {
  readonly word: string;
  readonly offset: number;
  readonly now: string;
}

function refusedIn(text: string): Refused[] {
  return OLD_WORDS.flatMap(({ old, now }) => [...text.matchAll(old)].map(({ 0: word, index }) => ({ word, offset: index, now })));
}

function oldWordsIn(file: string, text: string): string[] {
  return refusedIn(text)
    .filter(({ word }) => !EXCEPTIONS.some(({ where, found }) => file.startsWith(where) && found.test(word)))
    .map(({ word, offset, now }) => `${file}:${lineAt(text, offset)} "${word}": ${now}`);
}

test("no comment begins with a riddle", () => {
  const RIDDLE = /^(?:What|Of|Whoever|Who|Whom|Whose) |^[A-Z]+-\d+ +(?:What|Of|Whoever|Who|Whom|Whose) /gm;
  const found = checked.flatMap(({ file, comments }) =>
    comments.flatMap(({ line, text }) =>
      [...text.matchAll(RIDDLE)]
        .filter(({ 0: start, index }) => index === 0 || /\d/.test(start))
        .map(({ index }) => `${file}:${line} ${text.slice(index, index + 60)}`),
    ),
  );
  expect(found).toEqual([]);
});

test("the sources use the words of the glossary", () => {
  expect(checked.flatMap(({ file, text }) => oldWordsIn(`src/${file}`, text))).toEqual([]);
});

/** The changelog says what was renamed, and decisions are history. */
const DOCUMENTS = [
  "README.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  "docs/**/*.md",
  "asyncapi.yaml",
  "schemas/*.json",
  "observability/**/*.{json,yaml,yml}",
];

const documents = globSync(DOCUMENTS, { cwd: root }).filter((file) => !file.startsWith("docs/adr/"));

test("the documents use the words of the glossary", () => {
  const files = isChecked("docs") ? documents : [];
  expect(files.flatMap((file) => oldWordsIn(file, readFileSync(join(root, file), "utf8")))).toEqual([]);
});

test("every exception is needed", () => {
  const texts = [
    ...all.map(({ file, text }) => ({ file: `src/${file}`, text })),
    ...documents.map((file) => ({ file, text: readFileSync(join(root, file), "utf8") })),
  ];
  const isNeeded = ({ where, found }: Exception): boolean =>
    texts.some(({ file, text }) => file.startsWith(where) && refusedIn(text).some(({ word }) => found.test(word)));
  expect(EXCEPTIONS.filter((exception) => !isNeeded(exception))).toEqual([]);
});

test("old words are found in prose and in names, and other words are left alone", () => {
  const found = (text: string): number => refusedIn(text).length;
  for (const text of ["a lane", "parkedLane", "LaneSource", "a letter", "RawLetter", "the watchdog", "settle(message)", "it is made anew"])
    expect(found(text), text).toBeGreaterThan(0);
  for (const text of [
    "a planet",
    "a dead letter",
    "deadLetters",
    "dead-letters",
    "DeadLetter",
    "lower-case letters",
    "propagates",
    "investigate",
  ])
    expect(found(text), text).toBe(0);
});
