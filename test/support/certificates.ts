/** Certificates made by openssl: an authority, and what it signs. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

export interface Authority extends Certificate {
  /** @param names as in `DNS:localhost,IP:127.0.0.1`. */
  issue(names: string, options?: { readonly days?: number; readonly commonName?: string }): Certificate;
  remove(): void;
}

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

export function makeAuthority(commonName = "Test Authority"): Authority {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-certificates-"));
  const openssl = (...args: string[]): void => void execFileSync("openssl", args, { cwd: folder, stdio: "ignore" });
  const read = (name: string): Certificate => {
    const certFile = join(folder, `${name}.pem`);
    const keyFile = join(folder, `${name}.key`);
    return { certFile, keyFile, cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
  };
  let issued = 0;

  openssl("req", "-x509", ...KEY, "-days", "2", "-subj", `/CN=${commonName}`, "-keyout", "authority.key", "-out", "authority.pem");
  return {
    ...read("authority"),
    issue(names, { days = 2, commonName: of = "test" } = {}) {
      const name = `issued-${++issued}`;
      writeFileSync(join(folder, `${name}.ext`), `subjectAltName=${names}\n`);
      openssl("req", ...KEY, "-subj", `/CN=${of}`, "-keyout", `${name}.key`, "-out", `${name}.csr`);
      openssl(
        ...["x509", "-req", "-in", `${name}.csr`, "-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial"],
        ...["-days", String(days), "-extfile", `${name}.ext`, "-out", `${name}.pem`],
      );
      return read(name);
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
}
