// A newcomer in Chromium: opens a link that logs in, and agrees to the first approval that waits.
//
//   node clients/link.mjs LINK
//
// Prints what was seen as a line of JSON. Ends badly where something is not there.
import { chromium } from 'playwright-core';

const [link] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
const page = await browser.newPage();
page.setDefaultTimeout(30_000);
await page.goto(link);
await page.waitForFunction(() => document.querySelector('input[name=token]').value !== '');
await page.getByRole('button', { name: 'Log in' }).click();
const tool = page.locator('article a').first();
const wanted = await tool.innerText();
await tool.click();
await page.getByRole('button', { name: 'Approve' }).click();
await page.getByText('approved', { exact: true }).waitFor();
await browser.close();
console.log(JSON.stringify({ wanted }));
