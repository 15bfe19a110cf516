/** A webhook URL for logs and spans: its query often carries a token, and a user name has a password beside it. */
export function withoutSecrets(url: string): string {
  let end = url.length;
  for (const sign of ["?", "#"]) {
    const at = url.indexOf(sign);
    if (at !== -1 && at < end) end = at;
  }
  const shown = end === url.length ? url : url.slice(0, end);
  return shown.includes("@") ? shown.replace(/^([a-z]+:\/\/)[^/@]*@/i, "$1REDACTED:REDACTED@") : shown;
}
