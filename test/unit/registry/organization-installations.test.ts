import fc from "fast-check";
import { expect, test } from "vitest";
import type { Installation } from "../../../src/model/app.ts";
import { createOrganizationInstallations } from "../../../src/registry/organization-installations.ts";
import { anInstallation } from "../../support/builders.ts";

const few = (name: string) => fc.integer({ min: 0, max: 3 }).map((number) => `${name}${number}`);
const change = fc.record({ uuid: few("u"), app: few("a"), organizationId: few("o"), isRemoved: fc.boolean() });

test("finds what a list of all installations would", () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
      const found = createOrganizationInstallations();
      const all = new Map<string, Installation>();
      for (const { isRemoved, ...members } of changes) {
        const before = all.get(members.uuid);
        if (before !== undefined) found.remove(before);
        all.delete(members.uuid);
        if (isRemoved) continue;
        const installation = anInstallation(members);
        found.add(installation);
        all.set(members.uuid, installation);
      }
      for (let at = 0; at <= 3; at++) {
        const inOne = [...all.values()].filter(({ organizationId }) => organizationId === `o${at}`);
        expect(new Set(found.of(`o${at}`))).toEqual(new Set(inOne));
        expect([...found.of(`o${at}`)]).toHaveLength(inOne.length);
        for (const app of ["a0", "a1", "a2", "a3"])
          expect(new Set(found.ofApp(`o${at}`, app))).toEqual(new Set(inOne.filter((one) => one.app === app)));
      }
    }),
  );
});
