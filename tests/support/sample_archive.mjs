// sample_archive.mjs DIR - writes exports of invented officials for the page's tests: three phones, one shared Signal group,
// a long WhatsApp group, every kind of record, texts that a careless page would run.  The same bytes at every run.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const out = process.argv[2];
if (!out) { console.error('usage: sample_archive.mjs DIR'); process.exit(2); }

const people = [
  { key: 'joris', given: 'Joris', family: 'Hendriksen', byte: 0xd1, number: '31600000101' },
  { key: 'fatima', given: 'Fatima', family: 'el Amrani', byte: 0xd2, number: '31600000102' },
  { key: 'marieke', given: 'Marieke', family: 'van Dalen', byte: 0xd3, number: '31600000103' },
  { key: 'noor', given: 'Noor', family: 'Çelik-Jansen', byte: 0xd4, number: '31600000104' },
];
const aci = (p) => Buffer.from([p.byte, p.byte, p.byte, p.byte, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, p.byte & 15]).toString('base64');
const who = Object.fromEntries(people.map((p) => [p.key, p]));

// ---- Signal: what happened in the group, told by each phone in its own numbers ----
const T = Date.UTC(2026, 2, 13, 8, 0, 0);
const minute = 60000;
const group = [];
const say = (at, author, body, more = {}) => group.push({ at: T + at * minute, author, body, ...more });
group.push({ at: T - 5 * minute, author: 'marieke', update: (id) => ({ groupChange: { updates: [{ groupCreationUpdate: { updaterAci: aci(who.marieke) } }, { groupNameUpdate: { updaterAci: aci(who.marieke), newGroupName: 'Stuurgroep water' } }] } }) });
say(0, 'marieke', 'Goedemorgen. Ik stel voor dat we vandaag besluiten over de dijkversterking bij Oudewater.');
say(3, 'fatima', 'Akkoord, onder voorwaarde dat de vergunning van het waterschap vóór 1 april binnen is.', { quote: [0, 'marieke'], reactions: [['👍', 'joris', 1], ['👍', 'marieke', 1.5], ['🙏', 'noor', 2]] });
say(5, 'noor', 'De raming is opgehoogd naar 4,2 miljoen inclusief de omleiding. Dat is 300.000 boven het krediet 😬');
say(6, 'joris', 'Dan moet het langs Gedeputeerde Staten.', { reactions: [['✅', 'marieke', 0.5]] });
say(9, 'fatima', 'Dan kan het dinsdag naar GS.', { was: [8, 'Dan kan het woensdag naar GS.'] });
group.push({ at: T + 10 * minute, author: 'noor', deleted: true });
group.push({ at: T + 12 * minute, author: 'marieke', poll: { question: 'Wanneer lopen we de nota door?', allowMultiple: true, options: [['maandag 10.00', ['joris', 'noor']], ['dinsdag 9.00', ['fatima']]] } });
say(20, 'noor', 'Let op: <img src=x onerror="document.title=\'x\'"><script>document.body.dataset.broken=1</script> & "aanhalingstekens" in een bericht blijven gewoon tekst.');
say(22, 'fatima', 'مرحبا، تقرير السدود جاهز. Vertaling: het dijkrapport is klaar (vergunning volgt).');
say(25, 'marieke', `Samenvatting van het overleg.\n\n${Array.from({ length: 14 }, (_, i) => `${i + 1}. Punt ${i + 1}: het waterschap, de aannemer en de provincie stemmen de planning van vak ${i + 1} af, en leggen vast wie de bewoners inlicht.`).join('\n')}`);
say(27, 'joris', 'https://voorbeeld.invalid/een/heel/lang/adres/zonder/spaties/dat/op/een/smal/scherm/toch/moet/afbreken?kenmerk=zk2026-004512-dijkversterking-oudewater-bijlage-3');
group.push({ at: T + 30 * minute, author: 'joris', update: () => ({ groupChange: { updates: [{ groupMemberAddedUpdate: { updaterAci: aci(who.marieke), newMemberAci: aci(who.noor) } }] } }) });
group.push({ at: T + 31 * minute, author: 'marieke', update: () => ({ groupChange: { updates: [{ groupExpirationTimerUpdate: { updaterAci: aci(who.marieke), expiresInMs: '604800000' } }] } }) });
say(40, 'joris', 'Besluit genomen. Ik leg het vast in het verslag; de vergunning van het waterschap blijft voorwaarde.', { otherwise: ['marieke', 'Besluit genomen. Ik leg het vast in het verslag, zonder voorwaarde.'] });
group.push({ at: T + 45 * minute, author: 'fatima', once: true });
say(50, 'marieke', '👏👏');

