/** docs/errors.md. The service serves it, too, because the `type` of a problem leads there. */
import { ERROR_CODES, type ErrorCode } from "../../model/app-error.ts";

export const ERRORS_PATH = "/docs/errors.md";

/** The URL of a code's section: a reference relative to the server, because only a proxy knows its outer address. */
export function problemType(code: ErrorCode): string {
  return `${ERRORS_PATH}#${code.toLowerCase()}`;
}

export function errorsPage(): string {
  const sections = Object.entries(ERROR_CODES).map(([code, about]) => `## ${code}\n\n${about}\n`);
  return `# Error codes

Every fault that Posthorn raises on purpose has one of these codes: in the log as \`code\`, in an API answer as \`code\` of the
\`application/problem+json\` body, whose \`type\` leads to its section here, and on errors thrown by \`posthorn/client\`.

${sections.join("\n")}`;
}
