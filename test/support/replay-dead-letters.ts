/** Replays dead letters by a filter, and waits for the end: where it takes longer than a moment it goes on behind the answer. */
import { eventually } from "./eventually.ts";

type Api = (method: string, path: string, body?: unknown) => Promise<{ readonly status: number; readonly body: any }>;

export async function replayDeadLetters(api: Api, filter: object): Promise<any> {
  const { status, body } = await api("POST", "/v1/dead-letters/replay", filter);
  if (status !== 202) return body;
  return eventually(async () => {
    const { body: replay } = await api("GET", `/v1/dead-letters/replays/${body.replay_id}`);
    return replay.state !== "running" && replay;
  });
}
