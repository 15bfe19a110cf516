/**
 * The key that signs app tokens: 32 random bytes in the record `signing-key` of the registry bucket, created when first needed,
 * so that all replicas accept each other's tokens. Deleting the record revokes all tokens.
 */

import { randomBytes } from "node:crypto";
import { z } from "zod";
import { AppError } from "../model/app-error.ts";
import type { RecordKind } from "../model/record-kind.ts";
import { parseStored } from "./record-kinds.ts";
import type { SecretBox } from "./secret-box.ts";
import type { RegistryStore } from "./store.ts";

export const SIGNING_KEY = "signing-key";

interface StoredSigningKey {
  /** 64 hex digits, in secret-box.ts form. */
  readonly value: string;
}

export interface SigningKey {
  /** Null until a key exists. */
  current(): Buffer | null;
  /** Creates a key if there is no readable one. @throws AppError SECRET_UNREADABLE */
  get(): Promise<Buffer>;
}

const stored = z.looseObject({ value: z.string() });
export const signingKeyOwner = `_${SIGNING_KEY}`;

export function signingKeyKind(secretBox: SecretBox): RecordKind<StoredSigningKey> {
  return {
    prefix: SIGNING_KEY,
    parse(_name, value) {
      const record = parseStored<StoredSigningKey>(stored, value);
      const key = secretBox.open(signingKeyOwner, record.value);
      if (FORM.test(key)) return record;
      throw new AppError("RECORD_INVALID", `invalid record: value: found ${key.length} characters, wanted 64 hex digits`);
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
        // The right POSTHORN_ENCRYPTION_KEY may still decrypt it.
        const unreadable = store.invalid().find(({ key }) => key === SIGNING_KEY);
        if (found !== null && unreadable?.isSecret) throw new AppError("SECRET_UNREADABLE", unreadable.problem);
        const made: StoredSigningKey = { value: secretBox.seal(signingKeyOwner, randomBytes(32).toString("hex")) };
        const written = found === null ? records.create(SIGNING_KEY, made) : records.update(SIGNING_KEY, made, found.revision);
        const revision = await written;
        // On a conflict another replica was faster.
        if (revision !== "conflict") await store.reached(revision);
      }
      if (current === null)
        throw new AppError("CONFLICT", `the signing key was changed by others ${MAX_TRIES} times in a row`, { retryable: true });
      return current;
    },
  };
}
