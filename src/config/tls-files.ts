/** Converts certificate and key settings to a connection's TLS options, without those that are not set. */

export interface TlsFiles {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export function tlsFiles(ca: string | null, cert: string | null, key: string | null): TlsFiles {
  return {
    ...(ca === null ? {} : { ca }),
    ...(cert === null ? {} : { cert }),
    ...(key === null ? {} : { key }),
  };
}
