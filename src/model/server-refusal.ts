/** Why a server that was reached can't be used with the settings that lead to it: only a changed setting helps, so nobody waits for it. */

/** The server at an address, as its answer shows. `nats-internal`: a port of nats-server for other servers. */
export interface FoundServer {
  readonly kind: "HTTP" | "NATS" | "nats-internal" | "Redis" | "TLS";
  /** NATS says whether it uses TLS and asks for a client certificate. */
  readonly usesTls?: boolean;
  readonly asksForCertificate?: boolean;
}

/** Connects once. Null: nothing answers, or nothing known. Never rejects. */
export type IdentifyServer = (host: string, port: number) => Promise<FoundServer | null>;

/** The way to a server, for messages. */
export interface ServerAddress {
  readonly server: "NATS" | "Redis";
  /** Its URL without user and password. */
  readonly shown: string;
  readonly usesTls: boolean;
  readonly hasClientCertificate: boolean;
}

const SERVER_CERTIFICATE =
  /self[- ]signed certificate|unable to (?:verify|get (?:local )?issuer)|certificate (?:has expired|is not yet valid)|certificate's altnames|invalid CA certificate/i;
const CLIENT_CERTIFICATE = /certificate required|alert (?:bad certificate|unknown ca|certificate unknown|handshake failure)/i;
/** Advice of Node that is for its own command line. */
const NODE_ADVICE = /; if the root CA is installed locally.*/;

/** @param message of the error that ended the TLS handshake. @returns null for any other error */
export function tlsRefusal(message: string, address: ServerAddress): string | null {
  const { server, shown, hasClientCertificate } = address;
  const settings = `POSTHORN_${server.toUpperCase()}`;
  if (SERVER_CERTIFICATE.test(message))
    return `${settings}_CA_FILE: the certificate of ${shown} can't be verified (${message.replace(NODE_ADVICE, "")}), wanted a valid certificate for this name and the CA that signed it`;
  return CLIENT_CERTIFICATE.test(message) ? clientCertificateRefusal(settings, shown, hasClientCertificate) : null;
}

function clientCertificateRefusal(settings: string, shown: string, isSet: boolean): string {
  return isSet
    ? `${settings}_CERT_FILE: ${shown} refuses this client certificate, wanted one that a CA of the server has signed`
    : `${settings}_CERT_FILE: found no client certificate, and ${shown} asks for one; wanted it, and its key in ${settings}_KEY_FILE`;
}

/** @returns null: the server is of the wanted kind */
function kindRefusal(found: FoundServer, { server, shown, usesTls, hasClientCertificate }: ServerAddress): string | null {
  const settings = `POSTHORN_${server.toUpperCase()}`;
  const url = `${settings}_URL`;
  const plain = server === "Redis" ? "redis://" : "nats://";
  if (found.kind === "TLS")
    return usesTls ? null : `${url}: the server at ${shown} uses TLS, wanted ${server === "Redis" ? "rediss://" : "tls://"}…`;
  if (found.kind === "nats-internal")
    return `${url}: ${shown} is a port of nats-server for other servers (cluster or leaf nodes), wanted its client port, 4222 by default`;
  if (found.kind !== server) return `${url}: found ${article(found.kind)} server at ${shown}, wanted a ${server} server`;
  const isPlain = server === "Redis" || found.usesTls === false;
  if (usesTls && isPlain) return `${url}: the server at ${shown} does not use TLS, wanted ${plain}…`;
  return found.asksForCertificate && !hasClientCertificate ? clientCertificateRefusal(settings, shown, false) : null;
}

/** Looks at what listens at the addresses. @returns why none of them is of the wanted kind; null: one of them may be */
export async function refusalAt(urls: readonly URL[], address: ServerAddress, identify?: IdentifyServer): Promise<string | null> {
  if (identify === undefined) return null;
  const defaultPort = address.server === "Redis" ? 6379 : 4222;
  const found = await Promise.all(urls.map((url) => identify(hostOf(url), Number(url.port || defaultPort))));
  const refusals = found.map((one) => one && kindRefusal(one, address));
  return refusals.includes(null) ? null : (refusals[0] ?? null);
}

/** Without the brackets of an IPv6 address. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, "");
}

function article(kind: string): string {
  return `${kind === "HTTP" ? "an" : "a"} ${kind}`;
}
