import type { Hit } from './api';
import type { Language } from './texts';

// Times are shown as the source stated or assumed them: wall-clock parts of the RFC 3339 text, not the reader's zone.
export function day(h: Hit, language: Language): string {
  if (!h.sent) return '';
  const d = new Date(`${h.sent.slice(0, 10)}T12:00:00Z`);
  return d.toLocaleDateString(language === 'nl' ? 'nl-NL' : 'en-GB', { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' });
}

export function clock(h: Hit): string {
  if (!h.sent) return '';
  return h.precision === 'minute' ? h.sent.slice(11, 16) : h.sent.slice(11, 19);
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

// Events are short English tokens in the archive; people read words.
export function words(token: string | undefined): string {
  return (token ?? '').replace(/-/g, ' ');
}