const direct = [
  { at: T + 100 * minute, author: 'fatima', body: 'Joris, heb jij de laatste cijfers van het waterschap?' },
  { at: T + 101 * minute, author: 'fatima', call: { callId: '77', type: 'AUDIO_CALL', direction: 'INCOMING', state: 'MISSED', startedCallTimestamp: String(T + 101 * minute) } },
  { at: T + 103 * minute, author: 'joris', body: 'Zat in overleg. Ik bel je om 11.00 uur terug.' },
  { at: T + 120 * minute, author: 'fatima', call: { callId: '78', type: 'VIDEO_CALL', direction: 'OUTGOING', state: 'ACCEPTED', startedCallTimestamp: String(T + 120 * minute) } },
  { at: T + 121 * minute, author: 'fatima', simple: 'IDENTITY_UPDATE' },
];

function signal(self, dir) {
  mkdirSync(join(dir, 'files'), { recursive: true });
  const others = people.filter((p) => p.key !== self);
  const id = Object.fromEntries(people.map((p) => [p.key, p.key === self ? '1' : String(2 + others.indexOf(p))]));
  const lines = [
    { version: '1', backupTimeMs: '1775113200000', mediaRootBackupKey: Buffer.alloc(32, 1).toString('base64') },
    { account: { profileKey: Buffer.alloc(32, 2).toString('base64'), givenName: who[self].given, familyName: who[self].family } },
    { recipient: { id: '1', self: {} } },
    ...others.map((p) => ({ recipient: { id: id[p.key], contact: { aci: aci(p), e164: p.number, registered: {}, profileGivenName: p.given, profileFamilyName: p.family } } })),
    { recipient: { id: '9', group: { masterKey: Buffer.alloc(32, 5).toString('base64'), snapshot: { title: { title: 'Stuurgroep water' }, members: people.map((p) => ({ userId: aci(p), role: p.key === 'marieke' ? 'ADMINISTRATOR' : 'DEFAULT' })) } } } },
    { chat: { id: '10', recipientId: '9' } },
  ];
  const chats = [['10', group]];
  if (self === 'joris') { lines.push({ chat: { id: '11', recipientId: id.fatima } }); chats.push(['11', direct]); }
  const side = (m) => (m.author === self ? { outgoing: { sendStatus: [] } } : { incoming: { dateReceived: String(m.at + 800), read: true } });
  for (const [chatId, items] of chats) {
    for (const m of items) {
      const base = { chatId, authorId: id[m.author], dateSent: String(m.at) };
      if (m.update) { lines.push({ chatItem: { ...base, directionless: {}, updateMessage: m.update() } }); continue; }
      if (m.call) { lines.push({ chatItem: { ...base, directionless: {}, updateMessage: { individualCall: m.call } } }); continue; }
      if (m.simple) { lines.push({ chatItem: { ...base, directionless: {}, updateMessage: { simpleUpdate: { type: m.simple } } } }); continue; }
      if (m.deleted) { lines.push({ chatItem: { ...base, ...side(m), remoteDeletedMessage: {} } }); continue; }
      if (m.once) { lines.push({ chatItem: { ...base, ...side(m), viewOnceMessage: {} } }); continue; }
      if (m.poll) {
        const options = m.poll.options.map(([option, voters]) => ({ option, votes: voters.map((v) => ({ voterId: id[v], voteCount: 1 })) }));
        lines.push({ chatItem: { ...base, ...side(m), poll: { ...m.poll, options } } });
        continue;
      }
      const body = m.otherwise && m.otherwise[0] === self ? m.otherwise[1] : m.body;
      const standard = { text: { body } };
      if (m.quote) {
        const target = group.find((g) => g.at === T + m.quote[0] * minute);
        standard.quote = { targetSentTimestamp: String(target.at), authorId: id[m.quote[1]], text: { body: target.body }, type: 'NORMAL' };
      }
      if (m.reactions) standard.reactions = m.reactions.map(([emoji, by, later], i) => ({ emoji, authorId: id[by], sentTimestamp: String(m.at + later * minute), sortOrder: String(i + 1) }));
      const item = { ...base, ...side(m), standardMessage: standard };
      if (m.was) item.revisions = [{ chatId, authorId: id[m.author], dateSent: String(T + m.was[0] * minute), ...side(m), standardMessage: { text: { body: m.was[1] } } }];
      lines.push({ chatItem: item });
    }
  }
  writeFileSync(join(dir, 'main.jsonl'), lines.map((l) => JSON.stringify(l)).join('\n') + '\n');
  writeFileSync(join(dir, 'metadata.json'), '{"version":1}\n');
}

