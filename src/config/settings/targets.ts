/** Webhook receivers that Posthorn may connect to, and how. */
import { certificateFile, integer, optional, setting } from "../setting.ts";
import { parseChoice, parseList, parseNameServers, parsePorts, parseProxyUrl, parseTargets } from "../values.ts";

const TARGETS = "Targets";

export const TARGET_SETTINGS = {
  TARGET_ALLOW: setting<readonly string[]>({
    parse: parseTargets,
    default: "",
    form: "CIDRs and host names, separated by commas",
    group: TARGETS,
    about:
      "Networks and hosts (`hooks.internal.example`, `*.internal.example`) that webhooks may go to although their addresses are not public.",
  }),
  TARGET_DENY: setting<readonly string[]>({
    parse: parseTargets,
    default: "",
    form: "CIDRs and host names, separated by commas",
    group: TARGETS,
    about: "Networks and hosts that webhooks may not go to, even if POSTHORN_TARGET_ALLOW has them.",
  }),
  TARGET_DNS_SERVERS: setting<readonly string[]>({
    parse: parseNameServers,
    default: "",
    form: "`<address>[:port]`, separated by commas",
    group: TARGETS,
    about: "Name servers for webhook hosts, without a search list; by default those of resolv.conf, with its search list.",
  }),
  TARGET_SCHEMES: setting<ReadonlyArray<"http" | "https">>({
    parse: parseList(parseChoice(["http", "https"])),
    default: "http,https",
    form: "schemes, separated by commas",
    group: TARGETS,
    about: "Schemes of webhook URLs; `https` forbids unencrypted ones.",
    check: (schemes) => (schemes.length > 0 ? null : "wanted at least one"),
  }),
  TARGET_PORTS: setting({
    parse: parsePorts,
    default: "1-65535",
    form: "ports and ranges, separated by commas",
    group: TARGETS,
    about: "Ports that webhooks may go to, e.g. `443,8000-8999`.",
    check: (ports) => (ports.length > 0 ? null : "wanted at least one"),
  }),
  TARGET_MAX_CONNECTIONS: integer("64", {
    group: TARGETS,
    about:
      "Connections per process to one scheme, host and port, over all apps. Further deliveries wait half a second and are then parked.",
  }),
  TARGET_MAX_IDLE_CONNECTIONS: integer("20000", {
    group: TARGETS,
    about:
      "Open connections per process that wait for their next webhook, over all targets (about 14 KB each); at most half of the files that the process may open. The one that has waited longest is closed first.",
  }),
  TARGET_TLS_MIN_VERSION: setting({
    parse: parseChoice(["TLSv1.2", "TLSv1.3"]),
    default: "TLSv1.2",
    form: "`TLSv1.2` or `TLSv1.3`",
    group: TARGETS,
    about: "Oldest TLS version for webhook receivers. Certificates are always verified.",
  }),
  TARGET_CA_FILE: certificateFile({
    group: TARGETS,
    about: "CA certificates that verify receivers, in addition to the system's.",
  }),
  TARGET_PROXY: optional({
    parse: parseProxyUrl,
    form: "URL",
    group: TARGETS,
    about: "An HTTP proxy for webhooks (CONNECT). The proxy resolves names: docs/security.md has the consequences.",
    secret: true,
  }),
} as const;
