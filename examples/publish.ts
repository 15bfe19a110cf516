/** Publishes sample payloads. Arguments: an organization id, then event types (all when none is named). */
import { readdirSync, readFileSync } from "node:fs";
import { createPublisher } from "../src/client/client.ts";

const payloads = new URL("payloads/", import.meta.url);
const [organizationId = "42", ...wanted] = process.argv.slice(2);
const types = readdirSync(payloads)
  .filter((file) => file.endsWith(".json"))
  .map((file) => file.replace(".json", ""))
  .filter((type) => wanted.length === 0 || wanted.includes(type));

const publisher = await createPublisher({ nats: process.env["NATS_URL"] ?? "nats://127.0.0.1:4222" });
for (const type of types) {
  const { data, actor } = JSON.parse(readFileSync(new URL(`${type}.json`, payloads), "utf8")) as { data: object; actor: object };
  const { id, sequence } = await publisher.publish({ type, organizationId, data, actor });
  console.log(`${type}  ${id}  stream sequence ${sequence}`);
}
await publisher.close();
