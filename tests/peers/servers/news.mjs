// An MCP server whose lists and resources change while it runs, and that says so.
//
//   node servers/news.mjs PORT [modern|legacy]
//
// `modern` is the TypeScript SDK 2.x, which speaks every revision and tells news of 2026-07-28 alone; `legacy` is the
// older SDK, 1.x, with sessions and their GET stream. Port 0 takes a free one. Prints `READY <port>`.
//
// Tools: `change` puts a `tool`, `prompt` or `resource` on its list, or takes it away; `touch` says that the resource
// `uri` has changed. Resources: `news://watched` and `news://secret`, each the number of its changes.
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { Readable } from 'node:stream';
import { z } from 'zod';

const [port = '0', family = 'modern'] = process.argv.slice(2);
const text = (text) => ({ content: [{ type: 'text', text }] });

// What there is besides what is always there, and how often each resource has changed.
const extra = { tool: new Set(), prompt: new Set(), resource: new Set() };
const touched = new Map();
const resources = ['news://watched', 'news://secret'];

function furnish(server, tell, remember = () => {}) {
  const schema = (fields) => (family === 'modern' ? z.object(fields) : fields);
  server.registerTool('change', {
    description: 'Puts something on its list, or takes it away',
    inputSchema: schema({ kind: z.enum(['tool', 'prompt', 'resource']), name: z.string() }),
  }, async ({ kind, name }) => {
    if (!extra[kind].delete(name)) extra[kind].add(name);
    tell[kind](name);
    return text(`${kind} ${name}`);
  });
  server.registerTool('touch', {
    description: 'Changes a resource',
    inputSchema: schema({ uri: z.string() }),
  }, async ({ uri }) => {
    touched.set(uri, (touched.get(uri) ?? 0) + 1);
    tell.updated(uri);
    return text(uri);
  });
  for (const uri of resources) addResource(server, uri);
  for (const name of extra.tool) remember(`tool ${name}`, addTool(server, name));
  for (const name of extra.prompt) remember(`prompt ${name}`, addPrompt(server, name));
  for (const name of extra.resource) remember(`resource ${name}`, addResource(server, name));
}

const addTool = (server, name) => server.registerTool(name, { description: 'One more' }, async () => text(name));
const addPrompt = (server, name) => server.registerPrompt(name, { description: 'One more' }, async () => (
  { messages: [{ role: 'user', content: { type: 'text', text: name } }] }));
const addResource = (server, uri) => server.registerResource(uri, uri, {}, async () => (
  { contents: [{ uri, text: String(touched.get(uri) ?? 0) }] }));

const options = { capabilities: {
  tools: { listChanged: true }, prompts: { listChanged: true }, resources: { listChanged: true, subscribe: true },
} };
const info = { name: `peer-news-${family}`, version: '1.0.0' };

async function modern() {
  const { McpServer, createMcpHandler } = await import('@modelcontextprotocol/server');
  let handler;
  const tell = {
    tool: () => handler.notify.toolsChanged(),
    prompt: () => handler.notify.promptsChanged(),
    resource: () => handler.notify.resourcesChanged(),
    updated: (uri) => handler.notify.resourceUpdated(uri),
  };
  handler = createMcpHandler(() => {
    const server = new McpServer(info, options);
    furnish(server, tell);
    // Something must be there for a kind to be served at all.
    addPrompt(server, 'always');
    return server;
  });
  return async (incoming, outgoing) => {
    const gone = new AbortController();
    outgoing.on('close', () => gone.abort());
    const hasBody = !['GET', 'HEAD'].includes(incoming.method);
    const response = await handler.fetch(new Request(new URL(incoming.url, 'http://127.0.0.1'), {
      method: incoming.method,
      headers: incoming.headers,
      body: hasBody ? Readable.toWeb(incoming) : undefined,
      duplex: 'half',
      signal: gone.signal,
    }));
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    if (response.body) Readable.fromWeb(response.body).on('error', () => outgoing.destroy()).pipe(outgoing);
    else outgoing.end();
  };
}

async function legacy() {
  const { McpServer } = await import('@modelcontextprotocol/sdk/server/mcp.js');
  const { StreamableHTTPServerTransport } = await import('@modelcontextprotocol/sdk/server/streamableHttp.js');
  const { SubscribeRequestSchema, UnsubscribeRequestSchema } = await import('@modelcontextprotocol/sdk/types.js');
  const sessions = new Map();
  // A server of this SDK tells of its own lists by itself.
  const put = (kind, add) => (name) => {
    for (const { server, handles } of sessions.values()) {
      const known = handles.get(`${kind} ${name}`);
      handles.delete(`${kind} ${name}`);
      if (known) known.remove();
      else if (extra[kind].has(name)) handles.set(`${kind} ${name}`, add(server, name));
    }
  };
  const tell = {
    tool: put('tool', addTool),
    prompt: put('prompt', addPrompt),
    resource: put('resource', addResource),
    updated: (uri) => {
      for (const { server, subscribed } of sessions.values()) {
        if (subscribed.has(uri)) server.server.sendResourceUpdated({ uri });
      }
    },
  };
  const open = async () => {
    const server = new McpServer(info, options);
    const session = { server, handles: new Map(), subscribed: new Set() };
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => { sessions.set(id, session); },
      onsessionclosed: (id) => { sessions.delete(id); },
    });
    session.transport = transport;
    furnish(server, tell, (key, handle) => session.handles.set(key, handle));
    addPrompt(server, 'always');
    server.server.setRequestHandler(SubscribeRequestSchema, async ({ params }) => {
      session.subscribed.add(params.uri);
      return {};
    });
    server.server.setRequestHandler(UnsubscribeRequestSchema, async ({ params }) => {
      session.subscribed.delete(params.uri);
      return {};
    });
    await server.connect(transport);
    return session;
  };
  return async (incoming, outgoing) => {
    const id = incoming.headers['mcp-session-id'];
    if (id && !sessions.has(id)) return void outgoing.writeHead(404).end();
    const session = id ? sessions.get(id) : await open();
    return session.transport.handleRequest(incoming, outgoing);
  };
}

const serve = await (family === 'modern' ? modern() : legacy());
const listener = http.createServer((incoming, outgoing) => {
  if (incoming.url !== '/mcp') return void outgoing.writeHead(404).end();
  serve(incoming, outgoing).catch((error) => {
    console.error(error);
    outgoing.destroy();
  });
});
listener.listen(Number(port), '127.0.0.1', () => console.log(`READY ${listener.address().port}`));
