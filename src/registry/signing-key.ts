/**
 * The key that app tokens are signed with: 32 random bytes in the record `signing-key` of the registry bucket, made when
 * it is first needed, so that every replica accepts what one of them has signed. Who removes the record ends all tokens.
 */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { AppError } from "../model/app-error.ts";
import { parseStored } from "./record-kinds.ts";
import type { SecretBox } from "./secret-box.ts";
import type { RecordKind, RegistryStore } from "./store.ts";

export const SIGNING_KEY = "signing-key";

interface StoredSigningKey {
  /** 64 hex digits, in secret-box.ts form. */
  readonly value: string;
}

export interface SigningKey {
  /** Null while there is none. */
  current(): Buffer | null;
  /** Makes one when there is none, or none that can be read. @throws AppError SECRET_UNREADABLE */
  get(): Promise<Buffer>;
}

const stored = z.looseObject({ value: z.string() });
export const signingKeyOwner = `_${SIGNING_KEY}`;

export function signingKeyKind(secretBox: SecretBox): RecordKind<StoredSigningKey> {
  return {
    prefix: SIGNING_KEY,
    parse(_name, value) {
      const record = parseStored<StoredSigningKey>(stored, value);
      if (FORM.test(secretBox.open(signingKeyOwner, record.value))) return record;
      throw new AppError("RECORD_INVALID", "it is not of its kind: value: wanted 64 hex digits");
    },
  };
}

const FORM = /^[0-9a-f]{64}$/;
const MAX_TRIES = 20;

/** Call before the store starts. */
export function createSigningKey(store: RegistryStore, secretBox: SecretBox): SigningKey {
  const kind = signingKeyKind(secretBox);
  const records = store.recordsOf(kind);
  const open = ({ value }: StoredSigningKey): Buffer => Buffer.from(secretBox.open(signingKeyOwner, value), "hex");
  let current: Buffer | null = null;

  store.onRecord(kind, (key, record) => {
    if (key === SIGNING_KEY) current = record && open(record);
  });

  return {
    current: () => current,
    async get() {
      for (let tries = 0; current === null && tries < MAX_TRIES; tries++) {
        const found = await records.read(SIGNING_KEY);
        if (found?.record) return open(found.record);
        // With the right POSTHORN_ENCRYPTION_KEY it may be readable yet.
        const unreadable = store.invalid().find(({ key }) => key === SIGNING_KEY);
        if (found !== null && unreadable?.isSecret) throw new AppError("SECRET_UNREADABLE", unreadable.problem);
        const made: StoredSigningKey = { value: secretBox.seal(signingKeyOwner, randomBytes(32).toString("hex")) };
        const written = found === null ? records.create(SIGNING_KEY, made) : records.update(SIGNING_KEY, made, found.revision);
        const revision = await written;
        // On a conflict another replica was quicker.
        if (revision !== "conflict") await store.reached(revision);
      }
      if (current === null) throw new AppError("CONFLICT", "the signing key kept being changed by others", { retryable: true });
      return current;
    },
  };
}
