import { headers, type Msg, type MsgHdrs, type NatsConnection } from "nats";
import { beforeEach, expect, test } from "vitest";
import { createPipelinedPublish, type PipelinedPublish } from "../../../src/jetstream/pipelined-publish.ts";
import { createManualClock } from "../../support/manual-clock.ts";

let clock: ReturnType<typeof createManualClock>;
let publish: PipelinedPublish;
/** Reply subjects of what was published. */
let replies: string[];
let sent: Array<{ readonly subject: string; readonly body: string; readonly headers: MsgHdrs | undefined }>;
let receive: (error: null, message: Msg) => void;
let fault: Error | null;

beforeEach(() => {
  clock = createManualClock();
  [replies, sent, fault] = [[], [], null];
  const connection: Pick<NatsConnection, "publish" | "status" | "subscribe"> = {
    async *status() {},
    publish(subject, body, options) {
      if (fault !== null) throw fault;
      sent.push({ subject, body: String(body), headers: options?.headers });
      replies.push(options?.reply ?? "");
    },
    subscribe(_subject, options) {
      receive = options?.callback as typeof receive;
      return {} as ReturnType<NatsConnection["subscribe"]>;
    },
  };
  publish = createPipelinedPublish(connection as NatsConnection, clock);
});

const answer = (nth: number, body: object, head?: MsgHdrs): void =>
  receive(null, { subject: replies[nth] ?? "", headers: head, json: () => body } as unknown as Msg);
const aMessage = (body = "1") => ({ subject: "t.parked.acme", body, headers: { "Nats-Msg-Id": `id-${body}` } });

test("each message gets the answer to it, in whatever order answers come", async () => {
  const acks = [publish(aMessage("1")), publish(aMessage("2"))];
  answer(1, { stream: "T", seq: 8 });
  answer(0, { stream: "T", seq: 7, duplicate: true });
  expect(await Promise.all(acks)).toEqual([
    { stream: "T", seq: 7, duplicate: true },
    { stream: "T", seq: 8 },
  ]);
  expect(sent.map(({ subject, body, headers: given }) => [subject, body, given?.get("Nats-Msg-Id")])).toEqual([
    ["t.parked.acme", "1", "id-1"],
    ["t.parked.acme", "2", "id-2"],
  ]);
});

test("a refusal and the lack of a stream reject, and so does a message that can't be sent", async () => {
  const refused = publish(aMessage());
  answer(0, { error: { code: 400, err_code: 10054, description: "too large" } });
  await expect(refused).rejects.toMatchObject({ message: "too large", api_error: { err_code: 10054 } });
  const unheard = publish(aMessage());
  answer(1, {}, headers(503, "No Responders"));
  await expect(unheard).rejects.toMatchObject({ code: "503" });
  fault = new Error("the connection is closed");
  await expect(publish(aMessage())).rejects.toThrow("the connection is closed");
});

test("a message without an answer is rejected, and an answer that comes late is not taken for that to a later message", async () => {
  const late = expect(publish(aMessage("1"))).rejects.toMatchObject({ code: "TIMEOUT" });
  await clock.advance(4_000);
  await late;
  const next = publish(aMessage("2"));
  answer(0, { stream: "T", seq: 7 });
  answer(1, { stream: "T", seq: 8 });
  expect(await next).toMatchObject({ seq: 8 });
});
