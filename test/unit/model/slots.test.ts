import { expect, test } from "vitest";
import { createSlots } from "../../../src/model/slots.ts";

const item = (name: string) => ({ name, slot: -1 });
const namesIn = (slots: ReturnType<typeof createSlots<ReturnType<typeof item>>>) => {
  const names: string[] = [];
  slots.each(({ name }) => names.push(name));
  return names;
};

test("holds what was added and not removed", () => {
  const slots = createSlots<ReturnType<typeof item>>();
  const [one, two, three] = [item("one"), item("two"), item("three")] as const;
  slots.add(one);
  slots.add(two);
  slots.remove(one);
  slots.add(three);
  expect([slots.size(), namesIn(slots).sort()]).toEqual([2, ["three", "two"]]);
});

test("uses slots again: there are no more than were held at once", () => {
  const slots = createSlots<ReturnType<typeof item>>();
  const held = [item("a"), item("b")];
  for (const one of held) slots.add(one);
  for (let n = 0; n < 100; n++) {
    const gone = held.shift();
    if (gone !== undefined) slots.remove(gone);
    const next = item(String(n));
    held.push(next);
    slots.add(next);
    expect(next.slot).toBeLessThan(2);
  }
  expect(slots.size()).toBe(2);
});

test("is as small as at first when it is empty again", () => {
  const slots = createSlots<ReturnType<typeof item>>();
  const many = Array.from({ length: 100 }, (_, n) => item(String(n)));
  for (const one of many) slots.add(one);
  for (const one of many) slots.remove(one);
  const next = item("next");
  slots.add(next);
  expect([slots.size(), next.slot, namesIn(slots)]).toEqual([1, 0, ["next"]]);
});

test("a removal of what is gone, or never was there, changes nothing", () => {
  const slots = createSlots<ReturnType<typeof item>>();
  const [one, two] = [item("one"), item("two")];
  slots.add(one as ReturnType<typeof item>);
  slots.remove(one as ReturnType<typeof item>);
  slots.add(two as ReturnType<typeof item>);
  slots.remove(one as ReturnType<typeof item>);
  slots.remove(item("stranger"));
  expect([slots.size(), namesIn(slots)]).toEqual([1, ["two"]]);
});

test("may be changed while it is gone through", () => {
  const slots = createSlots<ReturnType<typeof item>>();
  for (const name of ["a", "b", "c"]) slots.add(item(name));
  slots.each((one) => slots.remove(one));
  expect([slots.size(), namesIn(slots)]).toEqual([0, []]);
});
