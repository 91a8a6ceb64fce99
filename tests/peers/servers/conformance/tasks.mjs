// The tasks extension, io.modelcontextprotocol/tasks (SEP-2663): its tools and its three methods. The server alone says
// which call becomes a task; clients that do not declare the extension get the same answers at once, where that is
// possible at all.
import { acceptedContent, MissingRequiredClientCapabilityError, ProtocolError } from '@modelcontextprotocol/server';
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { says } from './content.mjs';
import { abilities, answered, ask, need } from './inputs.mjs';

export const TASKS = 'io.modelcontextprotocol/tasks';
const TTL_MS = 600_000;
const ENDED = ['completed', 'failed', 'cancelled'];

/** All tasks by their id. */
const tasks = new Map();

/** Whether there are tasks here at all. */
export const SERVED = !process.argv.includes('--no-tasks');

const declares = (ctx) => SERVED && abilities(ctx).extensions?.[TASKS] !== undefined;
function demandTasks(ctx) {
  if (!declares(ctx)) {
    throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { extensions: { [TASKS]: {} } } });
  }
}

function settle(task, change) {
  if (ENDED.includes(task.status)) return;
  Object.assign(task, change, { lastUpdatedAt: new Date().toISOString() });
  for (const hear of task.heard) hear(task);
}

const base = ({ taskId, status, createdAt, lastUpdatedAt }) =>
  ({ taskId, status, createdAt, lastUpdatedAt, ttlMs: TTL_MS, pollIntervalMs: 200 });

/** Starts `work` as a task, and gives the result that says so. `work` gets what it needs to ask and to stop. */
function start(work) {
  const now = new Date().toISOString();
  const stopped = new AbortController();
  const task = { taskId: randomUUID(), status: 'working', createdAt: now, lastUpdatedAt: now, stopped, pending: new Map(), heard: new Set() };
  tasks.set(task.taskId, task);
  work({ signal: stopped.signal, input: (requests) => input(task, requests) })
    .then((result) => settle(task, { status: 'completed', result }))
    .catch((error) => settle(task, { status: 'failed', error: { code: error.code ?? -32603, message: error.message } }));
  return { resultType: 'task', ...base(task) };
}

/** Parks `task` until every one of `requests` is answered. */
async function input(task, requests) {
  const answers = Object.entries(requests).map(([key, request]) => new Promise((resolve) => {
    task.pending.set(key, { request, resolve: (answer) => resolve([key, answer]) });
  }));
  settle(task, { status: 'input_required' });
  const given = Object.fromEntries(await Promise.all(answers));
  settle(task, { status: 'working' });
  return given;
}

function find(taskId) {
  const task = tasks.get(taskId);
  if (!task) throw new ProtocolError(-32602, `There is no task ${taskId}`);
  return task;
}

function detailed(task) {
  return {
    ...base(task),
    ...(task.status === 'completed' && { result: task.result }),
    ...(task.status === 'failed' && { error: task.error }),
    ...(task.status === 'input_required' && {
      inputRequests: Object.fromEntries([...task.pending].map(([key, { request }]) => [key, request])),
    }),
  };
}

function update({ taskId }, { mcpReq }) {
  const task = find(taskId);
  // The SDK takes the answers out of the parameters of whatever method.
  for (const [key, answer] of Object.entries(mcpReq.inputResponses ?? {})) {
    const waiting = task.pending.get(key);
    if (!waiting || ENDED.includes(task.status)) continue;
    task.pending.delete(key);
    waiting.resolve(answer);
  }
  return {};
}

function cancel({ taskId }) {
  const task = find(taskId);
  settle(task, { status: 'cancelled' });
  task.stopped.abort();
  return {};
}

/** Makes `server` answer the extension's methods. */
export function serveTasks(server) {
  const params = z.looseObject({ taskId: z.string() });
  const gated = (method, run) => server.setRequestHandler(method, { params }, (given, ctx) => {
    demandTasks(ctx);
    return run(given, ctx);
  });
  gated('tasks/get', ({ taskId }) => detailed(find(taskId)));
  gated('tasks/cancel', cancel);
  gated('tasks/update', update);
}

/**
 * Answers a subscription to tasks with a stream that says how each is whenever that changes, and how it is at first; gives
 * nothing where `request` is none. The SDK's own streams know nothing of tasks.
 */
