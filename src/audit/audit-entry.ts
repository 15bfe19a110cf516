/** One change: who made it, to what, and how that looked before and after. */
export interface AuditEntry {
  readonly id: string;
  /** RFC 3339. */
  readonly at: string;
  /** The name of the token, POSTHORN_APPS_FILE, posthorn re-encrypt, or "posthorn" where it acts by itself. */
  readonly who: string;
  /** The operation of the API, such as `updateApp`; or breakInstallation, recoverInstallation, reEncryptSecrets. */
  readonly action: string;
  /** Null: the change belongs to no app. */
  readonly app: string | null;
  readonly installation_uuid: string | null;
  /** The call's path, or the record in the apps file. */
  readonly target: string;
  /** The members that differ, without secrets; null: there was no record, or the change is not one of a record. */
  readonly before: object | null;
  readonly after: object | null;
}
