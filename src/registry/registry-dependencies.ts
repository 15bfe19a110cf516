/** Dependencies of the parts of the registry that change records. */
import type { Clock } from "../model/clock.ts";
import type { RegistryKinds } from "./record-kinds.ts";
import type { RecordLimits } from "./record-limits.ts";
import type { RefusesUrl } from "./records.ts";
import type { RegistryIndex } from "./registry-index.ts";
import type { SecretBox } from "./secret-box.ts";
import type { RegistryStore } from "./store.ts";

export interface RegistryDependencies {
  readonly store: RegistryStore;
  readonly kinds: RegistryKinds;
  readonly index: RegistryIndex;
  readonly secretBox: SecretBox;
  readonly refusesUrl: RefusesUrl;
  readonly clock: Clock;
}

export interface RegistryOptions {
  /** How long webhooks still carry the signature of the secret before a rotation. */
  readonly secretOverlapMs: number;
  readonly limits: RecordLimits;
  /** Whether a PUT checks a webhook's URL again that the record has already; true when absent. */
  readonly checksKnownUrls?: boolean;
}
