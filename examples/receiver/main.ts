/** A webhook receiver: verifies, answers, prints. Settings: CLIENT_SECRET, PORT (3000), ANSWER (200). */
import { createServer } from "node:http";
import { verifyWebhook } from "../../src/client/client.ts";

const secret = process.env["CLIENT_SECRET"] ?? "";
const port = Number(process.env["PORT"] ?? 3000);
const status = Number(process.env["ANSWER"] ?? 200);
if (secret === "") {
  console.error("CLIENT_SECRET is not set: it is in the answer to the call that made the app");
  process.exit(1);
}

createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    try {
      const webhook = verifyWebhook({ body: Buffer.concat(chunks), headers: request.headers, secret });
      console.log(`${new Date().toISOString()}  ${webhook.resource}.${webhook.action}  ${webhook.deliveryId}`);
      console.log(JSON.stringify(webhook.data, null, 2));
      response.writeHead(status).end();
    } catch (error) {
      console.error(`refused: ${(error as Error).message}`);
      response.writeHead(401).end();
    }
  });
}).listen(port, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${port}/webhooks`));
