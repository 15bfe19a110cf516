/** The texts in records: names, ids, URLs and headers. */
import { z } from "zod";

/** No lone surrogate, because it would be stored as another character; no control character, because the text is shown in terminals. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const PLAIN_TEXT = /^[^\u0000-\u001f\u007f-\u009f\ud800-\udfff]*$/u;
export const plainText = z.string().regex(PLAIN_TEXT, "wanted well-formed Unicode without control characters");

const WANTED_ID = "wanted a string or a whole number of at most 9007199254740991";

/** The id of an organization or a project, as strict as in events (model/event-members.ts). */
export const identifier = z
  .union([plainText.min(1), z.int(WANTED_ID)], WANTED_ID)
  .transform(String)
  .meta({ description: "A string or an integer; kept as a string.", example: "42" });

/** URL parsers drop surrounding spaces; every other reader of the record would have to do the same. */
export const webhookUrl = plainText
  .refine((url) => url.trim() === url, "wanted a URL without spaces around it")
  .meta({ description: "Where webhooks go: http or https, a public address, no user name." });

/** RFC 9110 token; a value of Latin-1. */
const headerName = z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}$/, "wanted a header name");
export const headerValue = z
  .string()
  .regex(/^[\t\x20-\x7e\x80-\xff]*$/, "wanted a header value of Latin-1 characters without control characters");

/** Header names are case-insensitive. A patch may change the spelling of one: null removes the old one. */
export function headersOf<V extends z.ZodType>(value: V) {
  const headersOnce = z.record(headerName, value).superRefine((headers, context) => {
    const names = new Map<string, string>();
    for (const name of Object.keys(headers).filter((given) => headers[given] !== null)) {
      const other = names.get(name.toLowerCase());
      names.set(name.toLowerCase(), name);
      if (other === undefined) continue;
      context.addIssue({ code: "custom", path: [name], message: `found ${JSON.stringify(other)} as well, wanted each header once` });
    }
  });
  return z.preprocess((given, context) => {
    // A record of zod's would leave it out.
    if (typeof given === "object" && given !== null && Object.hasOwn(given, "__proto__"))
      context.addIssue({ code: "custom", path: ["__proto__"], message: 'found the name "__proto__", wanted another header name' });
    return given;
  }, headersOnce);
}
