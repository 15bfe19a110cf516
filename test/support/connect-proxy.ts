/** An HTTP proxy that takes CONNECT and nothing else. Whatever it is asked for, it connects to the port it was given. */
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";

export interface ConnectProxy {
  readonly url: string;
  /** What CONNECT asked for, and the credentials that came with it. */
  readonly requests: Array<{ readonly authority: string; readonly authorization: string | undefined }>;
  stop(): Promise<void>;
}

/** @param status what CONNECT is answered with; 0: nothing, ever. */
export async function startConnectProxy(targetPort: number, status = 200): Promise<ConnectProxy> {
  const requests: Array<{ authority: string; authorization: string | undefined }> = [];
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  };
  const server = createServer((_request, response) => response.writeHead(405).end());
  server.on("connection", keep);
  server.on("connect", (request, client: Socket) => {
    requests.push({ authority: request.url ?? "", authorization: request.headers["proxy-authorization"] });
    if (status === 0) return;
    if (status !== 200) return void client.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`);
    const target = connect(targetPort, "127.0.0.1", () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      client.pipe(target).pipe(client);
    });
    keep(target);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    stop: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
