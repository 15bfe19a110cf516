// A webhook receiver in Node, without packages. Settings: CLIENT_SECRET, PORT (3000).
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const secret = process.env.CLIENT_SECRET ?? "";
const port = Number(process.env.PORT ?? 3000);
const TOLERANCE_S = 300;
const MAX_BODY_BYTES = 8 * 1024 * 1024;

// Anybody can sign with an empty secret.
if (!/^[0-9a-f]{64}$/.test(secret)) {
  console.error("CLIENT_SECRET: wanted the app's client secret, 64 hex digits");
  process.exit(1);
}

/**
 * Whether the request is from who knows the secret, and not an old one sent again.
 * @param {import("node:http").IncomingHttpHeaders} headers
 * @param {Buffer} body the bytes as they came
 */
function isGenuine(headers, body) {
  const id = headers["webhook-id"];
  const timestamp = String(headers["webhook-timestamp"]);
  if (!/^[0-9]{1,12}$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_S) return false;
  const wanted = createHmac("sha256", secret).update(`${id}.${timestamp}.`).update(body).digest();
  // There are two while a secret is being replaced.
  return String(headers["webhook-signature"])
    .split(" ")
    .filter((part) => part.startsWith("v1,"))
    .map((part) => Buffer.from(part.slice(3), "base64"))
    .some((found) => found.length === wanted.length && timingSafeEqual(found, wanted));
}

/**
 * @param {import("node:http").IncomingMessage} request
 * @returns {Promise<Buffer | null>} null when it is too long
 */
async function bodyOf(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/**
 * @param {import("node:http").IncomingMessage} request
 * @returns {Promise<number>} the status to answer with
 */
async function receive(request) {
  const body = await bodyOf(request);
  if (body === null) return 413;
  if (!isGenuine(request.headers, body)) return 401;
  // The same delivery can come twice: a real app would look whether it has had this webhook-id.
  const { action, data } = JSON.parse(body.toString("utf8"));
  console.log(`${request.headers["sentry-hook-resource"]}.${action} ${request.headers["webhook-id"]} ${JSON.stringify(data)}`);
  return 204;
}

createServer((request, response) => {
  receive(request).then(
    (status) => response.writeHead(status, status === 413 ? { connection: "close" } : {}).end(),
    (error) => {
      // The sender went away in the middle, or the body is no JSON: neither may end the process.
      console.error(`refused: ${error.message}`);
      response.writeHead(400).end();
    },
  );
}).listen(port, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${port}`));
