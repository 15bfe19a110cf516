/** Which dead letters a caller may see and choose. */
import type { DeadLetterFilter } from "../../dead-letters/dead-letter-filter.ts";
import type { DeadLetters } from "../../dead-letters/dead-letters.ts";
import type { DeadLetter } from "../../dead-letters/read-dead-letter.ts";
import type { Viewer } from "../../explain/viewer.ts";
import { organizationIn } from "../../jetstream/raw-message.ts";
import { AppError } from "../../model/app-error.ts";
import type { RegistryIndex } from "../../registry/registry-index.ts";

interface FilterInput {
  readonly app?: string | null | undefined;
  readonly installation_uuid?: string | null | undefined;
  readonly event_type?: string | null | undefined;
  readonly start?: number | null | undefined;
  readonly end?: number | null | undefined;
}

export interface DeadLetterAccessDependencies {
  readonly deadLetters: Pick<DeadLetters, "get" | "list" | "isOwn">;
  readonly index: RegistryIndex;
}

export interface DeadLetterAccess {
  /** @throws AppError NOT_FOUND when there is none, or it belongs to another app or organization */
  get(sequence: number, viewer: Viewer): Promise<DeadLetter>;
  /** @throws AppError NOT_FOUND for an app or installation that is unknown and has no dead letters */
  filter(input: FilterInput, viewer: Viewer): Promise<DeadLetterFilter>;
}

export function createDeadLetterAccess({ deadLetters, index }: DeadLetterAccessDependencies): DeadLetterAccess {
  const isKnown = ({ app, installationUuid }: DeadLetterFilter): boolean =>
    (app === null || index.app(app) !== undefined) && (installationUuid == null || index.installation(installationUuid) !== undefined);

  return {
    async get(sequence, viewer) {
      const { onlyApp } = viewer;
      const deadLetter = await deadLetters.get(sequence);
      const isOfApp = onlyApp === null || (deadLetter.app === onlyApp && deadLetters.isOwn(deadLetter));
      const isOfOrganization = viewer.onlyOrganization === null || organizationIn(deadLetter.content) === viewer.onlyOrganization;
      if (!isOfApp || !isOfOrganization) throw new AppError("NOT_FOUND", `no dead letter ${sequence}`);
      return deadLetter;
    },

    async filter({ app, installation_uuid: installationUuid, event_type: eventType, start, end }, viewer) {
      const { onlyApp, onlyOrganization: organizationId } = viewer;
      const owner = { app: onlyApp ?? app ?? null, ownOnly: onlyApp !== null, organizationId, installationUuid: installationUuid ?? null };
      if (!isKnown(owner) && (await deadLetters.list(owner, 0, 1)).items.length === 0) {
        const isAppUnknown = owner.app !== null && index.app(owner.app) === undefined;
        throw new AppError("NOT_FOUND", isAppUnknown ? `no app ${owner.app}` : `no installation ${installationUuid}`);
      }
      return { ...owner, eventType: eventType ?? null, start: start ?? null, end: end ?? null };
    },
  };
}
