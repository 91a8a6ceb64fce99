// An MCP server on the TypeScript SDK 2.x that speaks every revision.
//
//   node servers/ts.mjs PORT [json|sse|auto]
//
// The second argument is how it answers modern calls: one JSON body, always a stream, or as the SDK chooses (the
// default). Port 0 takes a free one. Prints `READY <port>`. With `stdio` in the place of the port it speaks on standard
// input and output instead.
import { setTimeout as pause } from 'node:timers/promises';
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { z } from 'zod';
import { listen } from './http.mjs';

const [port = '0', responseMode = 'auto'] = process.argv.slice(2);

const answer = (text, structuredContent) => ({ content: [{ type: 'text', text }], structuredContent });

function makeServer() {
  const server = new McpServer({ name: 'peer-ts', version: '1.0.0' });
  const tool = (name, description, inputSchema, run) =>
    server.registerTool(name, { description, inputSchema: z.object(inputSchema) }, run);

  tool('add', 'Adds two numbers', { a: z.number(), b: z.number() }, async ({ a, b }) =>
    answer(String(a + b), { sum: a + b }));
  tool('echo', 'Gives any JSON back', { value: z.any() }, async ({ value }) =>
    answer(JSON.stringify(value ?? null), { value: value ?? null }));
  tool('leak', 'Says the given text', { text: z.string() }, async ({ text }) => answer(text, { text }));
  tool('big', 'Says so many bytes', { bytes: z.number().int().min(0) }, async ({ bytes }) => answer('x'.repeat(bytes)));
  tool('slow', 'Takes so long, and says how far it is', { ms: z.number().min(0) }, async ({ ms }, { mcpReq }) => {
    const progressToken = mcpReq._meta?.progressToken;
    for (let progress = 1; progress <= 4; progress += 1) {
      await pause(ms / 4, undefined, { signal: mcpReq.signal });
      if (progressToken !== undefined) {
        await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 4 } });
      }
    }
    return answer('done');
  });
  server.registerPrompt('greet', { description: 'Greets', argsSchema: z.object({ name: z.string() }) }, ({ name }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Hello, ${name}` } }],
  }));
  server.registerResource('note', 'note://peer-ts', { mimeType: 'text/plain' }, () => ({
    contents: [{ uri: 'note://peer-ts', mimeType: 'text/plain', text: 'The note of peer-ts' }],
  }));
  return server;
}

const handler = createMcpHandler(makeServer, { responseMode });

if (port === 'stdio') serveStdio(makeServer);
else listen(port, handler.fetch);
