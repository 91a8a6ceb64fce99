// The client that the scenarios of the official conformance suite ask for, on the TypeScript SDK 2.x.
//
//   node clients/conformance.mjs URL
//
// The suite says by MCP_CONFORMANCE_SCENARIO what is to be done, by MCP_CONFORMANCE_PROTOCOL_VERSION in which revision,
// and by MCP_CONFORMANCE_CONTEXT with what. TOKEN is a bearer token, where one is needed.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const { MCP_CONFORMANCE_SCENARIO: scenario, MCP_CONFORMANCE_PROTOCOL_VERSION: revision, TOKEN: token } = process.env;
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}');
const url = new URL(process.argv.at(-1));

async function connect() {
  const client = new Client({ name: 'conformance-client', version: '1.0.0' }, {
    capabilities: { sampling: {}, elicitation: { form: { applyDefaults: true } }, roots: { listChanged: true } },
    versionNegotiation: revision === '2026-07-28' ? { mode: 'auto' } : undefined,
  });
  client.setRequestHandler('elicitation/create', async ({ params }) => ({
    action: 'accept',
    content: params.requestedSchema?.properties?.confirmed ? { confirmed: true } : {},
  }));
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers } }));
  return client;
}

const callAll = async (client, calls) => {
  for (const [name, given] of calls) await client.callTool({ name, arguments: given });
};

/** Calls every tool that the client lets itself be told of: those with broken declarations are not among them. */
async function callListed(client) {
  const { tools } = await client.listTools();
  for (const { name, inputSchema } of tools) {
    const given = Object.keys(inputSchema.properties ?? {}).map((key) => [key, 'us-west1']);
    await client.callTool({ name, arguments: Object.fromEntries(given) });
  }
}

async function visitEverything(client) {
  await callListed(client);
  const { resources } = await client.listResources();
  for (const { uri } of resources) await client.readResource({ uri });
  const { prompts } = await client.listPrompts();
  for (const { name } of prompts) await client.getPrompt({ name });
}

async function callGiven(client) {
  await client.listTools();
  await callAll(client, context.toolCalls.map((call) => [call.name, call.arguments]));
}

async function echoSchema(client) {
  const { tools } = await client.listTools();
  const schema = tools.find(({ name }) => name === 'json_schema_2020_12_tool').inputSchema;
  await client.callTool({ name: 'json_schema_echo', arguments: { schema } });
}

async function answerRounds(client) {
  await client.listTools();
  await callAll(client, ['echo_state', 'unrelated', 'no_state'].map((name) => [`test_mrtr_${name}`, {}]));
  // The SDK takes a result without a type for no result at all. What counts is that it does not call again.
  await client.callTool({ name: 'test_mrtr_no_result_type', arguments: {} }).catch(() => {});
}

const list = (client) => client.listTools();
const scenarios = {
  initialize: list,
  tools_call: async (client) => {
    await client.listTools();
    await client.callTool({ name: 'add_numbers', arguments: { a: 5, b: 3 } });
  },
  'elicitation-sep1034-client-defaults': callListed,
  'sse-retry': callListed,
  'request-metadata': list,
  'sep-2322-client-request-state': answerRounds,
  'http-standard-headers': visitEverything,
  'http-custom-headers': callGiven,
  'http-invalid-tool-headers': callListed,
  'json-schema-ref-no-deref': list,
  'json-schema-2020-12-preservation': echoSchema,
};

const client = await connect();
await scenarios[scenario](client);
await client.close();
