/** What the owners of an organization read when one of its integrations is broken. Plain text: nothing in it can be markup. */
import type { BrokenData, BrokenReasonData, StatusEventOf } from "../../src/client/client.ts";

export interface Mail {
  readonly subject: string;
  readonly text: string;
  /** The same for the same event, so that mail servers and programs can tell a second copy. */
  readonly messageId: string;
}

export function brokenMail({ id, time, data }: StatusEventOf<"integration.broken">): Mail {
  const { app, installation_uuid: uuid, organization_id: organization, reason, dashboard_url: dashboard } = data;
  const text = `The integration ${app} of your organization ${organization} has stopped working: ${why(reason)}.

  Since        ${time.slice(0, 16).replace("T", " ")} UTC
  Webhook URL  ${withoutQuery(data.webhook_url)}
  Last error   ${lastError(data)}
  Dashboard    ${dashboard ?? "(this Posthorn has none)"}
  Installation ${uuid}

What to do

  1. Look at the last requests and their answers${dashboard === null ? ` in the request log of ${app}` : `: ${dashboard}`}
  2. Mend what answers at the webhook URL, or change the URL.
  3. That is all: the first request that succeeds sets it going again. Until then, by the settings of this Posthorn, either
     one request an hour is sent and everything else is kept, seven days unless set otherwise, and delivered in its order
     afterwards; or everything is sent as before, and tried again by its schedule. To go on at once, enable the
     integration${dashboard === null ? "" : " on its page"}.

You get this mail once for each time that it stops working.
`;
  return {
    subject: `Integration ${app} has stopped working (organization ${organization})`,
    text,
    messageId: `<${id.replace(":", ".")}@posthorn>`,
  };
}

function why({ rule, window_days: days, error, timeout }: BrokenReasonData): string {
  switch (rule) {
    case "fatal":
      return "its webhook URL answered with 410, which says that it wants nothing any more";
    case "failing_days":
      return `on each of the last ${days} days all requests failed (${error} errors, ${timeout} timeouts)`;
    case "timeouts":
      return "too many requests of one day were not answered in time, and no more than those succeeded";
  }
}

function lastError({ reason: { last_error: error, last_response_code: code } }: BrokenData): string {
  if (error === null) return code === null ? "unknown" : String(code);
  return code === null || code === 0 || error.includes(String(code)) ? error : `${code}: ${error}`;
}

/** Queries of webhook URLs often carry tokens, and mails are forwarded. */
function withoutQuery(url: string): string {
  return url.split("?")[0] ?? url;
}
