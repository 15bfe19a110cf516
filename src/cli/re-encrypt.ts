/** posthorn re-encrypt: stored secrets under the current key, which main.ts has the means for. */
import { command } from "./command.ts";

export const reEncryptCommand = command({
  name: "re-encrypt",
  summary: "Encrypts all stored secrets with the current POSTHORN_ENCRYPTION_KEY.",
  usesApi: false,
  details: "It needs the service's settings. Keys that they are under now go into POSTHORN_ENCRYPTION_KEY_PREVIOUS; see docs/security.md.",
  examples: ["re-encrypt"],
  run: ({ reEncrypt }) => reEncrypt(),
});
