/** POSTHORN_SUBJECT_PREFIX: one subject token, and the start of the streams' names. */
export const SUBJECT_PREFIX = /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/;
export const SUBJECT_PREFIX_FORM = "1 to 32 letters, digits, _ and -";
