/** An app's `retry_on`: the answers after which a delivery is attempted again, as status codes and classes of them. */

/** `404`, or a class: `3xx`, `4xx`, `5xx`. 410 ends the integration and is no part of 4xx. */
export type RetryOn = readonly string[];

export const RETRY_ON_CODE = /^(?!410)[345](xx|\d\d)$/;

/** Whether the list has the status code. Codes that HTTP doesn't have count as 5xx (RFC 9110 section 15). */
export function isRetriedOn(retryOn: RetryOn, status: number): boolean {
  return retryOn.includes(String(status)) || retryOn.includes(`${Math.min(5, Math.floor(status / 100))}xx`);
}
