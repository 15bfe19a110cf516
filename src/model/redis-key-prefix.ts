/** POSTHORN_REDIS_KEY_PREFIX: every Redis key begins with it and a colon. Braces would change a key's slot in a cluster. */
export const REDIS_KEY_PREFIX = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
export const REDIS_KEY_PREFIX_FORM = "1 to 64 letters, digits, and . _ : -";
export const DEFAULT_REDIS_KEY_PREFIX = "posthorn";
