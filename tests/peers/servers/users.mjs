// An MCP server that shows each user something else, by the header `X-User-ID`.
//
//   node servers/users.mjs PORT [modern|legacy]
//
// `modern` is the TypeScript SDK 2.x, `legacy` the older SDK, 1.x, with sessions. Port 0 takes a free one. Prints
// `READY <port>`. Without the header there is nothing to see, and a session of one user is not for another.
//
// A user has the tool `whoami`, which says who asks; the tool `note`, whose folders are the user's own; and the tool,
// prompt and resource that are called like the user (`only-ana`, `user://ana`).
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { Readable } from 'node:stream';
import { z } from 'zod';

const [port = '0', family = 'modern'] = process.argv.slice(2);
const text = (text) => ({ content: [{ type: 'text', text }] });
const options = { capabilities: { tools: {}, prompts: {}, resources: {} } };
const info = { name: `peer-users-${family}`, version: '1.0.0' };

function furnish(server, user) {
  const schema = (fields) => (family === 'modern' ? z.object(fields) : fields);
  server.registerTool('whoami', { description: 'Says who asks' }, async () => text(user));
  server.registerTool('note', {
    description: 'Writes into a folder',
    inputSchema: schema({ folder: z.enum([`${user}-home`, `${user}-work`]) }),
  }, async ({ folder }) => text(`${user} wrote into ${folder}`));
  server.registerTool(`only-${user}`, { description: 'One more' }, async () => text(user));
  server.registerPrompt(`only-${user}`, { description: 'One more' }, async () => (
    { messages: [{ role: 'user', content: { type: 'text', text: user } }] }));
  server.registerResource(user, `user://${user}`, {}, async (uri) => ({ contents: [{ uri: uri.href, text: user }] }));
}

async function modern() {
  const { McpServer, createMcpHandler } = await import('@modelcontextprotocol/server');
  const handlers = new Map();
  const handler = (user) => createMcpHandler(() => {
    const server = new McpServer(info, options);
    if (user) furnish(server, user);
    return server;
  });
  return async (incoming, outgoing) => {
    const user = incoming.headers['x-user-id'] ?? '';
    if (!handlers.has(user)) handlers.set(user, handler(user));
    const hasBody = !['GET', 'HEAD'].includes(incoming.method);
    const response = await handlers.get(user).fetch(new Request(new URL(incoming.url, 'http://127.0.0.1'), {
      method: incoming.method,
      headers: incoming.headers,
      body: hasBody ? Readable.toWeb(incoming) : undefined,
      duplex: 'half',
    }));
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    if (response.body) Readable.fromWeb(response.body).on('error', () => outgoing.destroy()).pipe(outgoing);
    else outgoing.end();
  };
}

async function legacy() {
  const { McpServer } = await import('@modelcontextprotocol/sdk/server/mcp.js');
  const { StreamableHTTPServerTransport } = await import('@modelcontextprotocol/sdk/server/streamableHttp.js');
  const sessions = new Map();
  const open = async (user) => {
    const server = new McpServer(info, options);
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => { sessions.set(id, { user, transport }); },
      onsessionclosed: (id) => { sessions.delete(id); },
    });
    if (user) furnish(server, user);
    await server.connect(transport);
    return transport;
  };
  return async (incoming, outgoing) => {
    const user = incoming.headers['x-user-id'] ?? '';
    const id = incoming.headers['mcp-session-id'];
    if (id && sessions.get(id)?.user !== user) return void outgoing.writeHead(404).end();
    const transport = id ? sessions.get(id).transport : await open(user);
    return transport.handleRequest(incoming, outgoing);
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
