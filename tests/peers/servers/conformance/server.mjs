// One server of the fixture: what the official conformance suite expects to find, for either era.
import {
  McpServer, ProtocolError, ResourceTemplate, completable, fromJsonSchema,
} from '@modelcontextprotocol/server';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { PNG, audio, embedded, image, message, says, text } from './content.mjs';
import { contextPrompt, inputTools, states } from './inputs.mjs';
import { extra, resourceUpdated, togglePrompt, toggleTool } from './state.mjs';
import { SERVED, TASKS, serveTasks, taskTools } from './tasks.mjs';

const none = z.object({});

async function logs(_, { mcpReq }) {
  for (const line of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
    await mcpReq.log('info', line);
    await pause(50);
  }
  return says('Logged three times');
}

async function progresses(_, { mcpReq }) {
  const progressToken = mcpReq._meta?.progressToken;
  for (const progress of [0, 50, 100]) {
    if (progressToken !== undefined) {
      await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
    }
    await pause(50);
  }
  return says('Progressed to the end');
}

/** Closes the call's stream: the client finds the answer on the one that it opens next. */
async function reconnects(_, { http }) {
  http?.closeSSE?.();
  await pause(100);
  return says('Found again');
}

function fails() {
  throw new Error('This tool intentionally returns an error for testing');
}

const ADDRESS = { type: 'object', properties: { street: { type: 'string' }, city: { type: 'string' } } };
const DIALECT = fromJsonSchema({
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: { address: { $anchor: 'addressDef', ...ADDRESS } },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
});
const MIRRORED = fromJsonSchema({
  type: 'object',
  properties: {
    region: { type: 'string', 'x-mcp-header': 'Region' },
    priority: { type: 'integer', 'x-mcp-header': 'Priority' },
    urgent: { type: 'boolean', 'x-mcp-header': 'Urgent' },
    query: { type: 'string' },
  },
});

const contents = {
  test_simple_text: [text('This is a simple text response for testing.')],
  test_image_content: [image()],
  test_audio_content: [audio()],
  test_embedded_resource: [embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')],
  test_multiple_content_types: [
    text('Multiple content types test:'),
    image(),
    embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
  ],
};
const plainTools = [
  ...Object.entries(contents).map(([name, content]) => [name, 'Always says the same', none, () => ({ content })]),
  ['test_error_handling', 'Always fails', none, fails],
  ['test_tool_with_logging', 'Logs what it does', none, logs],
  ['test_logging_tool', 'Logs what it does', none, logs],
  ['test_tool_with_progress', 'Tells how far it is', none, progresses],
  ['test_reconnection', 'Closes its stream before it answers', none, reconnects],
  ['test_header_mirror', 'Has arguments that headers repeat', MIRRORED, (args) => says(JSON.stringify(args))],
  ['json_schema_2020_12_tool', 'Tool with JSON Schema 2020-12 features', DIALECT, (args) => says(JSON.stringify(args))],
  ['test_trigger_tool_change', 'Adds a tool, or takes it away again', none, () => says(toggleTool())],
  ['test_trigger_prompt_change', 'Adds a prompt, or takes it away again', none, () => says(togglePrompt())],
  ['test_trigger_resource_update', 'Says that a resource changed', z.object({ uri: z.string() }),
    ({ uri }) => says(resourceUpdated(uri))],
];
const TOOLS = [...plainTools, ...inputTools, ...taskTools];
const EXTRA = ['test_extra', 'Comes and goes', none, () => says('Here now')];

async function call(request, ctx) {
  const { name, arguments: given = {} } = request.params;
  const tool = [...TOOLS, ...(extra.tool ? [EXTRA] : [])].find(([own]) => own === name);
  if (!tool) throw new ProtocolError(-32602, `Unknown tool: ${name}`);
  const [, , schema, run] = tool;
  const checked = await schema['~standard'].validate(given);
  if (checked.issues) {
    return { ...says(`Invalid arguments: ${checked.issues.map((issue) => issue.message).join('; ')}`), isError: true };
  }
  try {
    return await run(checked.value, ctx);
  } catch (error) {
    if (error instanceof ProtocolError) throw error;
    return { ...says(error.message), isError: true };
  }
}

function addTools(mcp) {
  const add = ([name, description, inputSchema, run]) => mcp.registerTool(name, { description, inputSchema }, run);
  TOOLS.forEach(add);
  const changing = add(EXTRA);
  if (!extra.tool) changing.disable();
  // The SDK makes a tool's error of whatever a tool throws; some of ours are to be errors of the protocol.
  mcp.server.setRequestHandler('tools/call', (request, ctx) =>
    call(request, Object.assign(ctx, { handshake: mcp.server.getClientCapabilities() })));
  return changing;
}

function addPrompts(mcp) {
  const add = (name, description, argsSchema, run) =>
    mcp.registerPrompt(name, { description, ...(argsSchema && { argsSchema }) }, run);
  const say = (...pieces) => ({ messages: pieces.map(message) });
  add('test_simple_prompt', 'Says one thing', undefined, () => say(text('This is a simple prompt for testing.')));
  add('test_prompt_with_arguments', 'Says its arguments', z.object({
    arg1: completable(z.string(), (value) => ['paris', 'park', 'party', 'test'].filter((word) => word.startsWith(value))),
    arg2: z.string(),
  }), ({ arg1, arg2 }) => say(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)));
  add('test_prompt_with_embedded_resource', 'Embeds a resource', z.object({ resourceUri: z.string() }),
    ({ resourceUri }) => say(
      embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.'),
      text('Please process the embedded resource above.'),
    ));
  add('test_prompt_with_image', 'Shows an image', undefined, () =>
    say(image(), text('Please analyze the image above.')));
  add('test_input_required_result_prompt', 'Asks for its context', undefined, contextPrompt);
  const changing = add('test_extra_prompt', 'Comes and goes', undefined, () => say(text('Here now')));
  if (!extra.prompt) changing.disable();
  return changing;
}

