/**
 * The key that app tokens are signed with: 32 random bytes in the record `signing-key` of the registry bucket, made when
 * it is first needed, so that every replica accepts what one of them has signed. Who removes the record ends all tokens.
 */
import { randomBytes } from "node:crypto";
import { AppError, messageOf } from "../model/app-error.ts";
import type { SecretBox } from "./secret-box.ts";
import type { RegistryStore } from "./store.ts";

export const SIGNING_KEY = "signing-key";

export interface StoredSigningKey {
  /** 64 hex digits, in secret-box.ts form. */
  readonly value: string;
}

export interface SigningKey {
  /** Null while there is none. */
  current(): Buffer | null;
  /** Makes one when there is none. @throws AppError SECRET_UNREADABLE */
  get(): Promise<Buffer>;
  /** What is wrong with it; nothing, as a rule. */
  unreadable(): readonly string[];
}

/** Call before the store starts. */
export function createSigningKey(store: RegistryStore, secretBox: SecretBox): SigningKey {
  const owner = `_${SIGNING_KEY}`;
  const read = (value: string): Buffer => Buffer.from(secretBox.open(owner, (JSON.parse(value) as StoredSigningKey).value), "hex");
  let current: Buffer | null = null;
  let unreadable: readonly string[] = [];

  store.onRecord(SIGNING_KEY, (_key, value) => {
    current = null;
    unreadable = [];
    try {
      current = value === null ? null : read(value);
    } catch (error) {
      unreadable = [messageOf(error)];
      throw error;
    }
  });

  return {
    current: () => current,
    async get() {
      if (current !== null) return current;
      const made: StoredSigningKey = { value: secretBox.seal(owner, randomBytes(32).toString("hex")) };
      // On a conflict another replica was quicker.
      await store.createRecord(SIGNING_KEY, JSON.stringify(made));
      const found = await store.readRecord(SIGNING_KEY);
      if (found === null) throw new AppError("CONFLICT", "the signing key was removed while it was made", { retryable: true });
      current = read(found.value);
      return current;
    },
    unreadable: () => unreadable,
  };
}
