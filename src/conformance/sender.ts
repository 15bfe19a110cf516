/** The sender under test, behind the functions that a person writes for it. */
import { pathToFileURL } from "node:url";

export interface RegisteredEndpoint {
  readonly id: string;
  /** `whsec_…`, or `whpk_…` for asymmetric signatures. */
  readonly secret: string;
}

export interface Sender {
  /** Makes an endpoint that nothing else is sent to. Throws if the sender refuses the URL. */
  readonly register: (endpoint: { readonly url: string }) => Promise<RegisteredEndpoint>;
  /** Triggers one event for the endpoint `id`. */
  readonly send: (event: { readonly id: string; readonly type: string; readonly data: object }) => Promise<void>;
  readonly remove?: (endpoint: { readonly id: string }) => Promise<void>;
}

/** @throws Error that says what was wanted */
export async function loadSender(path: string): Promise<Sender> {
  const loaded: unknown = await import(pathToFileURL(path).href);
  const { register, send, remove } = loaded as Record<string, unknown>;
  const isRight = typeof register === "function" && typeof send === "function" && ["function", "undefined"].includes(typeof remove);
  if (!isRight)
    throw new Error(
      `found exports ${Object.keys(loaded as object).join(", ") || "none"}; wanted functions register and send, and optionally remove`,
    );
  return loaded as Sender;
}
