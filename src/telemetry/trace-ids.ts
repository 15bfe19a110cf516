/** Random W3C trace and span ids, cut from a pool of random bytes: one system call for hundreds of ids. */
import { randomFillSync } from "node:crypto";

const POOL_BYTES = 8192;

export interface TraceIds {
  /** 32 lower-case hex digits, not all zero. */
  traceId(): string;
  /** 16 lower-case hex digits, not all zero. */
  spanId(): string;
}

export function createTraceIds(): TraceIds {
  const pool = Buffer.alloc(POOL_BYTES);
  let used = POOL_BYTES;

  const take = (bytes: number): string => {
    if (used + bytes > POOL_BYTES) {
      randomFillSync(pool);
      used = 0;
    }
    const id = pool.toString("hex", used, used + bytes);
    used += bytes;
    return /^0+$/.test(id) ? take(bytes) : id;
  };

  return { traceId: () => take(16), spanId: () => take(8) };
}
