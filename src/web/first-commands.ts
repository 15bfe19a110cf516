/** Commands that add the first app, for the empty dashboard. They work as they are pasted, so they carry the token of the session. */

/** @param token null: the API asks for none */
export function firstCommands(url: string, token: string | null): string {
  return [
    `export POSTHORN_URL=${url.replace(/\/$/, "")}`,
    ...(token === null ? [] : [`export POSTHORN_TOKEN='${token.replaceAll("'", "'\\''")}'`]),
    "npx posthorn apps add my-app --webhook https://hooks.example.com/in --events issue",
    "npx posthorn installations add my-app --organization 42",
  ].join("\n");
}
