#!/usr/bin/python3
"""peers.py - what else a user could pick on Debian 12, fed with the same messages and asked the same questions.  peers.sh calls it.

  peers.py load PEER DIR TEXTS.tsv        messages into PEER (postgresql, xapian, sphinx); prints seconds of the clock and bytes on disk
  peers.py count PEER DIR <words          how many messages hold each word: "word count"
  peers.py agree xapian DIR YARD.db <best  lines of word, tab, JSON array of our 50 best texts: which share of them is, to Xapian, as good as its own
                                          fiftieth; the same of bm25 of bare FTS5; number of words
  peers.py ask PEER DIR ROUNDS <queries   lines of class, tab, words, tab, conversation or nothing: "class requests p50 p99 worst empty" in ms

DIR holds what PEER keeps; PostgreSQL and Sphinx listen there already (peers.sh starts them).  Each is set up as its own documentation advises;
what differs from the defaults stands in peers.sh and below.  A page is the 50 newest (class relevance: the 50 best) with their texts.
"""
import json
import os
import re
import sqlite3
import sys
import time

PAGE = 50
WORD = re.compile(r"\w+", re.UNICODE)


def lines(path):
    with open(path, encoding="utf-8", newline="\n") as f:
        for number, line in enumerate(f, 1):
            ts, conv, sender, text = line.rstrip("\n").split("\t", 3)
            yield number, int(ts), int(conv), int(sender), text


def size(folder):
    return sum(os.path.getsize(os.path.join(d, f)) for d, _, names in os.walk(folder) for f in names)


class Xapian:
    """Positions, no stemming, the text as a document's data, the conversation as a boolean term; documents in the order of time."""

    def __init__(self, folder):
        import xapian
        self.x, self.path = xapian, os.path.join(folder, "xapian")
        self.db = xapian.Database(self.path) if os.path.isdir(self.path) else None

    def load(self, tsv):
        x = self.x
        os.environ.setdefault("XAPIAN_FLUSH_THRESHOLD", "200000")
        db = x.WritableDatabase(self.path, x.DB_CREATE_OR_OVERWRITE)
        terms = x.TermGenerator()
        for _, _, conv, _, text in lines(tsv):
            doc = x.Document()
            doc.set_data(text)
            doc.add_boolean_term(f"XC{conv}")
            terms.set_document(doc)
            terms.index_text(text)
            db.add_document(doc)
        db.commit()
        db.close()
        return size(self.path)

    def query(self, kind, words, conv):
        x = self.x
        if kind == "phrase":
            q = x.Query(x.Query.OP_PHRASE, words)
        elif kind == "prefix":
            q = x.Query(x.Query.OP_WILDCARD, words[0], 0, x.Query.WILDCARD_LIMIT_ERROR)  # fewer arguments are taken for a list of queries
        else:
            q = x.Query(x.Query.OP_AND, words)
        return x.Query(x.Query.OP_FILTER, q, x.Query(f"XC{conv}")) if conv else q

    def ask(self, kind, words, conv):
        e = self.x.Enquire(self.db)
        e.set_query(self.query(kind, words, conv))
        if kind != "relevance":
            e.set_weighting_scheme(self.x.BoolWeight())
            e.set_docid_order(e.DESCENDING)
        return [(m.docid, m.document.get_data()) for m in e.get_mset(0, PAGE)]

    def count(self, word):
        return self.db.get_termfreq(word)

    def good(self, word):
        """Texts that weigh as much as the fiftieth, or more: short messages often weigh the same, so these can be many more than fifty."""
        e = self.x.Enquire(self.db)
        e.set_query(self.query("relevance", [word], ""))
        least = min(m.weight for m in e.get_mset(0, PAGE))
        want = PAGE
        while True:
            found = list(e.get_mset(0, want))
            if len(found) < want or found[-1].weight < least - 1e-9:
                return {m.document.get_data().decode("utf-8") for m in found if m.weight >= least - 1e-9}
            want *= 4


class PostgreSQL:
    """GIN over a stored tsvector of configuration 'dutch', which stems and leaves stop words out."""

    def __init__(self, folder):
        import psycopg2
        self.c = psycopg2.connect(host=os.path.join(folder, "socket"), user="postgres", dbname="postgres")
        self.c.autocommit = True
        self.cur = self.c.cursor()
        self.plans = {}

    def load(self, tsv):
        self.cur.execute("""
            CREATE TABLE msg(id serial PRIMARY KEY, ts bigint, conv int, sender int, text text,
                             words tsvector GENERATED ALWAYS AS (to_tsvector('dutch', text)) STORED);
            CREATE INDEX by_ts ON msg(ts, id); CREATE INDEX by_conv ON msg(conv, ts); CREATE INDEX by_word ON msg USING gin(words)""")
        with open(tsv, "rb") as f:  # no text of the workload has a tab or a backslash
            self.cur.copy_expert("COPY msg(ts, conv, sender, text) FROM STDIN", f)
        self.cur.execute("SELECT gin_clean_pending_list('by_word')")
        self.cur.execute("VACUUM ANALYZE msg")
        self.cur.execute("SELECT pg_total_relation_size('msg')")
        return self.cur.fetchone()[0]

    def ask(self, kind, words, conv):
        text = " ".join(words)
        q = {"phrase": "phraseto_tsquery('dutch', %(q)s)", "prefix": "to_tsquery('dutch', %(q)s || ':*')"}.get(kind, "plainto_tsquery('dutch', %(q)s)")
        where = f"words @@ {q}" + (" AND conv = %(c)s" if conv else "")
        if kind == "relevance":
            forms = [f"SELECT id, text FROM msg WHERE {where} ORDER BY ts_rank(words, {q}) DESC LIMIT {PAGE}"]
        else:
            # The planner guesses wrong for words that are rare or for those that are not: the form that is faster for a class is taken.
            forms = [f"SELECT id, text FROM msg WHERE {where} ORDER BY ts DESC, id DESC LIMIT {PAGE}",
                     f"WITH hits AS MATERIALIZED (SELECT id, ts, text FROM msg WHERE {where}) SELECT id, text FROM hits ORDER BY ts DESC, id DESC LIMIT {PAGE}"]
        args = {"q": text, "c": conv and int(conv)}
        if kind not in self.plans:
            took = []
            for f in forms:
                t = time.perf_counter()
                self.cur.execute(f, args)
                self.cur.fetchall()
                took.append(time.perf_counter() - t)
            self.plans[kind] = took.index(min(took))
        self.cur.execute(forms[self.plans[kind]], args)
        return self.cur.fetchall()

    def count(self, word):
        self.cur.execute("SELECT count(*) FROM msg WHERE words @@ plainto_tsquery('dutch', %s)", (word,))
        return self.cur.fetchone()[0]


