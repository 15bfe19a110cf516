/** Certificates and key of the settings as a connection wants them: without what is not set. */

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
