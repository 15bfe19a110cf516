/** Commands that add the first app, for the empty dashboard. A token is never part of them: a file or the environment has it. */

/** @param isTokenNeeded the API asks for a token */
export function firstCommands(url: string, isTokenNeeded: boolean): string {
  return [
    `export POSTHORN_URL=${url.replace(/\/$/, "")}`,
    ...(isTokenNeeded ? ["export POSTHORN_TOKEN_FILE=admin-token    # a file with an admin token; or set POSTHORN_TOKEN"] : []),
    "npx posthorn apps add my-app --webhook https://hooks.example.com/in --events issue",
    "npx posthorn installations add my-app --organization 42",
  ].join("\n");
}
