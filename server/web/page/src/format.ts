import type { Hit } from './api';
import type { Language, Texts } from './texts';

export const ZONE = 'Europe/Amsterdam';
const tag = { nl: 'nl-NL', en: 'en-GB' } as const;
const made = new Map<string, Intl.DateTimeFormat>();
function formatter(language: Language, zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${language} ${zone} ${JSON.stringify(options)}`;
  let f = made.get(key);
  if (!f) made.set(key, (f = new Intl.DateTimeFormat(tag[language], { ...options, timeZone: zone })));
  return f;
}

// A stated moment is shown in Dutch time; an assumed one is shown as the phone showed it: the digits of the text, whatever its offset.
function shown(h: Hit, language: Language, options: Intl.DateTimeFormatOptions): string {
  if (!h.sent) return '';
  if (h.zone === 'stated') return formatter(language, ZONE, options).format(new Date(h.sent));
  return formatter(language, 'UTC', options).format(new Date(`${h.sent.slice(0, 19)}Z`));
}
export const day = (h: Hit, language: Language) => shown(h, language, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
export const shortDay = (h: Hit, language: Language) => shown(h, language, { day: 'numeric', month: 'short', year: 'numeric' });
export const clock = (h: Hit, language: Language) => shown(h, language, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });

// The instant at which a date of the form begins in Dutch time (end: at which the next one begins), for the server.
export function instant(date: string, end: boolean): string {
  if (!date) return '';
  const noon = new Date(`${date}T12:00:00Z`);
  if (Number.isNaN(noon.getTime())) return '';
  const midnight = new Date(noon.getTime() + (end ? 12 : -12) * 3600e3);
  for (const offset of [1, 2]) { // winter and summer; the clock never changes at midnight
    const at = new Date(midnight.getTime() - offset * 3600e3);
    if (formatter('nl', ZONE, { hour: '2-digit', hourCycle: 'h23' }).format(at).startsWith('00')) return at.toISOString().replace('.000', '');
  }
  return midnight.toISOString();
}

export function who(h: Hit, unknown: string): string {
  return h.author?.name ?? h.author?.number ?? h.author?.id ?? unknown;
}

export interface Piece { text: string; mark: boolean }
export function pieces(h: Hit): Piece[] {
  const out: Piece[] = [];
  let at = 0;
  for (const [from, to] of h.marks ?? []) {
    if (from > at) out.push({ text: h.text.slice(at, from), mark: false });
    out.push({ text: h.text.slice(from, to), mark: true });
    at = to;
  }
  if (at < h.text.length) out.push({ text: h.text.slice(at), mark: false });
  return out;
}

// "kind; app; version…; reader" as the index keeps it.
export function provenance(h: Hit, t: Texts): string {
  const parts = (h.provenance ?? '').split('; ').filter(Boolean);
  if (parts.length === 0) return t.platforms[h.platform] ?? h.platform;
  const kind = t.sources[parts[0]] ?? parts[0];
  if (parts.length === 1) return kind;
  const middle = parts.slice(1, -1).filter((p) => p !== (t.platforms[h.platform] ?? h.platform));
  return [kind, ...middle, t.readBy(parts[parts.length - 1].replace(` ${parts[0]}`, ''))].join(', ');
}

export const key = (h: { package: string; ordinal: number }) => `${h.package}-${h.ordinal}`;
