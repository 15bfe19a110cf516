/** The body of every error answer. */
import { z } from "zod";

export const problemBody = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string().optional().meta({ description: "See docs/errors.md." }),
    errors: z
      .array(z.strictObject({ path: z.string(), message: z.string() }))
      .optional()
      .meta({ description: "Every member that is wrong, its path joined by dots." }),
  })
  .meta({
    id: "Problem",
    description: "RFC 9457",
    example: {
      type: "about:blank",
      title: "Bad Request",
      status: 400,
      detail: "app acme: webhook_url: missing",
      code: "RECORD_INVALID",
      errors: [{ path: "webhook_url", message: "missing" }],
    },
  });
