// A person at the console, in Chromium: logs in at the identity provider, follows the link of an approval, agrees, accepts a
// changed definition, asks policy, searches the record and sees it grow.
//
//   node clients/console.mjs URL USER APPROVAL FOLDER
//
// Leaves pictures in FOLDER and prints what was seen as a line of JSON. Ends badly where something is not there, where a
// page breaks its own content security policy, or where one is wider than a phone.
import { chromium } from 'playwright-core';

const [url, user, approval, folder] = process.argv.slice(2);
const seen = {};
const complaints = [];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });

function watch(page) {
  page.on('console', (message) => {
    if (message.type() === 'error' && message.location().url.startsWith(url)) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.setDefaultTimeout(30_000);
  return page;
}

const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
const page = watch(await context.newPage());
const picture = (name) => page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });

// The link leads through the login, and back to where it pointed.
await page.goto(`${url}/approvals/${approval}`);
await picture('login');
await page.getByRole('link', { name: 'Log in' }).click();
await page.getByLabel('Name').fill(user);
await page.getByRole('button', { name: 'Continue' }).click();
const back = page.waitForURL(`${url}/approvals/${approval}`);
await back.catch(async (error) => { throw new Error(`${error.message} at ${page.url()}: ${await page.innerText('body')}`); });
seen.marked = await page.locator('pre mark').allInnerTexts();
seen.page = await page.locator('main').innerText();
await picture('approval');
const cookies = await context.cookies();
seen.cookies = cookies.filter((cookie) => cookie.name.includes('portcullis')).map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite }));

await page.goto(`${url}/approvals`);
await page.getByRole('link', { name: 'crm.delete' }).waitFor();
await picture('inbox');
// By the keyboard alone.
await page.getByRole('link', { name: 'crm.delete' }).focus();
await page.keyboard.press('Enter');
await page.getByLabel(/Reason/).fill('looked at it');
await page.getByRole('button', { name: 'Approve' }).press('Enter');
await page.getByText('approved', { exact: true }).waitFor();
await picture('approved');

await page.getByRole('link', { name: 'Catalogue' }).click();
seen.before = await page.locator('dd.before').allInnerTexts();
seen.after = await page.locator('dd.after').allInnerTexts();
await picture('catalogue');
await page.getByRole('button', { name: 'Accept this definition' }).click();
await page.getByText('Every definition is the one that was pinned.').waitFor();

await page.getByRole('link', { name: 'Explain' }).click();
await page.getByRole('textbox', { name: 'Name' }).fill('crm.delete');
await page.getByLabel('Roles').fill('developer');
await page.getByLabel(/Arguments/).fill('{"id": "7"}');
await page.getByRole('button', { name: 'Ask policy' }).click();
seen.explained = await page.getByText('Decided by the rule').innerText();
await picture('explain');

await page.getByRole('link', { name: 'Audit' }).click();
await page.getByRole('textbox', { name: 'Tool' }).fill('crm.*');
await page.getByRole('button', { name: 'Search' }).click();
await page.waitForURL(/tool=crm/);
seen.found = await page.locator('tbody tr').count();
await page.goto(`${url}/audit`);
await page.locator('tbody.live').waitFor();
// Looking at the record is in the record.
await page.request.get(`${url}/audit?rule=nothing`);
await page.locator('tr.new', { hasText: 'operator/audit.read' }).first().waitFor();
await picture('audit');

// At night, on a phone, and without scripts.
const state = await context.storageState();
const phone = await browser.newContext({ storageState: state, colorScheme: 'dark', viewport: { width: 390, height: 844 } });
const small = watch(await phone.newPage());
for (const part of ['approvals', `approvals/${approval}`, 'audit', 'catalogue', 'explain']) {
  await small.goto(`${url}/${part}`);
  const wide = await small.evaluate(() => document.scrollingElement.scrollWidth > window.innerWidth);
  if (wide) complaints.push(`${part} is wider than a phone`);
  await small.screenshot({ path: `${folder}/phone-${part.split('/').join('-').replace(approval, 'one')}.png` });
}
const plain = await browser.newContext({ storageState: state, javaScriptEnabled: false });
const still = watch(await plain.newPage());
await still.goto(`${url}/audit`);
seen.plain = await still.locator('tbody tr').count();
await still.getByRole('button', { name: 'Log out' }).click();
await still.getByRole('link', { name: 'Log in' }).waitFor();

await page.goto(`${url}/audit`);
seen.loggedOut = page.url().includes('/login');
await browser.close();
console.log(JSON.stringify({ ...seen, complaints }));
process.exit(complaints.length === 0 ? 0 : 1);