function addResources(mcp) {
  const add = (name, uri, mimeType, content) =>
    mcp.registerResource(name, uri, { description: `The resource ${name}`, mimeType }, () =>
      ({ contents: [{ uri, mimeType, ...content }] }));
  add('static-text', 'test://static-text', 'text/plain', { text: 'This is the content of the static text resource.' });
  add('static-binary', 'test://static-binary', 'image/png', { blob: PNG });
  add('watched-resource', 'test://watched-resource', 'text/plain', { text: 'Watch this.' });
  const ids = (value) => ['123', '124', '200'].filter((id) => id.startsWith(value));
  const template = new ResourceTemplate('test://template/{id}/data', { list: undefined, complete: { id: ids } });
  const mimeType = 'application/json';
  mcp.registerResource('template', template, { description: 'Any resource by its id', mimeType }, (uri, { id }) => ({
    contents: [{ uri: uri.href, mimeType, text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }],
  }));
}

/** The SDK adds a `content` to the results of calls that have none; one that names a task is to have none. */
class Fixture extends McpServer {
  async connect(transport) {
    const send = transport.send.bind(transport);
    transport.send = (sent, options) => {
      if (sent.result?.resultType !== 'task') return send(sent, options);
      const { content, ...result } = sent.result;
      return send({ ...sent, result }, options);
    };
    await super.connect(transport);
  }
}

/** A server for one request of a modern client, or one session of a legacy one. */
export function makeServer(era) {
  const modern = era === 'modern';
  const mcp = new Fixture({ name: 'portcullis-conformance-upstream', version: '1.0.0' }, {
    capabilities: {
      logging: {},
      tools: { listChanged: true },
      prompts: { listChanged: true },
      resources: { listChanged: true, subscribe: true },
      ...(modern && SERVED && { extensions: { [TASKS]: {} } }),
    },
    instructions: 'A server to test what stands in front of it',
    requestState: { verify: states.verify },
  });
  const tool = addTools(mcp);
  const prompt = addPrompts(mcp);
  addResources(mcp);
  if (modern && SERVED) serveTasks(mcp.server);
  const follow = (changing, there) => (there ? changing.enable() : changing.disable());
  return { mcp, changeTools: () => follow(tool, extra.tool), changePrompts: () => follow(prompt, extra.prompt) };
}
