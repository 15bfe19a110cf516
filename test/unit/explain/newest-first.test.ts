import fc from "fast-check";
import { expect, test } from "vitest";
import { isBehind, type ListPosition, type MergedPage, mergeNewest, newestFirst } from "../../../src/explain/newest-first.ts";

const position = fc.record({ at: fc.integer({ min: 1, max: 20 }), key: fc.constantFrom("a", "b", "c", "d", "e", "f", "g") });

/** A source that looks at `reach` moments per call. */
function sliceOf(all: readonly ListPosition[], cursor: ListPosition | null, reach: number) {
  const behind = all.filter((one) => isBehind(one, cursor)).sort(newestFirst);
  const moments = [...new Set(behind.map(({ at }) => at))];
  const doneTo = moments.length <= reach ? null : (moments[reach] ?? null);
  return { candidates: behind.filter(({ at }) => doneTo === null || at >= doneTo), doneTo };
}

test("pages have every item once, in order, however far each source looks", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(position, { selector: ({ key, at }) => `${key}${at}`, maxLength: 40 }),
      fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 5 }),
      (found, reaches, limit) => {
        // One delivery has one key: it is listed at its newest.
        const all = [...Map.groupBy(found, ({ key }) => key).values()].flatMap((same) => same.sort(newestFirst).slice(0, 1));
        const sources = reaches.map((_, at) => all.filter((_one, index) => index % reaches.length === at));
        const listed: ListPosition[] = [];
        let cursor: ListPosition | null = null;
        for (let pages = 0; pages < 200; pages++) {
          const from: ListPosition | null = cursor;
          const page: MergedPage<ListPosition> = mergeNewest(
            sources.map((source, at) => sliceOf(source, from, reaches[at] ?? 1)),
            from,
            limit,
          );
          listed.push(...page.items);
          cursor = page.next;
          if (cursor === null) break;
        }
        expect(cursor).toBeNull();
        expect(listed).toEqual(all.toSorted(newestFirst));
      },
    ),
  );
});

test("of a delivery that two sources know, the newest counts", () => {
  const slices = [
    { candidates: [{ at: 5, key: "a" }], doneTo: null },
    {
      candidates: [
        { at: 7, key: "a" },
        { at: 6, key: "b" },
      ],
      doneTo: null,
    },
  ];
  expect(mergeNewest(slices, null, 10)).toEqual({
    items: [
      { at: 7, key: "a" },
      { at: 6, key: "b" },
    ],
    next: null,
  });
});
