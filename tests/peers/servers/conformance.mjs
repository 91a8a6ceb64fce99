// An MCP server with everything that the official conformance suite looks for, on the TypeScript SDK 2.x.
//
//   node servers/conformance.mjs PORT [--modern-only|--legacy-only] [--json|--sse] [--no-tasks]
//
// Both eras on one URL, or one alone: then the other is refused as servers do that have never heard of it. Modern calls
// are answered with JSON where nothing comes before the result (`--json`: always, `--sse`: never).
// With `--no-tasks` it has never heard of tasks, and its tools run at once. Port 0 takes a free
// one. Prints `READY <port>`.
import {
  createMcpHandler, hostHeaderValidationResponse, isLegacyRequest, localhostAllowedHostnames, localhostAllowedOrigins,
  originValidationResponse,
} from '@modelcontextprotocol/server';
import { makeServer } from './conformance/server.mjs';
import { serveLegacy } from './conformance/sessions.mjs';
import { announceOn } from './conformance/state.mjs';
import { taskNews } from './conformance/tasks.mjs';
import { listen } from './http.mjs';

const [port = '0', ...flags] = process.argv.slice(2);
const has = (flag) => flags.includes(`--${flag}`);

const modern = createMcpHandler(({ era }) => makeServer(era).mcp, {
  legacy: 'reject', responseMode: has('json') ? 'json' : 'auto',
});
announceOn(modern.notify);

/** Makes a stream of an answer that went well. The SDK's own way to do so gives every error the status 200 too. */
async function streamed(response) {
  if (response.status !== 200 || !response.headers.get('content-type')?.includes('json')) return response;
  const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache, no-transform' };
  return new Response(`event: message\ndata: ${await response.text()}\n\n`, { headers });
}

async function serveModern(request) {
  const response = await taskNews(request) ?? await modern.fetch(request);
  return has('sse') ? streamed(response) : response;
}

async function answer(request) {
  const stranger = hostHeaderValidationResponse(request, localhostAllowedHostnames())
    ?? originValidationResponse(request, localhostAllowedOrigins());
  if (stranger) return stranger;
  if (has('legacy-only')) return serveLegacy(request);
  if (has('modern-only') || !(await isLegacyRequest(request))) return serveModern(request);
  return serveLegacy(request);
}

listen(port, answer);
