// A webhook receiver in Node, without packages. Settings: CLIENT_SECRET, PORT (3000).
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const secret = process.env.CLIENT_SECRET ?? "";
const port = Number(process.env.PORT ?? 3000);
const TOLERANCE_S = 300;

/**
 * Whether the request is from who knows the secret, and not an old one sent again.
 * @param {import("node:http").IncomingHttpHeaders} headers
 * @param {Buffer} body the bytes as they came
 */
function isGenuine(headers, body) {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= TOLERANCE_S)) return false;
  const wanted = createHmac("sha256", secret).update(`${id}.${timestamp}.`).update(body).digest();
  // There are two while a secret is being replaced.
  return String(headers["webhook-signature"])
    .split(" ")
    .filter((part) => part.startsWith("v1,"))
    .map((part) => Buffer.from(part.slice(3), "base64"))
    .some((found) => found.length === wanted.length && timingSafeEqual(found, wanted));
}

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (!isGenuine(request.headers, body)) {
    response.writeHead(401).end();
    return;
  }
  // The same delivery can come twice: a real app would look whether it has had this webhook-id.
  const { action, data } = JSON.parse(body.toString("utf8"));
  console.log(`${request.headers["sentry-hook-resource"]}.${action} ${request.headers["webhook-id"]} ${JSON.stringify(data)}`);
  response.writeHead(204).end();
}).listen(port, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${port}`));
