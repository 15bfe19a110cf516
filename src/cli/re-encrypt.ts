/** posthorn re-encrypt: encrypts stored secrets with the current key. */
import { command } from "./command.ts";

export const reEncryptCommand = command({
  name: "re-encrypt",
  summary: "Encrypts all stored secrets with the current POSTHORN_ENCRYPTION_KEY.",
  usesApi: false,
  details: "It needs the service's settings. Put the keys in use until now into POSTHORN_ENCRYPTION_KEY_PREVIOUS; see docs/security.md.",
  examples: ["re-encrypt"],
  run: ({ reEncrypt }) => reEncrypt(),
});
