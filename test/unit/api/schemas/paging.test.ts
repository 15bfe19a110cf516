import fc from "fast-check";
import { expect, test } from "vitest";
import { createList, limit, type Page, type PageQuery, type Position } from "../../../../src/api/schemas/paging.ts";
import { cases } from "../../../support/fuzz.ts";

const list = createList("apps");
const { cursor } = list.query();

const positions = fc.uniqueArray(fc.record({ at: fc.nat(5), key: fc.constantFrom("", "a", "a~1", "b-2", "c_3") }), {
  selector: ({ at, key }) => `${at}.${key}`,
});

/** Reads a whole list through the text of its cursors. */
function pagesOf(items: readonly Position[], size: number): Position[][] {
  const pages: Position[][] = [];
  let next: string | null = null;
  do {
    const query: PageQuery = { limit: size, ...(next === null ? {} : { cursor: cursor.parse(next) }) };
    const page: Page<Position> = list.page(items, (item) => item, query);
    pages.push([...page.items]);
    next = page.next;
  } while (next !== null);
  return pages;
}

test("the pages of a list are the whole list, newest first", () => {
  fc.assert(
    fc.property(positions, fc.integer({ min: 1, max: 4 }), (items, size) => {
      const pages = pagesOf(items, size);
      expect(pages.flat()).toEqual([...items].sort((a, b) => b.at - a.at || (a.key < b.key ? -1 : 1)));
      for (const page of pages.slice(0, -1)) expect(page).toHaveLength(size);
    }),
    cases(0.1),
  );
});

test("an item that appears or disappears between two pages moves no other", () => {
  const items = [5, 4, 3, 2].map((at) => ({ at, key: "x" }));
  const first = list.page(items, (item) => item, { limit: 2 });
  const changed = [{ at: 6, key: "new" }, ...items.filter(({ at }) => at !== 4)];
  const second = list.page(changed, (item) => item, { limit: 2, cursor: cursor.parse(first.next) });
  expect([first.items, second.items].map((page) => page.map(({ at }) => at))).toEqual([
    [5, 4],
    [3, 2],
  ]);
});

test.each(["", "7", "apps", "apps.-1", "apps.7.", "apps.7.a.b", "apps.1e3", " apps.7", "next"])("%j is no cursor", (text) => {
  expect(cursor.safeParse(text).success).toBe(false);
});

test("a cursor of another list is refused", () => {
  const next = createList("events").nextInStream(7);
  expect(cursor.safeParse(next).error?.issues[0]?.message).toBe("wanted the `next` of a page of this list, apps.…");
});

test("a page has at most 1,000 items", () => {
  expect(limit(100).safeParse("1001").success).toBe(false);
  expect(limit(100).parse(undefined)).toBe(100);
});
