/** The records under one prefix, and how they are read. */
export interface RecordKind<T> {
  readonly prefix: string;
  /** @param name the key without the prefix. @throws AppError RECORD_INVALID, SECRET_UNREADABLE */
  parse(name: string, value: string): T;
}
