/** Posthorn as the sender under test: an app in an organization of its own for every endpoint. */
import { randomUUID } from "node:crypto";
import type { ApiClient } from "../client/create-api-client.ts";
import type { Sender } from "./sender.ts";

/** Short, so that the checks take seconds. */
const RETRY_SCHEDULE_S: readonly number[] = Array.from({ length: 10 }, () => 1);

export function createPosthornSender(api: ApiClient): Sender {
  return {
    async register({ url }) {
      const slug = `conformance-${randomUUID().slice(0, 13)}`;
      const app = { webhook_url: url, events: ["*"], retry_schedule_s: RETRY_SCHEDULE_S };
      const { body } = await api.call("PUT /v1/apps/{slug}", { path: { slug }, body: app, headers: { "if-none-match": "*" } });
      await api.call("POST /v1/installations", { body: { app: slug, organization_id: slug } });
      return { id: slug, secret: "webhook_secret" in body ? body.webhook_secret : "" };
    },
    async send({ id, type, data }) {
      await api.call("POST /v1/events", { body: { type, organization_id: id, app: id, data: { ...data } } });
    },
    async remove({ id }) {
      await api.call("DELETE /v1/apps/{slug}", { path: { slug: id } });
    },
  };
}
