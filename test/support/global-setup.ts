/** Fails before the first test when something is missing that every test needs. */
import { findBinary } from "../../scripts/servers.mjs";

export default function setup(): void {
  if (Number(process.versions.node.split(".")[0]) < 24) {
    throw new Error(`the tests need Node 24 or newer, this is ${process.versions.node}: run them with npm test`);
  }
  for (const binary of ["nats-server", "redis-server"]) {
    if (binary === "nats-server" && process.env["TEST_NATS_SERVER"]) continue;
    if (findBinary(binary) === null)
      throw new Error(`the tests start their own ${binary}, and none is on the PATH: run them with npm test`);
  }
}
