/** The head of a POST as it is on the wire, in latin-1 (RFC 9112 section 3). */

const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const NO_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
const NO_PATH = /[^\x21-\x7e]/;

/** @throws TypeError when a header or the path has a character that could inject another header or request */
export function requestHead(host: string, path: string, headers: Readonly<Record<string, string>>, bodyLength: number): string {
  if (NO_PATH.test(path)) throw new TypeError("the URL's path has an invalid character");
  let head = `POST ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n`;
  for (const name in headers) {
    const value = headers[name] ?? "";
    if (!NAME.test(name) || NO_VALUE.test(value))
      throw new TypeError(`header ${JSON.stringify(name)} can't be sent: it has an invalid character`);
    head += `${name}: ${value}\r\n`;
  }
  return `${head}content-length: ${bodyLength}\r\n\r\n`;
}
