// run.mjs ADDRESS [PICTURES] - the page in a real browser: what a person sees, keyboard, narrow, dark, zoomed; no accessibility
// violations in any state; nothing of a message is run; nothing leaves the machine.  PICTURES: a folder for pictures of each state.
// Exit 77: the browser cannot start here.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const [address, pictures] = process.argv.slice(2);
if (!address) { console.error('usage: run.mjs ADDRESS [PICTURES]'); process.exit(2); }
const base = new URL(address).origin;
const axe = readFileSync(createRequire(fileURLToPath(import.meta.url)).resolve('axe-core/axe.min.js'), 'utf8');
let browser;
try {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', timeout: 30000,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--lang=nl'] });
} catch (e) {
  console.log(`skipped: chromium cannot start here: ${String(e.message).split('\n')[0]}`);
  process.exit(77);
}

const outside = [], complaints = [];
async function page(options = {}) {
  const context = await browser.newContext({ locale: 'nl-NL', timezoneId: 'America/New_York', viewport: { width: 1200, height: 850 }, ...options });
  context.setDefaultTimeout(10000);
  const p = await context.newPage();
  p.on('request', (r) => { if (!r.url().startsWith(base) && !r.url().startsWith('data:')) outside.push(r.url()); });
  p.on('pageerror', (e) => complaints.push(e.message));
  p.on('console', (m) => { if (m.type() === 'error' && !p.expectErrors) complaints.push(m.text()); });
  await p.goto(address);
  await p.getByRole('heading', { level: 1, name: 'Chatkluis' }).waitFor();
  return p;
}
async function look(p, name) {
  if (pictures) await p.screenshot({ path: join(pictures, `${name}.png`) });
  const wide = await p.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wide <= 0, `${name}: the page scrolls sideways by ${wide} pixels`);
  await p.evaluate(axe); // by the debugger: the page's own policy stays in force
  const violations = await p.evaluate(async () => {
    const r = await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
    return r.violations.map((v) => `${v.id}: ${v.nodes[0].html}`);
  });
  assert.deepEqual(violations, [], `${name}: accessibility`);
}
async function seek(p, q) {
  await p.fill('#q', q);
  await p.fill('#purpose', 'Woo-verzoek 2026-17');
  await p.getByRole('button', { name: 'Zoek', exact: true }).click();
}
async function openHit(p, text) {
  await p.locator('.hit', { hasText: text }).first().click();
  await p.locator('.message.focus').waitFor();
  await p.locator('section[aria-busy=false]').waitFor();
}

