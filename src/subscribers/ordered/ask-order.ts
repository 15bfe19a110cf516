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

export function createAskOrder({ askOwner }: Pick<ReplicaChannel, "askOwner">, subject: string) {
  const ask = <Answer>(question: Question): Promise<Answer | null> => askOwner<Answer>(subject, question);
  return {
    /** The apps with stopped keys; null: the owner of the queues does not answer. */
    async stops(): Promise<ReadonlyMap<string, AppStops> | null> {
      const stops = await ask<Record<string, AppStops>>({ about: "apps" });
      return stops && new Map(Object.entries(stops));
    },
    /** The delivery that stops this one's key, perhaps itself; null: none, as far as is known. */
    async stopOf({ delivery, stream, sequence }: LocatedDelivery, orderBy: OrderBy): Promise<KeyStop | null> {
      const { app, eventSequence } = delivery;
      const place = { key: orderKeyOf(delivery, orderBy), eventSequence, deadLetter: stream === "dead-letters" ? sequence : null };
      return (await ask<{ stop: KeyStop | null }>({ about: "delivery", app, ...place }))?.stop ?? null;
    },
    /** The first place of a broken installation's deliveries before which the owner has nothing in hand. */
    firstOf: (asked: PlacesInOrder) => ask<{ first: number | null }>({ about: "first", ...asked }),
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
        [...apps.all()].map(([slug, { stops }]) => [slug, stops.all()] as const).filter(([, stops]) => stops !== null),
      );
    case "delivery":
      return { stop: apps.get(question.app)?.stops.of(question) ?? null };
    case "first":
      return { first: (await apps.get(question.app)?.firstOf(question)) ?? null };
  }
}
