// Serves a function from `Request` to `Response` at /mcp with Node's own HTTP server, on 127.0.0.1 only.
import http from 'node:http';
import { Readable } from 'node:stream';

async function serve(fetch, incoming, outgoing) {
  const url = new URL(incoming.url, `http://${incoming.headers.host ?? '127.0.0.1'}`);
  if (url.pathname === '/health') return outgoing.writeHead(200).end('ok');
  if (url.pathname !== '/mcp') return outgoing.writeHead(404).end();
  const gone = new AbortController();
  outgoing.on('close', () => gone.abort());
  const hasBody = !['GET', 'HEAD'].includes(incoming.method);
  const response = await fetch(new Request(url, {
    method: incoming.method,
    headers: incoming.headers,
    body: hasBody ? Readable.toWeb(incoming) : undefined,
    duplex: 'half',
    signal: gone.signal,
  }));
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  if (!response.body) return outgoing.end();
  // A stream may have nothing to say for long: its head goes at once.
  outgoing.flushHeaders();
  return Readable.fromWeb(response.body).on('error', () => outgoing.destroy()).pipe(outgoing);
}

/** Listens on `port`, 0 for a free one, and prints `READY <port>`. */
export function listen(port, fetch) {
  const listener = http.createServer((incoming, outgoing) => {
    outgoing.socket?.setNoDelay(true);
    serve(fetch, incoming, outgoing).catch((error) => {
      console.error(error);
      outgoing.destroy();
    });
  });
  listener.listen(Number(port), '127.0.0.1', () => console.log(`READY ${listener.address().port}`));
}
