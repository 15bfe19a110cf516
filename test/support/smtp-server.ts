/** A real local SMTP server that keeps what it takes. */
import type { AddressInfo } from "node:net";
import { SMTPServer } from "smtp-server";

export interface ReceivedMail {
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly messageId: string;
  readonly text: string;
}

export interface TestSmtpServer {
  readonly url: string;
  readonly mails: ReceivedMail[];
  /** How the next mails are answered: null takes them; they are taken and `lost` breaks the connection, `never` answers. @param times those after them are taken */
  answer(code: number | "lost" | "never" | null, times?: number): void;
  /** The mailbox's mails are refused for now. */
  fill(address: string): void;
  /** How many mails were offered. */
  offered(): number;
  stop(): Promise<void>;
}

export async function startSmtpServer(port = 0): Promise<TestSmtpServer> {
  const mails: ReceivedMail[] = [];
  let next: { code: number | "lost" | "never" | null; times: number } = { code: null, times: 0 };
  let offered = 0;
  const full = new Set<string>();
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ["AUTH", "STARTTLS"],
    onRcptTo({ address }, _session, done) {
      if (!full.has(address)) return done();
      offered++;
      done(Object.assign(new Error("mailbox full"), { responseCode: 452 }));
    },
    onData(stream, session, done) {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => {
        offered++;
        const code = next.times-- > 0 ? next.code : null;
        if (typeof code === "number") return done(Object.assign(new Error("refused by the test"), { responseCode: code }));
        const { mailFrom, rcptTo } = session.envelope;
        mails.push({
          from: mailFrom === false ? "" : mailFrom.address,
          to: rcptTo.map(({ address }) => address),
          ...parsed(Buffer.concat(chunks).toString("utf8")),
        });
        if (code === null) return done();
        if (code === "lost") for (const connection of server.connections) connection._socket.destroy();
      });
    },
  });
  server.on("error", () => {});
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const { port: listening } = server.server.address() as AddressInfo;
  return {
    url: `smtp://127.0.0.1:${listening}`,
    mails,
    answer(code, times = Number.POSITIVE_INFINITY) {
      next = { code, times };
    },
    fill: (address) => void full.add(address),
    offered: () => offered,
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** Of a mail with one text part; the encodings that nodemailer chooses for plain text. */
function parsed(raw: string): { subject: string; messageId: string; text: string } {
  const [head = "", ...rest] = raw.split("\r\n\r\n");
  const headers = new Map(
    head
      .replace(/\r\n[ \t]+/g, " ")
      .split("\r\n")
      .map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 2)]),
  );
  const body = rest.join("\r\n\r\n");
  const isQuoted = headers.get("content-transfer-encoding") === "quoted-printable";
  const text = isQuoted
    ? body.replace(/=\r\n/g, "").replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    : body;
  return { subject: headers.get("subject") ?? "", messageId: headers.get("message-id") ?? "", text: text.replaceAll("\r\n", "\n") };
}
