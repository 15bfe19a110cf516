/** The body of every error answer. */
import { z } from "zod";

export const problemBody = z
  .strictObject({
    type: z.string().meta({ format: "uri-reference", description: "Leads to the section about the code in docs/errors.md." }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string().meta({ description: "Stays the same from version to version, unlike the texts." }),
    errors: z
      .array(
        z.strictObject({ path: z.string(), message: z.string() }).meta({ id: "ProblemDetail", description: "One thing that is wrong." }),
      )
      .optional()
      .meta({ description: "Every member that is wrong, its path joined by dots." }),
  })
  .meta({
    id: "Problem",
    description: "Why a call was refused or failed (RFC 9457).",
    example: {
      type: "/docs/errors.md#record_invalid",
      title: "Bad Request",
      status: 400,
      detail: "app acme: webhook_url: missing",
      code: "RECORD_INVALID",
      errors: [{ path: "webhook_url", message: "missing" }],
    },
  });
