import { expect, test } from "vitest";
import { parseNameServers, parseTargets, wideNetworks } from "../../../src/config/values.ts";

test("targets are networks and host names, in one form each", () => {
  expect(parseTargets("10.0.0.0/8, ::1,HOOKS.Example.,*.Internal.example,bücher.example,a_b.example")).toEqual([
    ...["10.0.0.0/8", "::1/128", "hooks.example", "*.internal.example", "xn--bcher-kva.example", "a_b.example"],
  ]);
});

test("name servers are addresses, with or without a port", () => {
  const servers = ["192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]", "[2001:db8::53]:5353"];
  expect(parseNameServers(servers.join())).toEqual(servers);
});

test.each([
  [["0.0.0.0/0"], 1],
  [["::/0"], 1],
  [["0.0.0.0/1", "128.0.0.0/1"], 2],
  [["2000::/3"], 1],
  [["64.0.0.0/7"], 1],
  [["169.254.0.0/16", "169.254.169.254/32", "100.64.0.0/10", "fd00::/8"], 4],
  [["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "::1/128", "fd12::/16", "169.254.1.0/24"], 0],
  [["hooks.example", "*.example.org"], 0],
])("of %j %i are very wide", (targets, count) => {
  expect(wideNetworks(targets)).toHaveLength(count);
});
