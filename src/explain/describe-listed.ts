/** Describes the deliveries of a page of the list. */
import { toRfc3339 } from "../model/clock.ts";
import type { DeliveryHistory, LocatedDelivery } from "../model/delivery-location.ts";
import type { ListedDelivery, ListedState } from "./answer-schemas.ts";
import { createDescribeDelivery, type DescribeDelivery, type DescribeDependencies, type DescribeOptions } from "./describe-delivery.ts";
import { isOwnDelivery } from "./is-own-delivery.ts";
import type { LoggedCandidate } from "./logged-deliveries.ts";
import type { ListPosition } from "./newest-first.ts";
import { type Notes, unlessRedisIsDown } from "./notes.ts";
import { oncePerKey } from "./once-per-key.ts";
import { seesOrganization, type Viewer } from "./viewer.ts";

/** A delivery found in a stream, in the request log, or in both. Its key is the delivery's id. */
export type Candidate = ListPosition & { readonly located?: LocatedDelivery } & Partial<Pick<LoggedCandidate, "app" | "rows">>;

export interface PageQuery extends Viewer {
  /** Null: any. */
  readonly states: ReadonlySet<ListedState> | null;
}

/** In the order of the page, without those that the list has at another place (LIST-1) or that are in another state. */
export type DescribeListed = (page: readonly Candidate[], query: PageQuery, notes: Notes) => Promise<ListedDelivery[]>;

/** Deliveries described at once. */
const BATCH = 32;

export function createDescribeListed(dependencies: DescribeDependencies, options: DescribeOptions): DescribeListed {
  const { index, registry, sources } = dependencies;
  const { lookup, streams } = sources;

  /** Asks once for each installation and queue of a page. */
  const describeForPage = (): DescribeDelivery => {
    return createDescribeDelivery(
      {
        ...dependencies,
        registry: { ...registry, getInstallation: oncePerKey((uuid) => uuid, registry.getInstallation) },
        sources: {
          ...sources,
          queueSpan: oncePerKey(({ app, installationUuid }) => `${app} ${installationUuid}`, sources.queueSpan),
          oldestParked: oncePerKey(({ app, installationUuid }) => `${app} ${installationUuid}`, sources.oldestParked),
        },
      },
      options,
    );
  };

  const isOfApp = ({ app, rows, located }: Found, history: DeliveryHistory | null, { onlyApp }: Viewer): boolean =>
    onlyApp === null ||
    (app === onlyApp && (rows.length > 0 || isOwnDelivery({ located, history, stored: null }, index.app(app)?.createdAt ?? null)));

  const describeOne = async (
    describe: DescribeDelivery,
    candidate: Candidate,
    history: DeliveryHistory | null,
    query: PageQuery,
    notes: Notes,
  ): Promise<ListedDelivery | null> => {
    const { key: deliveryId, at, rows = [] } = candidate;
    const located = candidate.located ?? (history?.location ? await streams.at(deliveryId, history.location) : null);
    if (candidate.located === undefined && located !== null && located.storedAt >= at) return null;
    const found = { app: appOf(candidate), rows, located };
    const [row] = rows;
    const installationUuid = located?.delivery.installationUuid ?? row?.installation_uuid ?? "";
    const event = located?.delivery.event;
    const organizationId = event?.organizationId ?? row?.organization_id ?? index.installation(installationUuid)?.organizationId ?? null;
    if (!isOfApp(found, history, query) || !seesOrganization(query, organizationId)) return null;
    const findings = { history, located, stored: null, remaining: null, rows };
    const {
      attempts,
      skipped: _skipped,
      timeline: _timeline,
      ...delivery
    } = await describe({ deliveryId, app: found.app, installationUuid }, findings, notes);
    if (query.states !== null && !query.states.has(delivery.state as ListedState)) return null;
    return {
      at: toRfc3339(at),
      ...delivery,
      event_id: event?.id ?? row?.event_id ?? "",
      event_type: event?.type ?? row?.event_type ?? "",
      organization_id: organizationId,
      last_attempt: attempts.at(-1) ?? null,
    };
  };

  return async (page, query, notes) => {
    if (page.length === 0) return [];
    const ids = page.map(({ key }) => key);
    const histories = await unlessRedisIsDown(lookup.find(ids, page.map(appOf)), [], notes);
    const describe = describeForPage();
    const listed: Array<ListedDelivery | null> = [];
    for (let from = 0; from < page.length; from += BATCH) {
      const batch = page.slice(from, from + BATCH);
      listed.push(...(await Promise.all(batch.map((one, at) => describeOne(describe, one, histories[from + at] ?? null, query, notes)))));
    }
    return listed.filter((one) => one !== null);
  };
}

interface Found extends Required<Pick<LoggedCandidate, "app" | "rows">> {
  readonly located: LocatedDelivery | null;
}

function appOf({ app, located }: Candidate): string {
  return app ?? located?.delivery.app ?? "";
}
