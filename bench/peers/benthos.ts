/**
 * Benthos (Redpanda Connect) on NATS JetStream: a pipeline that signs and posts. It has no endpoints of its own, so the publisher names the
 * URL of each delivery, and it records nothing.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, headers, StorageType } from "nats";
import { freePort } from "../../scripts/servers.mjs";
import type { Peer } from "./peer.ts";
import { startService } from "./service.ts";

const STREAM = "BENCH";
const SUBJECT = "bench.deliveries";
const IN_FLIGHT = 256;

/** A checkout's whole program takes very long to build: this one has the components that the pipeline uses. */
const MAIN = `package main

import (
	"context"

	_ "github.com/redpanda-data/benthos/v4/public/components/io"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/redpanda-data/connect/v4/public/components/crypto"
	_ "github.com/redpanda-data/connect/v4/public/components/nats"
)

func main() { service.RunCLI(context.Background()) }
`;

const MAPPING = `let id = uuid_v4()
let timestamp = timestamp_unix().string()
meta id = $id
meta timestamp = $timestamp
meta signature = "v1," + ($id + "." + $timestamp + "." + content().string()).hash("hmac_sha256", "${"ab".repeat(32)}").encode("base64")`;

export const benthos: Peer = {
  name: "benthos",
  source: {
    commands: ["redpanda-connect"],
    build(out) {
      mkdirSync(join(out, "source"), { recursive: true });
      writeFileSync(join(out, "source", "main.go"), MAIN);
      return ["nice", "-n", "19", "go", "build", "-o", join(out, "redpanda-connect"), join(out, "source", "main.go")];
    },
    version: ["redpanda-connect", "--version"],
    image: "docker.redpanda.com/redpandadata/connect:4",
    imagePaths: { "redpanda-connect": "/redpanda-connect" },
    repository: "https://github.com/redpanda-data/connect",
  },
  async start(site, program) {
    const nats = await site.nats();
    const port = await freePort();
    const connection = await connect({ servers: nats.url });
    const manager = await connection.jetstreamManager();
    await manager.streams.add({ name: STREAM, subjects: [SUBJECT], storage: StorageType.File });
    const file = join(site.folder, "pipeline.yaml");
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(pipelineOf(nats.url, port)));
    const command = { command: "redpanda-connect", args: ["run", file] };
    const service = await startService(program, site.folder, [command], `http://127.0.0.1:${port}/ready`);
    const jetStream = connection.jetstream();
    const urls = new Map<string, string[]>();
    return {
      ...service,
      async addEndpoint(group, url) {
        urls.set(group, [...(urls.get(group) ?? []), url]);
      },
      async publish(group, data) {
        const publishFor = (url: string) => {
          const named = headers();
          named.set("url", url);
          return jetStream.publish(SUBJECT, data, { headers: named });
        };
        await Promise.all((urls.get(group) ?? []).map(publishFor));
      },
      async stop() {
        await connection.close();
        await service.stop();
      },
    };
  },
};

/** The pipeline's own notation for a value of the message. */
const meta = (name: string): string => `\${! meta("${name}") }`;

function pipelineOf(natsUrl: string, port: number): object {
  const input = { urls: [natsUrl], stream: STREAM, subject: SUBJECT, durable: "bench", max_ack_pending: IN_FLIGHT * 2 };
  const requestHeaders = {
    "Content-Type": "application/json",
    "webhook-id": meta("id"),
    "webhook-timestamp": meta("timestamp"),
    "webhook-signature": meta("signature"),
  };
  return {
    http: { address: `127.0.0.1:${port}` },
    logger: { level: "WARN" },
    input: { nats_jetstream: input },
    pipeline: { processors: [{ mapping: MAPPING }] },
    output: { http_client: { url: meta("url"), verb: "POST", headers: requestHeaders, max_in_flight: IN_FLIGHT } },
  };
}
