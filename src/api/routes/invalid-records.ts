/** GET /v1/invalid-records: records of the registry bucket that can't be read. */
import { z } from "zod";
import type { InvalidRecord } from "../../registry/record-types.ts";
import { answer, type Route, route } from "../http/route.ts";
import { invalidRecords as form } from "../schemas/operations.ts";
import { createList } from "../schemas/paging.ts";

const list = createList("invalid-records");

export interface InvalidRecordsDependencies {
  readonly invalidRecords: () => readonly InvalidRecord[];
}

export function invalidRecordsRoutes({ invalidRecords }: InvalidRecordsDependencies): Route[] {
  return [
    route({
      operationId: "listInvalidRecords",
      method: "GET",
      url: "/v1/invalid-records",
      access: "read",
      summary:
        "Lists records in the registry bucket that can't be read, newest first: what is wrong with each, and whether an earlier revision is in force.",
      query: z.object(list.query()),
      answers: { 200: answer("a page of the records; usually none", form) },
      handle({ query }) {
        const all = invalidRecords();
        const { items: shown, next } = list.page(all, ({ revision }) => ({ at: revision, key: "" }), query);
        const items = shown.map(({ key, revision, problem, inForce }) => ({ key, revision, problem, earlier_in_force: inForce }));
        return { status: 200, body: { total: all.length, items, next } };
      },
    }),
  ];
}
