// An operator of jobs, in Chromium: follows a link that logs in, tries JOB again, which waits for a person, and cancels one that
// runs.
//
//   node clients/jobs.mjs LINK JOB FOLDER
//
// LINK carries the token behind `#`; the console's certificate may be anybody's. Leaves pictures in FOLDER and prints what
// was seen as a line of JSON. Ends badly where something is not there, where a page breaks its own content security policy,
// or where one is wider than a phone.
import { chromium } from 'playwright-core';

const [link, job, folder] = process.argv.slice(2);
const url = new URL(link).origin;
const seen = {};
const complaints = [];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 900 } });
const page = await context.newPage();
page.setDefaultTimeout(30_000);
page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
page.on('pageerror', (error) => complaints.push(String(error)));
const cookies = async () => (await context.cookies())
  .map(({ name, secure, httpOnly, sameSite, domain, path }) => ({ name, secure, httpOnly, sameSite, domain, path }));
const rows = page.locator('tbody tr');

await page.goto(link);
const button = page.getByRole('button', { name: 'Log in' });
await button.waitFor();
await page.waitForFunction(() => document.querySelector('input[name=token]').value !== '');
seen.address = page.url();
await button.click();
await page.waitForURL(`${url}/jobs`);
seen.cookies = await cookies();

async function show(state) {
  await page.getByLabel('State').selectOption(state);
  await page.getByRole('button', { name: 'Show' }).click();
  await page.waitForURL(new RegExp(`state=${state}`));
  return rows.count();
}

seen.running = await show('running');
seen.waiting = await show('needs_review');
seen.tool = await rows.filter({ hasText: job }).innerText();
await page.screenshot({ path: `${folder}/jobs.png`, fullPage: true });
await page.setViewportSize({ width: 390, height: 844 });
if (await page.evaluate(() => document.scrollingElement.scrollWidth > window.innerWidth)) complaints.push('wider than a phone');
await page.screenshot({ path: `${folder}/phone-jobs.png` });
await page.setViewportSize({ width: 1280, height: 900 });

await rows.filter({ hasText: job }).getByRole('button', { name: 'Try again' }).click();
await page.waitForURL(`${url}/jobs`);
await show('running');
await rows.filter({ hasNotText: job }).getByRole('button', { name: 'Cancel' }).click();
await page.waitForURL(`${url}/jobs`);
// The page says how things are when it is asked.
const until = Date.now() + 30_000;
while (await show('done') === 0 && Date.now() < until) await page.waitForTimeout(200);
await rows.filter({ hasText: job }).waitFor();

await page.getByRole('button', { name: 'Log out' }).click();
await page.waitForURL(`${url}/login`);
seen.after = await cookies();
await browser.close();
console.log(JSON.stringify({ ...seen, complaints }));
process.exit(complaints.length === 0 ? 0 : 1);