class Sphinx:
    """Texts are not stored: a page is ids alone."""

    def __init__(self, folder):
        import pymysql
        self.c = pymysql.connect(unix_socket=os.path.join(folder, "sphinx.sock"), charset="utf8")
        self.cur = self.c.cursor()

    def ask(self, kind, words, conv):
        match = {"phrase": '"' + " ".join(words) + '"', "prefix": words[0] + "*"}.get(kind, " ".join(words))
        by = "WEIGHT() DESC" if kind == "relevance" else "ts DESC"
        ranker = "" if kind == "relevance" else " OPTION ranker=none"
        self.cur.execute(f"SELECT id FROM msg WHERE MATCH(%s){' AND conv=' + conv if conv else ''} ORDER BY {by} LIMIT {PAGE}{ranker}", (match,))
        return self.cur.fetchall()

    def count(self, word):
        self.cur.execute("SELECT id FROM msg WHERE MATCH(%s) LIMIT 1 OPTION ranker=none", (word,))
        self.cur.execute("SHOW META LIKE 'total_found'")
        return int(self.cur.fetchone()[1])


PEERS = {"xapian": Xapian, "postgresql": PostgreSQL, "sphinx": Sphinx}


def ask(peer, rounds):
    queries = []
    for line in sys.stdin:
        kind, text, conv = (line.rstrip("\n").split("\t") + ["", ""])[:3]
        queries.append((kind, WORD.findall(text.lower()), conv))
    took, empty = {}, {}
    for kind, words, conv in queries:  # once to warm up
        empty[kind] = empty.get(kind, 0) + (len(peer.ask(kind.split(".")[0], words, conv)) == 0)
    for _ in range(rounds):
        for kind, words, conv in queries:
            t = time.perf_counter()
            peer.ask(kind.split(".")[0], words, conv)
            took.setdefault(kind, []).append(1000 * (time.perf_counter() - t))
    for kind, ms in took.items():
        ms.sort()
        print(f"{kind} {len(ms)} {ms[len(ms) // 2]:.3f} {ms[min(len(ms) - 1, int(len(ms) * .99))]:.3f} {ms[-1]:.3f} {empty[kind]}")


def agree(xapian, yard):
    db = sqlite3.connect(yard)
    ours, bm25 = [], []
    for line in sys.stdin:
        word, best = line.rstrip("\n").split("\t", 1)
        good = xapian.good(word)
        best = [t.replace("\n", " ") for t in json.loads(best)]
        there = {r[0] for r in db.execute("SELECT msg.text FROM fts JOIN msg ON msg.id = fts.rowid WHERE fts MATCH ?", ('"%s"' % word,))}
        strange = [t for t in best if t not in there]
        if strange or len(best) != min(PAGE, len(there)):
            sys.exit("peers: '%s': %d of the best, %d of these are in no text: %s" % (word, len(best), len(strange), strange[:1]))
        theirs = [r[0] for r in db.execute("SELECT msg.text FROM fts JOIN msg ON msg.id = fts.rowid WHERE fts MATCH ? ORDER BY rank LIMIT ?", ('"%s"' % word, PAGE))]
        for into, texts in ((ours, best), (bm25, theirs)):
            into.append(sum(t in good for t in texts) / len(texts))
        print(word, len(good), ours[-1], bm25[-1], file=sys.stderr)
    print(f"{sum(ours) / len(ours):.4f} {sum(bm25) / len(bm25):.4f} {len(ours)}")


def main():
    if len(sys.argv) < 4 or sys.argv[2] not in PEERS:
        sys.exit(__doc__)
    what, name, folder = sys.argv[1:4]
    peer = PEERS[name](folder)
    if what == "load":
        t = time.perf_counter()
        held = peer.load(sys.argv[4])
        print(f"{time.perf_counter() - t:.3f} {held}")
    elif what == "count":
        for word in sys.stdin.read().split():
            print(word, peer.count(word))
    elif what == "agree":
        agree(peer, sys.argv[4])
    elif what == "ask":
        ask(peer, int(sys.argv[4]))


main()
