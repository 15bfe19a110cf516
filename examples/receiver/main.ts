/** A webhook receiver: verifies, answers, prints. Settings: CLIENT_SECRET, PORT (3000), ANSWER (200). */
import { createServer, type IncomingMessage } from "node:http";
import { verifyWebhook } from "../../src/client/client.ts";

const secret = process.env["CLIENT_SECRET"] ?? "";
const port = Number(process.env["PORT"] ?? 3000);
const status = Number(process.env["ANSWER"] ?? 200);
const MAX_BODY_BYTES = 8 * 1024 * 1024;
// Anybody can sign with an empty secret.
if (!/^(?:[0-9a-f]{64}|whsec_\S{32,})$/.test(secret)) {
  console.error("CLIENT_SECRET: wanted the app's client secret, 64 hex digits or whsec_…");
  process.exit(1);
}

async function bodyOf(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** @returns the status to answer with. */
async function receive(request: IncomingMessage): Promise<number> {
  const body = await bodyOf(request);
  if (body === null) return 413;
  try {
    const webhook = verifyWebhook({ body, headers: request.headers, secret });
    console.log(`${new Date().toISOString()}  ${webhook.resource}.${webhook.action}  ${webhook.deliveryId}`);
    console.log(JSON.stringify(webhook.data, null, 2));
    return status;
  } catch (error) {
    console.error(`refused: ${(error as Error).message}`);
    return 401;
  }
}

createServer((request, response) => {
  receive(request).then(
    (answer) => response.writeHead(answer, answer === 413 ? { connection: "close" } : {}).end(),
    // The sender went away in the middle: that may not end the process.
    () => response.destroy(),
  );
}).listen(port, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${port}/webhooks`));
