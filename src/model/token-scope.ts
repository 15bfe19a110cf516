/** Scopes of tokens of apps and organizations. Each scope includes those before it. */
export const TOKEN_SCOPES = ["read", "act", "manage"] as const;

export type TokenScope = (typeof TOKEN_SCOPES)[number];

export function includes(scope: TokenScope, wanted: TokenScope): boolean {
  return TOKEN_SCOPES.indexOf(scope) >= TOKEN_SCOPES.indexOf(wanted);
}
