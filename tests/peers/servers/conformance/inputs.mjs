// Tools and a prompt that need something from the client first. Modern clients get an `input_required` result and call
// again; for legacy clients the SDK sends the same requests on the call's stream.
import { acceptedContent, createRequestStateCodec, inputRequired } from '@modelcontextprotocol/server';
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { message, says, text } from './content.mjs';

export const states = createRequestStateCodec({ key: randomBytes(32) });

const form = (properties) => ({ type: 'object', properties, required: Object.keys(properties) });
const ask = (question, name, type = 'string') =>
  inputRequired.elicit({ message: question, requestedSchema: form({ [name]: { type } }) });
const answered = (ctx, key, name, type = z.string()) =>
  acceptedContent(ctx.mcpReq.inputResponses, key, z.object({ [name]: type }))?.[name];
const response = (ctx, key) => ctx.mcpReq.inputResponses?.[key];
const sample = (question, maxTokens = 100) =>
  inputRequired.createMessage({ messages: [{ role: 'user', content: text(question) }], maxTokens });
const need = (inputRequests, requestState) => inputRequired(requestState ? { inputRequests, requestState } : { inputRequests });
const sampled = (value) => [value?.content].flat().map((block) => block?.text ?? '').join('');

/** What the client of this request can do: it says so in the request, or has said so when its session began. */
export const abilities = (ctx) =>
  ctx.mcpReq.envelope?.['io.modelcontextprotocol/clientCapabilities'] ?? ctx.handshake ?? {};

async function requestState(_, ctx) {
  const ok = answered(ctx, 'confirm', 'ok', z.boolean());
  if (ok !== undefined && ctx.mcpReq.requestState()?.step === 'confirm') return says(`state-ok: ${ok}`);
  return need({ confirm: ask('Please confirm', 'ok', 'boolean') }, await states.mint({ step: 'confirm' }));
}

async function multipleInputs(_, ctx) {
  const name = answered(ctx, 'user_name', 'name');
  const [greeting, roots] = [response(ctx, 'greeting'), response(ctx, 'client_roots')];
  if (name && greeting && roots) return says(`${sampled(greeting)} ${name}, of ${roots.roots?.length ?? 0} roots`);
  return need({
    user_name: ask('What is your name?', 'name'),
    greeting: sample('Generate a greeting', 50),
    client_roots: inputRequired.listRoots(),
  }, await states.mint({ step: 'all' }));
}

async function multiRound(_, ctx) {
  const state = ctx.mcpReq.requestState();
  const name = state?.name ?? answered(ctx, 'step1', 'name');
  if (!state || !name) {
    return need({ step1: ask('Step 1: What is your name?', 'name') }, await states.mint({ step: 1 }));
  }
  const color = answered(ctx, 'step2', 'color');
  if (state.step === 2 && color) return says(`${name} likes ${color}`);
  return need({ step2: ask('Step 2: What is your favorite color?', 'color') }, await states.mint({ step: 2, name }));
}

/** Asks with each means that the client has, and no other. */
function capabilities(_, ctx) {
  const able = abilities(ctx);
  const requests = {
    ...(able.elicitation && { user_name: ask('What is your name?', 'name') }),
    ...(able.sampling && { capital_question: sample('What is the capital of France?') }),
    ...(able.roots && { client_roots: inputRequired.listRoots() }),
  };
  const missing = Object.keys(requests).filter((key) => response(ctx, key) === undefined);
  return missing.length === 0 ? says('All there is to ask was answered') : need(requests);
}

