/**
 * The dashboard at `/`: static files of the build, which may load only each other and call only this API. All addresses are
 * relative, so that it works behind any path. Files under assets/ have a hash in their name.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { gzipSync } from "node:zlib";
import type { FastifyInstance } from "fastify";
import { AppError } from "../../model/app-error.ts";

interface File {
  readonly type: string;
  readonly plain: Buffer;
  /** Compressed on first use. */
  readonly gzip: () => Buffer;
  readonly etag: string;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

const SECURITY_HEADERS = {
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "font-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; "),
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

export function servePage(server: FastifyInstance, folder: string): void {
  if (!existsSync(join(folder, "index.html"))) {
    server.get("/", { config: { access: "open" } }, () => {
      throw new AppError("NOT_FOUND", "the dashboard is not built; npm run build builds it");
    });
    return;
  }
  for (const path of readdirSync(folder, { recursive: true }).map(String).filter(extname)) {
    const file = load(join(folder, path));
    const caching = path.startsWith("assets/") ? "public, max-age=31536000, immutable" : "no-cache";
    server.get(path === "index.html" ? "/" : `/${path}`, { config: { access: "open" } }, (request, reply) => {
      reply.headers({ ...SECURITY_HEADERS, "cache-control": caching, etag: file.etag, vary: "accept-encoding" });
      if (request.headers["if-none-match"] === file.etag) return reply.status(304).send();
      reply.header("content-type", file.type);
      if (!/\bgzip\b/.test(String(request.headers["accept-encoding"] ?? ""))) return reply.send(file.plain);
      return reply.header("content-encoding", "gzip").send(file.gzip());
    });
  }
}

function load(path: string): File {
  const plain = readFileSync(path);
  let gzip: Buffer | undefined;
  return {
    type: TYPES[extname(path)] ?? "application/octet-stream",
    plain,
    gzip: () => (gzip ??= gzipSync(plain, { level: 9 })),
    etag: `W/"${createHash("sha256").update(plain).digest("base64url").slice(0, 22)}"`,
  };
}
