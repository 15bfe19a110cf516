/**
 * The idle connections to all origins, in the order in which they became idle. Beyond the limit the one that has been idle for longest
 * is ended. A linked list, since a Set under constant change keeps garbage (model/slots.ts).
 */
export interface Idle {
  /** Set by the collection, like `after`; both null outside of it. */
  before: Idle | null;
  after: Idle | null;
  /** Ends the connection, which removes it. */
  destroy(): void;
}

export class IdleConnections {
  private readonly max: number;
  private count = 0;
  private oldest: Idle | null = null;
  private newest: Idle | null = null;

  constructor(max: number) {
    this.max = max;
  }

  get size(): number {
    return this.count;
  }

  add(connection: Idle): void {
    connection.before = this.newest;
    if (this.newest === null) this.oldest = connection;
    else this.newest.after = connection;
    this.newest = connection;
    this.count++;
    if (this.count > this.max) this.oldest?.destroy();
  }

  /** Does nothing if the connection is not idle. */
  remove(connection: Idle): void {
    const { before, after } = connection;
    if (before === null && this.oldest !== connection) return;
    if (before === null) this.oldest = after;
    else before.after = after;
    if (after === null) this.newest = before;
    else after.before = before;
    connection.before = null;
    connection.after = null;
    this.count--;
  }
}