const DEFAULTS = {
  name: { type: 'string', default: 'John Doe' },
  age: { type: 'integer', default: 30 },
  score: { type: 'number', default: 95.5 },
  status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
  verified: { type: 'boolean', default: true },
};
const titled = (names) => names.map((title, at) => ({ const: `value${at + 1}`, title }));
const ENUMS = {
  untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
  titledSingle: { type: 'string', oneOf: titled(['First Option', 'Second Option', 'Third Option']) },
  legacyEnum: {
    type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['Option One', 'Option Two', 'Option Three'],
  },
  untitledMulti: { type: 'array', items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
  titledMulti: { type: 'array', items: { anyOf: titled(['First Choice', 'Second Choice', 'Third Choice']) } },
};

/** Asks once with a form, and tells what came back. */
const elicits = (makeForm, tell) => (args, ctx) => {
  const given = response(ctx, 'form');
  return given === undefined ? need({ form: inputRequired.elicit(makeForm(args)) }) : says(tell(given));
};
const completed = ({ action, content }) =>
  `Elicitation completed: action=${action}, content=${JSON.stringify(content ?? {})}`;
const optional = (question, properties) => () => ({
  message: question, requestedSchema: { type: 'object', properties, required: [] },
});
const asksForUser = ({ message: question }) => ({
  message: question,
  requestedSchema: form({
    username: { type: 'string', description: "User's response" },
    email: { type: 'string', description: "User's email address" },
  }),
});

const samples = (question, tell) => (args, ctx) => {
  const given = response(ctx, 'capital_question');
  return given === undefined ? need({ capital_question: sample(question(args)) }) : says(tell(sampled(given)));
};

function elicitation(_, ctx) {
  const name = answered(ctx, 'user_name', 'name');
  return name ? says(`Hello, ${name}!`) : need({ user_name: ask('What is your name?', 'name') });
}

function listRoots(_, ctx) {
  const roots = response(ctx, 'client_roots')?.roots;
  if (!Array.isArray(roots)) return need({ client_roots: inputRequired.listRoots() });
  return says(`Roots: ${roots.map(({ uri }) => uri).join(', ')}`);
}

const MRTR = 'test_input_required_result';
const none = z.object({});
export const inputTools = [
  ['test_sampling', 'Asks the client\'s model', z.object({ prompt: z.string() }),
    samples(({ prompt }) => prompt, (said) => `LLM response: ${said}`)],
  ['test_elicitation', 'Asks the user for a name and an address', z.object({ message: z.string() }),
    elicits(asksForUser, ({ action, content }) =>
      `User response: action: ${action}, content: ${JSON.stringify(content ?? {})}`)],
  ['test_elicitation_sep1034_defaults', 'Asks with defaults', none, elicits(optional('Please review', DEFAULTS), completed)],
  ['test_elicitation_sep1330_enums', 'Asks with choices', none, elicits(optional('Please choose', ENUMS), completed)],
  ['test_streaming_elicitation', 'Asks the user, on a stream where there is one', none,
    elicits(() => asksForUser({ message: 'Who are you?' }), completed)],
  ['test_missing_capability', 'Cannot do without sampling', none,
    samples(() => 'Are you there?', (said) => `LLM response: ${said}`)],
  [`${MRTR}_elicitation`, 'Asks for a name', none, elicitation],
  [`${MRTR}_sampling`, 'Asks the client\'s model for a capital', none,
    samples(() => 'What is the capital of France?', (said) => said)],
  [`${MRTR}_list_roots`, 'Asks for the client\'s roots', none, listRoots],
  [`${MRTR}_request_state`, 'Asks with a state', none, requestState],
  [`${MRTR}_tampered_state`, 'Asks with a state that is checked', none, requestState],
  [`${MRTR}_multiple_inputs`, 'Asks for three things at once', none, multipleInputs],
  [`${MRTR}_multi_round`, 'Asks twice', none, multiRound],
  [`${MRTR}_capabilities`, 'Asks only for what the client can do', none, capabilities],
];

export function contextPrompt(ctx) {
  const context = answered(ctx, 'user_context', 'context');
  if (!context) return need({ user_context: ask('What context should the prompt use?', 'context') });
  return { messages: [message(text(`Use this context: ${context}`))] };
}

export { ask, answered, need };
