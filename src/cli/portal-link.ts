/** posthorn portal-link: a link that signs in to the dashboard. */
import { TOKEN_SCOPES } from "../model/token-scope.ts";
import { choice, command, value } from "./command.ts";
import { UsageError } from "./exit-codes.ts";
import { wholeSeconds } from "./values.ts";

/** The options of all commands that make a token. */
export const tokenOptions = {
  scope: choice(TOKEN_SCOPES, "What it may do."),
  ttl: value("duration", "How long it is valid, e.g. 8h; an hour by default.", wholeSeconds),
  name: value("name", "The holder's name, which the audit log shows."),
} as const;

export const SCOPES_ABOUT = [
  "read: look and explain. act: also test, replay and resend. manage: also change the webhook URL, events and headers, and rotate the",
  "secret; of an organization: enable, disable and change its installations.",
].join("\n");

export const portalLinkCommand = command({
  name: "portal-link",
  summary: "Creates a link that signs in to the dashboard, for an app or an organization, until it expires.",
  options: {
    app: value("slug", "For the developer of this app."),
    organization: value("id", "For the installations of this organization."),
    ...tokenOptions,
  },
  details: `The scope is read unless --scope says otherwise.\n${SCOPES_ABOUT}`,
  examples: ["portal-link --app acme-tracker --scope manage --ttl 8h", "portal-link --organization 42"],
  async run({ api, output, options: { app, organization, scope = "read", ttl, name } }) {
    if ((app === undefined) === (organization === undefined)) throw new UsageError("portal-link: give either --app or --organization");
    const body = { app, organization_id: organization, scope, expires_in: ttl, name };
    const { body: made } = await api().call("POST /v1/portal-links", { body });
    output.result(made, () => {
      output.line(made.url);
      output.note(`Valid until ${output.time(made.expires_at)}. It contains a token, so it is as secret as one (scope ${made.scope}).`);
    });
  },
});