const tests = {
  async 'a search needs a purpose, and says so at the field'() {
    const p = await page();
    await look(p, 'start');
    await p.fill('#q', 'vergunning');
    await p.keyboard.press('Enter');
    await p.getByText('Vul eerst in waarvoor u zoekt.').waitFor();
    assert.equal(await p.evaluate(() => document.activeElement.id), 'purpose');
    assert.equal(await p.locator('.hit').count(), 0);
    await look(p, 'no-purpose');
    await p.context().close();
  },
  async 'hits, conversation, provenance; back and forward keep hits and place'() {
    const p = await page();
    await seek(p, 'vergunning');
    await p.locator('.hit').first().waitFor();
    await look(p, 'hits');
    assert.ok(await p.locator('.hit mark').count() >= 10);
    assert.equal(await p.evaluate(() => document.activeElement.id), 'found');
    assert.equal(new URL(p.url()).search, '');
    await openHit(p, 'blijft voorwaarde');
    await look(p, 'conversation');
    assert.equal(await p.locator('.message.focus mark').textContent(), 'vergunning');
    assert.ok(await p.evaluate(() => document.activeElement.matches('.message.focus')));
    assert.equal(await p.locator('.message.message').filter({ hasText: 'Tegenstrijdig' }).count(), 2);
    assert.ok(await p.locator('.message.gap').count() >= 2);
    await p.locator('.message.focus summary').click();
    await p.locator('.message.focus').getByText(/^[0-9a-f]{64}$/).waitFor();
    await p.locator('.message.focus').getByText('Signal-export').waitFor();
    await look(p, 'provenance');
    await p.goBack();
    await p.locator('.hit').first().waitFor();
    assert.match(await p.evaluate(() => document.activeElement.id), /^h-[0-9a-f]{64}-\d+$/);
    await p.goForward();
    await p.locator('.message.focus').waitFor();
    await p.reload();
    await p.locator('.message.focus').waitFor();
    await p.context().close();
  },
  async 'reactions, votes, edits and deletions stand at their message; a moment reads in Dutch time'() {
    const p = await page();
    await seek(p, 'goedemorgen');
    await openHit(p, 'besluiten over de dijkversterking');
    const agreed = p.locator('.message', { hasText: 'Akkoord, onder voorwaarde' }).first();
    assert.match(await agreed.locator('.reactions').innerText(), /👍\s*Joris Hendriksen, Marieke van Dalen[\s\S]*🙏\s*Noor/);
    assert.equal(await agreed.locator('time').textContent(), '09:03'); // 08:03 UTC
    await p.locator('.message', { hasText: 'woensdag naar GS' }).getByRole('button', { name: 'toon de bewerking' }).click();
    assert.match(await p.evaluate(() => document.activeElement.textContent), /dinsdag naar GS/);
    await p.getByText('Dit bericht is verwijderd. De inhoud staat niet in de bron.').first().waitFor();
    await p.getByText('Gestemd door: Joris Hendriksen').first().waitFor();
    await p.getByText('Deelnemer toegevoegd').first().waitFor();
    await p.context().close();
  },
  async 'what a message holds is text, whatever it looks like'() {
    const p = await page();
    await seek(p, 'aanhalingstekens');
    await openHit(p, 'onerror');
    await p.getByText("<img src=x onerror=\"document.title='x'\"><script>document.body.dataset.broken=1</script>").first().waitFor();
    assert.equal(await p.locator('.message img, .message script').count(), 0);
    assert.notEqual(await p.title(), 'x');
    assert.equal(await p.evaluate(() => document.body.dataset.broken), undefined);
    await p.context().close();
  },
  async 'a long conversation loads further both ways and keeps at most 500 records'() {
    const p = await page();
    await seek(p, 'zk2026-004512');
    await openHit(p, 'nummer van het besluit');
    await p.getByText('De bron noemt geen tijdzone.').waitFor();
    const count = () => p.locator('.chat article').count();
    const before = await count();
    await p.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
    await p.waitForFunction((n) => document.querySelectorAll('.chat article').length > n, before);
    let most = 0;
    for (let i = 0; i < 60 && !(await p.getByText('Hier begint wat van dit gesprek is gearchiveerd.').count()); i++) {
      await p.evaluate(() => window.scrollTo(0, 0));
      await p.waitForTimeout(60);
      most = Math.max(most, await count());
    }
    await p.getByText('Hier begint wat van dit gesprek is gearchiveerd.').waitFor();
    for (let i = 0; i < 90 && !(await p.getByText('Verder is van dit gesprek niets gearchiveerd.').count()); i++) {
      await p.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
      await p.waitForTimeout(60);
      most = Math.max(most, await count());
    }
    await p.getByText('Verder is van dit gesprek niets gearchiveerd.').waitFor();
    assert.ok(most > 400 && most <= 500, `at most 500 in the page: ${most}`);
    assert.equal(await p.getByText('Hier begint wat van dit gesprek is gearchiveerd.').count(), 0);
    await p.context().close();
  },
  async 'keyboard alone: from the address bar to a message and back'() {
    const p = await page();
    await p.keyboard.press('Tab');
    assert.equal(await p.evaluate(() => document.activeElement.className), 'skip');
    await p.keyboard.press('Tab');
    await p.keyboard.press('Tab');
    assert.equal(await p.evaluate(() => document.activeElement.id), 'q');
    await p.keyboard.type('vergunning');
    await p.keyboard.press('Tab');
    await p.keyboard.type('toets');
    await p.keyboard.press('Enter');
    await p.locator('.hit').first().waitFor();
    await p.waitForFunction(() => document.activeElement.id === 'found');
    await p.keyboard.press('Tab');
    await p.keyboard.press('Enter');
    await p.waitForFunction(() => document.activeElement.matches('.message.focus'));
    await p.keyboard.press('Tab');
    assert.equal(await p.evaluate(() => document.activeElement.tagName), 'SUMMARY');
    await p.getByRole('button', { name: 'Terug naar de treffers' }).press('Enter');
    await p.waitForFunction(() => document.activeElement.matches('.hit'));
    await p.context().close();
  },
  async 'narrow, dark and zoomed'() {
    for (const [name, options] of Object.entries({
      narrow: { viewport: { width: 320, height: 640 } }, dark: { colorScheme: 'dark' }, zoomed: { viewport: { width: 600, height: 425 }, deviceScaleFactor: 2 },
    })) {
      const p = await page(options);
      await seek(p, 'vergunning');
      await p.locator('.hit').first().waitFor();
      await look(p, `${name}-hits`);
      await openHit(p, 'blijft voorwaarde');
      await look(p, `${name}-conversation`);
      await p.context().close();
    }
  },
  async 'no hits, a query that means nothing, no server: plain words'() {
    const p = await page();
    p.expectErrors = true;
    await seek(p, 'bestaatnergens');
    await p.getByText('Geen treffers.').first().waitFor();
    await look(p, 'nothing');
    await seek(p, '"');
    await p.waitForTimeout(300);
    await look(p, 'bad-query');
    await p.route('**/api/search**', (r) => r.abort());
    await seek(p, 'iets');
    await p.getByText('De server is niet te bereiken.').waitFor();
    await look(p, 'no-server');
    await p.unroute('**/api/search**');
    await p.context().clearCookies();
    await p.getByRole('button', { name: 'Probeer opnieuw' }).click();
    await p.getByText('Deze pagina is niet meer geldig.').waitFor();
    await p.context().close();
  },
  async 'English is one switch away'() {
    const p = await page();
    await p.getByRole('button', { name: 'English' }).click();
    assert.equal(await p.evaluate(() => document.documentElement.lang), 'en');
    await p.getByRole('button', { name: 'Search', exact: true }).waitFor();
    await look(p, 'english');
    await p.context().close();
  },
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try { await test(); console.log(`ok   ${name}`); }
  catch (e) { failed++; console.log(`FAIL ${name}\n     ${String(e.stack ?? e).split('\n').slice(0, 12).join('\n     ')}`); }
}
try {
  assert.deepEqual(outside, [], 'nothing is asked of another host');
  assert.deepEqual(complaints, [], 'the browser has no complaints');
} catch (e) { failed++; console.log(`FAIL ${e.message}`); }
await browser.close();
console.log(`${Object.keys(tests).length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
