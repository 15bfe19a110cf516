/** A webhook URL for logs and spans: its query often carries a token, and a user name has a password beside it. */
export function withoutSecrets(url: string): string {
  const end = url.search(/[?#]/);
  const shown = end === -1 ? url : url.slice(0, end);
  return shown.replace(/^([a-z]+:\/\/)[^/@]*@/i, "$1REDACTED:REDACTED@");
}
