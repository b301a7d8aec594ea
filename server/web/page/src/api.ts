// What the server's API gives: server/api/hit.h is the contract.

export interface Sighting { package: string; ordinal: number; official?: string; sent?: string; differs: boolean }

export interface Hit {
  id?: string;
  kind: 'message' | 'edit' | 'deletion' | 'reaction' | 'event' | 'call' | 'poll' | 'vote' | 'gap';
  platform: string;
  conversation: { id: string; name?: string; type: 'direct' | 'group' | 'channel' | 'self' | 'unknown' };
  author?: { id?: string; name?: string; number?: string; self: boolean };
  sent?: string;
  zone: 'stated' | 'assumed';
  precision: 'minute' | 'second' | 'millisecond';
  text: string;
  marks?: [number, number][];
  target?: string;
  value?: string;
  event?: string;
  quote?: string;
  attachments?: string[];
  options?: string[];
  loss?: string[];
  package: string;
  ordinal: number;
  verdict: string;
  provenance?: string;
  conflict: boolean;
  group: string;
  sightings: Sighting[];
}

export interface SearchAnswer { hits: Hit[]; next: string; count?: number; capped?: boolean }
export interface Status { version: string; packages: number; records: number; sightings: number; conflicts: number; watermark: number }

// What went wrong, for the page to put into words: the status (0: no answer) and the server's own line.
export class Refusal extends Error {
  constructor(readonly status: number, line: string) { super(line); }
}

async function get<T>(path: string, args: Record<string, string | number | undefined>): Promise<T> {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(args)) if (v !== undefined && v !== '') q.set(k, String(v));
  let answer: Response;
  try { answer = await fetch(`${path}?${q}`, { credentials: 'same-origin' }); } catch { throw new Refusal(0, ''); }
  if (!(answer.headers.get('content-type') ?? '').startsWith('application/json')) throw new Refusal(answer.status, (await answer.text()).trim());
  const body = await answer.json();
  if (!answer.ok) throw new Refusal(answer.status, body.error);
  return body as T;
}

export interface Question { q: string; purpose: string; from?: string; to?: string; order?: string; cursor?: string; count?: 'exact'; limit?: number }
export const search = (a: Question) => get<SearchAnswer>('/api/search', { ...a, count: a.count ?? (a.cursor ? undefined : 1) });
export const around = (h: { package: string; ordinal: number }, purpose: string, before: number, after: number) =>
  get<{ messages: Hit[] }>('/api/around', { package: h.package, ordinal: h.ordinal, before, after, purpose });
export const status = () => get<Status>('/api/status', {});
