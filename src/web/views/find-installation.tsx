/** Target of links in status events: shows the installation on its app's page. */
import { useEffect } from "preact/hooks";
import type { Installation } from "../../client/api-types.generated.ts";
import { call } from "../api.ts";
import { useGround } from "../ground.ts";
import { Failed, Loading } from "../parts/notice.tsx";
import { hrefOf } from "../routing.ts";
import { useLoad } from "../use-load.ts";

export function FindInstallation({ uuid }: { uuid: string }) {
  const { session } = useGround();
  const { value, error, reload } = useLoad(
    uuid,
    async (signal) => session.app ?? (await call<Installation>(`v1/installations/${encodeURIComponent(uuid)}`, { signal })).app,
  );
  useEffect(() => {
    if (value !== null) location.replace(hrefOf(["apps", value], { installation: uuid }));
  }, [value]);
  return error === null ? <Loading what="the installation" /> : <Failed what={`Installation ${uuid}`} error={error} retry={reload} />;
}
