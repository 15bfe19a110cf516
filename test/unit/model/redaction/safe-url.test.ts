import { describe, expect, test } from "vitest";
import { redactedUrl } from "../../../../src/model/redaction/redacted-url.ts";
import { urlSecrets, withoutSecrets } from "../../../../src/model/redaction/safe-url.ts";

describe("a webhook URL is shown without its secrets", () => {
  test.each<[what: string, url: string, shown: string]>([
    ["of Slack", "https://hooks.slack.com/services/T000/B000/XXXX", "https://hooks.slack.com/services/REDACTED/REDACTED/REDACTED"],
    [
      "of Slack, as it is in life",
      "https://hooks.slack.com/services/T02ABCDEF/B03GHIJKL/aBcDeFgHiJkLmNoPqRsTuVwX",
      "https://hooks.slack.com/services/REDACTED/REDACTED/REDACTED",
    ],
    [
      "of Discord",
      "https://discord.com/api/webhooks/1042424242424242424/AbC-dEf_gHi0123456789jklMNOpqrSTUvwxYZ",
      "https://discord.com/api/webhooks/REDACTED/REDACTED",
    ],
    [
      "of Telegram",
      "https://api.telegram.org/bot110201543:AAHdqTcvCH1vGWJxfSe/sendMessage",
      "https://api.telegram.org/REDACTED/sendMessage",
    ],
    [
      "of Teams",
      "https://acme.webhook.office.com/webhookb2/7a1d2c3b-4e5f-4a6b-8c7d-9e0f1a2b3c4d@0f3c1d2e/IncomingWebhook/0123456789abcdef0123456789abcdef/x",
      "https://acme.webhook.office.com/webhookb2/REDACTED/IncomingWebhook/REDACTED/x",
    ],
    [
      "with a key named by the path",
      "https://maker.ifttt.com/trigger/go/with/key/dog-cat",
      "https://maker.ifttt.com/trigger/go/with/key/REDACTED",
    ],
    ["with a short token", "https://hooks.acme.example/in/s3cr3t", "https://hooks.acme.example/in/REDACTED"],
    ["with a token of letters", "https://hooks.acme.example/qwertyuiopasdfghjklzxcv", "https://hooks.acme.example/REDACTED"],
    ["with a token of digits", "https://hooks.acme.example/123456789012", "https://hooks.acme.example/REDACTED"],
    ["with a percent-encoded token", "https://hooks.acme.example/in/aB3%2BdE5%2FgH", "https://hooks.acme.example/in/REDACTED"],
    ["with a query and a fragment", "https://hooks.acme.example/in?t0ken#frag", "https://hooks.acme.example/in"],
    ["with user and password", "https://user:t0k/en@hooks.acme.example/in", "https://user:t0k/en@hooks.acme.example/in"],
    ["with a password", "https://user:t0ken@hooks.acme.example/in", "https://REDACTED:REDACTED@hooks.acme.example/in"],
  ])("%s", (_what, url, shown) => {
    expect(withoutSecrets(url)).toBe(shown);
  });

  test.each([
    "https://hooks.acme.example/in",
    "https://hooks.acme.example/",
    "http://127.0.0.1:3000/webhooks",
    "https://hooks.acme.example/api/v1/webhooks/sentry-integration-endpoint",
    "https://hooks.acme.example/teams/team42/2026-01-05/python3",
    "https://hooks.acme.example/integrations/IncomingWebhook/receive.php",
    "https://hooks.acme.example/orgs/acme/projects/1234567/hooks",
    "https://[2606:2800:220:1:248:1893:25c8:1946]:8443/in",
  ])("%s stays as it is", (url) => {
    expect(withoutSecrets(url)).toBe(url);
  });
});

test.each([
  [
    "https://hooks.slack.com/services/T000/B000/XXXX?a=1&b=&c#frag",
    "https://hooks.slack.com/services/[redacted]/[redacted]/[redacted]?a=[redacted]&b=&[redacted]#[redacted]",
  ],
  ["https://user:t0ken@hooks.acme.example/in/s3cr3t", "https://[redacted]@hooks.acme.example/in/[redacted]"],
  ["https://hooks.acme.example/teams/team42", "https://hooks.acme.example/teams/team42"],
])("a record shows %s without its secrets to those who may not change it", (url, shown) => {
  expect(redactedUrl(url)).toBe(shown);
});

test("everything that is masked is a secret, as it is written in the URL", () => {
  expect(urlSecrets("https://user:pa%24s@h.example/in/s3cr3t/x?a=one&b=&two&c=th%2Free#four")).toEqual([
    ...["user:pa%24s", "user", "pa%24s", "a=one&b=&two&c=th%2Free", "one", "b", "two", "th%2Free", "four", "four", "s3cr3t"],
  ]);
  expect(urlSecrets("https://hooks.acme.example/in")).toEqual([]);
});
