/** Questions of any replica to the owner of the queues, about the order of deliveries. */
import type { OrderBy } from "../../model/app.ts";
import { type Delivery, dedupKeyOf } from "../../model/delivery.ts";
import type { AppStops, KeyStop } from "../../model/key-stop.ts";
import type { ReplicaChannel } from "../replica-channel.ts";
import { orderKeyOf } from "./order-entry.ts";
import type { OrderPlace } from "./ordered-app.ts";
import type { OwnerTerm } from "./owner-term.ts";

type Question =
  | { readonly about: "apps" }
  /** @property mark the delivery's dedup key */
  | { readonly about: "delivery"; readonly app: string; readonly mark: string }
  | ({ readonly about: "place"; readonly app: string } & OrderPlace);

export function createAskOrder({ askOwner }: Pick<ReplicaChannel, "askOwner">, subject: string) {
  const ask = <Answer>(question: Question): Promise<Answer | null> => askOwner<Answer>(subject, question);
  return {
    /** The apps with stopped keys; null: the owner of the queues does not answer. */
    async stops(): Promise<ReadonlyMap<string, AppStops> | null> {
      const stops = await ask<Record<string, AppStops>>({ about: "apps" });
      return stops && new Map(Object.entries(stops));
    },
    /** The delivery that stops this one's key, perhaps itself; null: none, as far as is known. */
    async stopOf(delivery: Delivery): Promise<KeyStop | null> {
      const answer = await ask<{ stop: KeyStop | null }>({ about: "delivery", app: delivery.app, mark: dedupKeyOf(delivery) });
      return answer?.stop ?? null;
    },
    /** Whether nothing that the owner has in hand comes before the delivery, whose installation is broken. */
    async isNext(delivery: Delivery, orderBy: OrderBy): Promise<boolean> {
      const { app, installationUuid, eventSequence } = delivery;
      const place = { orderBy, key: orderKeyOf(delivery, orderBy), eventSequence: eventSequence ?? 0, installationUuid };
      return (await ask<{ isNext: boolean }>({ about: "place", app, ...place }))?.isNext ?? false;
    },
  };
}

/** @param term null: this replica is not the owner */
export function answerAboutOrder(term: OwnerTerm | null, asked: unknown): object | null {
  if (term === null) return null;
  const { apps, readTo } = term;
  const question = asked as Question;
  switch (question.about) {
    case "apps":
      return Object.fromEntries([...apps.all()].flatMap(([slug, { stops }]) => (stops.all() === null ? [] : [[slug, stops.all()]])));
    case "delivery":
      return { stop: apps.get(question.app)?.stops.of(question.mark) ?? null };
    case "place":
      // An event that is read later may come before it.
      return { isNext: readTo() >= question.eventSequence - 1 && apps.get(question.app)?.isNext(question) === true };
  }
}
