/* tests/bench/workload.c - the plain workload of docs/PERFORMANCE.md: the messages of texts.h in chats, each once.
 *
 * workload MESSAGES DIR [WORDLIST]: writes DIR/texts.tsv (time s, conversation, sender, text: one line a message, in time order),
 * DIR/one (all of them as one WhatsApp export) and DIR/chats/NNNN/WhatsApp-chat met chat-NNNN.txt (grouped by conversation).
 *
 * A package ends with a calendar month, so how many messages it holds is a matter of how busy the chat is.  The same messages again,
 * dealt over fewer chats: DIR/m500 (about 500 a chat and month), DIR/m12 (about 12; at most 24,000 messages, evenly drawn), and DIR/back (as m500,
 * each month of each chat a chat of its own, the last month first in order of name).
 */
#include "texts.h"

#include <errno.h>
#include <math.h>
#include <sys/stat.h>

enum { CONVERSATIONS = 2000, SENDERS = 5000 };

int main(int argc, char **argv)
{
    struct kluis_err err = { 0 };
    if (argc < 3 || kluis_base_init(&err) != KLUIS_OK) {
        fprintf(stderr, "usage: workload MESSAGES DIR [WORDLIST]\n");
        return 64;
    }
    uint64_t n = strtoull(argv[1], NULL, 10);
    const char *dir = argv[2];
    texts_begin(argc > 3 ? argv[3] : TEXTS_WORDS);
    /* Conversations ~ (i + 10)^-0.8; 70 % have two members, the rest 3 to 40. */
    static double cumulative[CONVERSATIONS];
    static uint32_t first_member[CONVERSATIONS], members[CONVERSATIONS];
    static FILE *chat[CONVERSATIONS];
    double sum = 0;
    for (int i = 0; i < CONVERSATIONS; i++) {
        cumulative[i] = sum += pow(i + 10, -0.8);
        members[i] = texts_uniform() < 0.7 ? 2 : 3 + texts_below(38);
        first_member[i] = texts_below(SENDERS);
    }
    if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
        fprintf(stderr, "workload: cannot create %s\n", dir);
        return 74;
    }
    char path[KLUIS_PATH_MAX], text[TEXTS_MAX];
    (void)snprintf(path, sizeof path, "%s/chats", dir);
    if (mkdir(path, 0755) != 0 && errno != EEXIST) { return 74; }
    (void)snprintf(path, sizeof path, "%s/back", dir);
    if (mkdir(path, 0755) != 0 && errno != EEXIST) { return 74; }
    FILE *tsv = texts_create(dir, "texts.tsv"), *one = texts_create_in(dir, "one", 0);
    enum { MONTHS = 60, MANY = 500, FEW = 12, FEW_MAX = 24000 };
    static FILE *m500[CONVERSATIONS], *m12[CONVERSATIONS], *back[CONVERSATIONS];
    uint64_t every = n > FEW_MAX ? n / FEW_MAX : 1;
    unsigned n500 = (unsigned)(n / (MONTHS * MANY)), n12 = (unsigned)(n / every / (MONTHS * FEW));
    n500 = n500 < 1 ? 1 : n500 > CONVERSATIONS ? CONVERSATIONS : n500;
    n12 = n12 < 1 ? 1 : n12;
    int month_now = -1;
    double t = TEXTS_FROM, step = TEXTS_SPAN / (double)n;
    for (uint64_t k = 0; k < n; k++) {
        t += -log(1 - texts_uniform()) * step;
        double u = texts_uniform() * sum;
        int lo = 0, hi = CONVERSATIONS - 1;
        while (lo < hi) {
            int mid = (lo + hi) / 2;
            if (cumulative[mid] < u) {
                lo = mid + 1;
            } else {
                hi = mid;
            }
        }
        uint32_t sender = (first_member[lo] + texts_below(members[lo]) * 7) % SENDERS;
        size_t len = texts_message(text);
        int64_t s = (int64_t)t;
        if (chat[lo] == NULL) {
            (void)snprintf(path, sizeof path, "%s/chats/%04d", dir, lo);
            if (mkdir(path, 0755) != 0 && errno != EEXIST) { return 74; }
            char name[64];
            (void)snprintf(name, sizeof name, "WhatsApp-chat met chat-%04d.txt", lo);
            chat[lo] = texts_create(path, name);
        }
        texts_header(chat[lo], s, sender);
        fprintf(chat[lo], "%s\n", text);
        texts_header(one, s, (first_member[0] + sender % 40 * 7) % SENDERS);
        fprintf(one, "%s\n", text);
        unsigned c500 = (unsigned)(k % n500), c12 = (unsigned)(k / every % n12);
        int y, month, d;
        kluis_civil_from_days(s / 86400, &y, &month, &d);
        month += 12 * (y - 2021) - 1;
        for (unsigned i = 0; month != month_now && i < n500; i++) {
            char sub[32];
            if (back[i] != NULL) { texts_finish(back[i]); }
            (void)snprintf(sub, sizeof sub, "back/%02d", 99 - month);
            back[i] = texts_create_in(dir, sub, (unsigned)month * 100 + i); /* a chat of its own */
        }
        month_now = month;
        FILE *into[3] = { m500[c500], back[c500], NULL };
        if (into[0] == NULL) { into[0] = m500[c500] = texts_create_in(dir, "m500", c500); }
        if (k % every == 0) {
            if (m12[c12] == NULL) { m12[c12] = texts_create_in(dir, "m12", c12); }
            into[2] = m12[c12];
        }
        for (size_t i = 0; i < 3; i++) {
            if (into[i] == NULL) { continue; }
            unsigned c = i == 2 ? c12 : c500; /* its own members, as of any chat */
            texts_header(into[i], s, (first_member[c] + sender % members[c] * 7) % SENDERS);
            fprintf(into[i], "%s\n", text);
        }
        for (size_t i = 0; i < len; i++) {
            if (text[i] == '\n') { text[i] = ' '; }
        }
        fprintf(tsv, "%lld\t%d\t%u\t%s\n", (long long)s, lo, sender, text);
    }
    texts_finish(tsv);
    texts_finish(one);
    for (int i = 0; i < CONVERSATIONS; i++) {
        FILE *const all[4] = { chat[i], m500[i], m12[i], back[i] };
        for (size_t j = 0; j < 4; j++) {
            if (all[j] != NULL) { texts_finish(all[j]); }
        }
    }
    return 0;
}
