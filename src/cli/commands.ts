/** All commands, in the order of the help. */
import { appCommands } from "./apps.ts";
import { auditCommand } from "./audit.ts";
import type { Command } from "./command.ts";
import { completionCommand } from "./completion.ts";
import { configCommand } from "./config.ts";
import { conformanceCommand } from "./conformance.ts";
import { contextCommands } from "./contexts.ts";
import { deadLetterCommands } from "./dead-letters.ts";
import { debugCommands } from "./debug.ts";
import { deliveriesCommand, eventsCommand } from "./deliveries.ts";
import { explainCommand } from "./explain.ts";
import { findCommand } from "./find.ts";
import { helpCommand } from "./help.ts";
import { installationCommands } from "./installations.ts";
import { listenCommand } from "./listen.ts";
import { overviewCommand } from "./overview.ts";
import { portalLinkCommand } from "./portal-link.ts";
import { publishCommand } from "./publish.ts";
import { reEncryptCommand } from "./re-encrypt.ts";
import { replayCommand } from "./replay.ts";
import { replaysCommands } from "./replays.ts";
import { requestsCommand } from "./requests.ts";
import { serveCommand } from "./serve.ts";
import { statusCommand } from "./status.ts";
import { tailCommand } from "./tail.ts";

export const COMMANDS: readonly Command[] = [
  serveCommand,
  overviewCommand,
  ...appCommands,
  ...installationCommands,
  portalLinkCommand,
  publishCommand,
  requestsCommand,
  tailCommand,
  findCommand,
  eventsCommand,
  deliveriesCommand,
  explainCommand,
  ...deadLetterCommands,
  replayCommand,
  ...replaysCommands,
  statusCommand,
  auditCommand,
  ...debugCommands,
  listenCommand,
  conformanceCommand,
  reEncryptCommand,
  ...contextCommands,
  configCommand,
  completionCommand(() => COMMANDS),
  helpCommand(() => COMMANDS),
];