export async function taskNews(request) {
  if (request.headers.get('mcp-method') !== 'subscriptions/listen') return undefined;
  const { id, params } = await request.clone().json();
  const wanted = params?.notifications?.taskIds ?? [];
  if (wanted.length === 0) return undefined;
  if (params._meta['io.modelcontextprotocol/clientCapabilities'].extensions?.[TASKS] === undefined) {
    const error = { code: -32021, message: 'It needs tasks', data: { requiredCapabilities: { extensions: { [TASKS]: {} } } } };
    return Response.json({ jsonrpc: '2.0', id, error }, { status: 400 });
  }
  const known = wanted.map((taskId) => tasks.get(taskId)).filter(Boolean);
  const _meta = { 'io.modelcontextprotocol/subscriptionId': id };
  const body = new ReadableStream({
    start(stream) {
      const say = (method, told) => stream.enqueue(new TextEncoder().encode(
        `data: ${JSON.stringify({ jsonrpc: '2.0', method, params: { ...told, _meta } })}\n\n`));
      const hear = (task) => say('notifications/tasks', detailed(task));
      const taskIds = known.map(({ taskId }) => taskId);
      say('notifications/subscriptions/acknowledged', { notifications: { taskIds } });
      for (const task of known) {
        hear(task);
        task.heard.add(hear);
      }
      request.signal.addEventListener('abort', () => known.forEach(({ heard }) => heard.delete(hear)));
    },
  });
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
}

/** A tool that becomes a task where the client knows tasks, and else is `atOnce`. */
const task = (work, atOnce) => (args, ctx) => (declares(ctx) ? start((job) => work(args, job)) : atOnce(args, ctx));
const sleep = ({ seconds, label }, { signal }) =>
  pause(seconds * 1000, undefined, { signal }).then(() => says(`${label ?? 'It'} took ${seconds} s`));
const required = (work) => task(work, (args, ctx) => {
  if (!SERVED) return work(args, ctx.mcpReq);
  // The older revisions have no error for this.
  if (!ctx.mcpReq.envelope) throw new Error('This tool works only as a task');
  demandTasks(ctx);
});
const confirmation = (filename) => ask(`Delete ${filename}?`, 'confirm', 'boolean');
const decided = (filename, yes) => says(yes ? `Deleted ${filename}` : `Kept ${filename}`);
const accepted = (answer, name) => answer?.action === 'accept' && answer.content?.[name];

async function confirmDelete({ filename }, job) {
  const { confirm } = await job.input({ confirm: confirmation(filename) });
  return decided(filename, accepted(confirm, 'confirm') === true);
}

function confirmAtOnce({ filename }, ctx) {
  const yes = answered(ctx, 'confirm', 'confirm', z.boolean());
  return yes === undefined ? need({ confirm: confirmation(filename) }) : decided(filename, yes);
}

const TWO = () => ({ first: ask('The first name?', 'name'), second: ask('The second name?', 'name') });
async function multiInput(_, job) {
  const { first, second } = await job.input(TWO());
  return says(`${accepted(first, 'name')} and ${accepted(second, 'name')}`);
}

function multiAtOnce(_, ctx) {
  const names = ['first', 'second'].map((key) => answered(ctx, key, 'name'));
  return names.every(Boolean) ? says(names.join(' and ')) : need(TWO());
}

async function failingJob(_, { signal }) {
  await pause(1000, undefined, { signal });
  return { ...says('The job failed, as it always does'), isError: true };
}

async function protocolErrorJob() {
  throw new ProtocolError(-32603, 'The job broke');
}

/** First asks in the manner of any tool, then goes on as a task. */
function withTask(_, ctx) {
  const name = acceptedContent(ctx.mcpReq.inputResponses, 'user_name', z.object({ name: z.string() }))?.name;
  if (!name) return need({ user_name: ask('What is your name?', 'name') });
  return required(async () => says(`Hello, ${name}!`))({}, ctx);
}

const none = z.object({});
export const taskTools = [
  ['greet', 'Greets at once', z.object({ name: z.string() }), ({ name }) => says(`Hello, ${name}!`)],
  ['slow_compute', 'Takes so many seconds',
    z.object({ seconds: z.number().min(0), label: z.string().optional() }),
    task(sleep, (args, ctx) => sleep(args, ctx.mcpReq))],
  ['confirm_delete', 'Deletes nothing, once the user agrees', z.object({ filename: z.string().default('a file') }),
    task(confirmDelete, confirmAtOnce)],
  ['multi_input', 'Asks for two names at once', none, task(multiInput, multiAtOnce)],
  ['failing_job', 'Fails after a second, and only as a task', none, required(failingJob)],
  ['protocol_error_job', 'Breaks, and only as a task', none, required(protocolErrorJob)],
  ['test_tool_with_task', 'Asks for a name, and goes on as a task', none, withTask],
];
