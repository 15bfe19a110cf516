/** Questions of any replica to the owner of the queues, about the order of deliveries. */
import type { PlacesInOrder } from "../../delivery/next-in-order.ts";
import type { OrderBy } from "../../model/app.ts";
import type { LocatedDelivery } from "../../model/delivery-location.ts";
import type { AppStops, KeyStop } from "../../model/key-stop.ts";
import { orderKeyOf } from "../../model/order-key.ts";
import type { ReplicaChannel } from "../replica-channel.ts";
import type { StoppedPlace } from "./key-stops.ts";
import type { OwnerTerm } from "./owner-term.ts";

type Question =
  | { readonly about: "apps" }
  | ({ readonly about: "delivery"; readonly app: string } & StoppedPlace)
  | ({ readonly about: "first" } & PlacesInOrder);

interface FoundStop {
  readonly stop: KeyStop | null;
}

export function createAskOrder({ askOwner }: Pick<ReplicaChannel, "askOwner">, subject: string) {
  const ask = <Answer>(question: Question): Promise<Answer | null> => askOwner<Answer>(subject, question);
  return {
    /** The apps with stopped keys, and null for an app of which the owner does not know yet; null: the owner of the queues does not answer. */
    async stops(): Promise<ReadonlyMap<string, AppStops | null> | null> {
      const stops = await ask<Record<string, AppStops | null>>({ about: "apps" });
      return stops && new Map(Object.entries(stops));
    },
    /** The delivery that stops this one's key, perhaps itself, if any does; null: it is not known. */
    async stopOf(
      { delivery, stream, sequence }: Pick<LocatedDelivery, "delivery" | "stream" | "sequence">,
      orderBy: OrderBy,
    ): Promise<FoundStop | null> {
      const { app, eventSequence } = delivery;
      const place = { key: orderKeyOf(delivery, orderBy), eventSequence, deadLetter: stream === "dead-letters" ? sequence : null };
      const { stop } = (await ask<Partial<FoundStop>>({ about: "delivery", app, ...place })) ?? {};
      return stop === undefined ? null : { stop };
    },
    /** The first place of a broken installation's deliveries before which the owner has nothing in hand. */
    firstInOrder: (asked: PlacesInOrder) => ask<{ first: number | null }>({ about: "first", ...asked }),
  };
}

/** @param term null: this replica is not the owner */
export async function answerAboutOrder(term: OwnerTerm | null, asked: unknown): Promise<object | null> {
  if (term === null) return null;
  const { apps } = term;
  const question = asked as Question;
  switch (question.about) {
    case "apps":
      return Object.fromEntries(
        [...apps.all()]
          .map(([app, { isKnown, stops }]) => [app, isKnown() ? (stops.all() ?? undefined) : null] as const)
          .filter(([, stops]) => stops !== undefined),
      );
    case "delivery": {
      const app = apps.get(question.app);
      return app?.isKnown() ? { stop: app.stops.of(question) } : {};
    }
    case "first":
      return { first: (await apps.get(question.app)?.firstInOrder(question)) ?? null };
  }
}