// ---- WhatsApp: a group of 620 messages over forty days ----
function whatsapp(dir) {
  mkdirSync(dir, { recursive: true });
  const names = people.map((p) => `${p.given} ${p.family}`);
  const subject = ['de vergunning van het waterschap', 'de planning van vak 3', 'het bewonersoverleg', 'de omleiding bij de brug', 'het kostenoverzicht', 'de nota voor GS', 'het schetsontwerp', 'de kwelschermen'];
  const form = [(s) => `Kort over ${s}: ik kom er morgen op terug.`, (s) => `Heeft iemand al iets gehoord over ${s}?`, (s) => `Ja, ${s} staat nu in het dossier.`, (s) => `Besproken met de aannemer: ${s} schuift een week op 🙂`, (s) => `Graag een besluit over ${s} vóór vrijdag.`];
  let seed = 7;
  const pick = (list) => list[Math.floor((seed = (seed * 48271) % 2147483647) / 2147483647 * list.length)];
  const lines = [];
  const two = (n) => String(n).padStart(2, '0');
  const stamp = (d) => `${two(d.getUTCDate())}-${two(d.getUTCMonth() + 1)}-${d.getUTCFullYear()} ${two(d.getUTCHours())}:${two(d.getUTCMinutes())}`;
  let at = Date.UTC(2026, 0, 12, 8, 55);
  const put = (text) => lines.push(`${stamp(new Date(at))} - ${text}`);
  put('Berichten en gesprekken worden end-to-end versleuteld. Niemand buiten deze chat kan ze lezen of beluisteren, zelfs WhatsApp niet. Tik voor meer informatie.');
  put(`${names[2]} heeft de groep "Projectgroep Dijkversterking" aangemaakt`);
  put(`${names[2]} heeft u toegevoegd`);
  for (let i = 0; i < 620; i++) {
    at += (i % 16 === 15 ? 15 * 60 : 1 + (i * 7) % 23) * minute;
    const name = pick(names);
    if (i === 310) put(`${name}: Kenmerk zk2026-004512 is het nummer van het besluit.`);
    else if (i % 90 === 40) put(`${name}: <Media weggelaten>`);
    else if (i % 90 === 41) put(`${name}: Dit bericht is verwijderd`);
    else if (i % 90 === 42) put(`${name}: Helder, neem ik over. <Dit bericht is bewerkt>`);
    else put(`${name}: ${pick(form)(pick(subject))}`);
  }
  writeFileSync(join(dir, 'WhatsApp-chat met Projectgroep Dijkversterking.txt'), lines.join('\n') + '\n');
}

for (const p of ['joris', 'marieke']) signal(p, join(out, p, 'signal'));
whatsapp(join(out, 'joris', 'Projectgroep Dijkversterking'));
