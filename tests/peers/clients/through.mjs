// Runs the client of `conformance.mjs` through a gateway of its own before the server that the suite names.
//
//   node clients/through.mjs URL
//
// GATEWAY is the gateway's program, GATEWAY_CONFIG its configuration, which finds the URL as `${env:UPSTREAM}`, and
// GATEWAY_ENDPOINT the endpoint to call. Ends as the client does, and ends the gateway first.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const { GATEWAY, GATEWAY_CONFIG, GATEWAY_ENDPOINT } = process.env;
const folder = mkdtempSync(join(tmpdir(), 'through-'));
const readyFile = join(folder, 'ready.json');
const gateway = spawn(GATEWAY, ['serve', '--config', GATEWAY_CONFIG, '--ready-file', readyFile], {
  cwd: folder, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, UPSTREAM: process.argv.at(-1) },
});

function end(status) {
  gateway.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
  process.exit(status);
}
process.on('SIGTERM', () => end(1));

async function ready() {
  for (;;) {
    if (gateway.exitCode !== null) throw new Error('the gateway does not start');
    try {
      const said = JSON.parse(readFileSync(readyFile, 'utf8'));
      const { status } = await fetch(`${said.admin}/readyz`);
      if (status === 200) return said.endpoints[GATEWAY_ENDPOINT];
    } catch {
      // Not yet.
    }
    await pause(20);
  }
}

try {
  const url = await Promise.race([ready(), pause(20_000).then(() => { throw new Error('the gateway is not ready'); })]);
  const client = spawn(process.execPath, [new URL('./conformance.mjs', import.meta.url).pathname, url], {
    stdio: 'inherit',
  });
  const [status] = await once(client, 'exit');
  end(status ?? 1);
} catch (error) {
  console.error(error);
  end(1);
}
