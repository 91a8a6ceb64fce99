// The legacy revisions of the fixture: sessions with a stream of their own, and streams that can be taken up again.
import { WebStandardStreamableHTTPServerTransport, isInitializeRequest } from '@modelcontextprotocol/server';
import { randomUUID } from 'node:crypto';
import { makeServer } from './server.mjs';
import { sessions } from './state.mjs';

/** Keeps the events of one session. An event's id is its stream and its number there. */
class Events {
  #events = [];

  async storeEvent(streamId, message) {
    this.#events.push({ streamId, message });
    return `${streamId}_${this.#events.length}`;
  }

  async getStreamIdForEventId(eventId) {
    return eventId.slice(0, eventId.lastIndexOf('_'));
  }

  async replayEventsAfter(lastEventId, { send }) {
    const streamId = await this.getStreamIdForEventId(lastEventId);
    const after = Number(lastEventId.slice(streamId.length + 1));
    for (const [at, event] of this.#events.entries()) {
      // What has no method and no id is the empty event that opens a stream.
      const said = event.message.method !== undefined || event.message.id !== undefined;
      if (at >= after && event.streamId === streamId && said) await send(`${streamId}_${at + 1}`, event.message);
    }
    return streamId;
  }
}

const transports = new Map();

const refuse = (status, message) =>
  Response.json({ jsonrpc: '2.0', error: { code: -32000, message }, id: null }, { status });

async function openSession() {
  const server = makeServer('legacy');
  const uris = new Set();
  const subscribe = (method, change) => server.mcp.server.setRequestHandler(method, ({ params }) => {
    change(params.uri);
    return {};
  });
  subscribe('resources/subscribe', (uri) => uris.add(uri));
  subscribe('resources/unsubscribe', (uri) => uris.delete(uri));
  const transport = new WebStandardStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore: new Events(),
    retryInterval: 500,
    onsessioninitialized: (id) => {
      transports.set(id, transport);
      sessions.set(server, uris);
    },
    onsessionclosed: (id) => {
      transports.delete(id);
      sessions.delete(server);
    },
  });
  await server.mcp.connect(transport);
  return transport;
}

/** Answers a request of a legacy client. */
export async function serveLegacy(request) {
  const id = request.headers.get('mcp-session-id');
  const known = transports.get(id);
  if (known) return known.handleRequest(request);
  if (id) return refuse(404, 'Session not found');
  const body = request.method === 'POST' ? await request.clone().json().catch(() => undefined) : undefined;
  if (!isInitializeRequest(body)) return refuse(400, 'Bad Request: Server not initialized');
  return (await openSession()).handleRequest(request);
}
