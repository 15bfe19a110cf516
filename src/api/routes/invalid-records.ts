/** GET /v1/invalid-records: records of the registry bucket that can't be read. */
import type { InvalidRecord } from "../../registry/record-types.ts";
import { answer, type Route, route } from "../http/route.ts";
import { invalidRecords as form } from "../schemas/operations.ts";

export interface InvalidRecordsDependencies {
  readonly invalidRecords: () => readonly InvalidRecord[];
}

const MAX_SHOWN = 1_000;

export function invalidRecordsRoutes({ invalidRecords }: InvalidRecordsDependencies): Route[] {
  return [
    route({
      method: "GET",
      url: "/v1/invalid-records",
      access: "read",
      summary:
        "Lists records in the registry bucket that can't be read: what is wrong with each, and whether an earlier revision is in force.",
      answers: { 200: answer("the records by key, at most 1,000; usually none", form) },
      handle() {
        const all = [...invalidRecords()].sort((a, b) => (a.key < b.key ? -1 : 1));
        const items = all
          .slice(0, MAX_SHOWN)
          .map(({ key, revision, problem, inForce }) => ({ key, revision, problem, earlier_in_force: inForce }));
        return { status: 200, body: { total: all.length, items } };
      },
    }),
  ];
}
