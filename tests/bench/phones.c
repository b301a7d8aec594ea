/* tests/bench/phones.c - the workload of bench growth: what three phones hold of the same chats.
 *
 * phones MESSAGES DIR [WORDLIST]: writes DIR/phone-{1,2,3}/whatsapp (a WhatsApp export with media a chat) and /signal (one export), in which
 * MESSAGES messages stand; DIR/texts.tsv, each distinct text once (time s, chat, sender, text); and DIR/counts: "distinct messages attachments edits
 * reactions texts bytes-of-attachments apart notices", numbers as the phones hold them except distinct (messages), texts (lines of texts.tsv) and
 * apart (messages, edits and reactions once each).
 *
 * Texts, times and the seed are those of texts.h.  Chats are groups of 3 to 40; messages are drawn over them so that a chat has about 500 a month
 * (at least 7 chats, at most 700).  Of every seven chats five are on one phone, one on two, one on all three: 3 of 10 messages are doubles.  One
 * chat in five is Signal's.  An export of WhatsApp tells neither reactions nor what was there before an edit, so only Signal's have these: 2.5 % of
 * its messages each, thus 0.5 % of all.  2.5 % of WhatsApp's messages carry an attachment of 256 to 2,303 bytes that do not compress, the text as its
 * caption, thus 2 % of all: small ones, so that the disk is measured by messages.  An edited message is two texts, the first and the last. */
#include "texts.h"

#include <errno.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PHONES = 3, CHATS_MAX = 700, SENDERS = 5000, MONTHS = 60, MANY = 500, CONTACTS = 40, STRIDE = 7 };

struct chat {
    uint32_t first, members, attachments;
    FILE *file[PHONES];
};
static struct chat chats[CHATS_MAX];
static FILE *signals[PHONES];
static const char *root;
static struct {
    unsigned long long distinct, messages, attachments, edits, reactions, texts, bytes, apart, notices;
} made;

static bool is_signal(unsigned c) { return c % 5 == 3; }
static bool holds(unsigned phone, unsigned c)
{
    unsigned kind = c % 7, home = (kind + c / 7) % PHONES; /* kind 3: all of them, 5: two, else one */
    return kind == 3 || phone == home || (kind == 5 && phone == (home + 1) % PHONES);
}

static void folder(const char *path)
{
    if (mkdir(path, 0755) != 0 && errno != EEXIST) {
        fprintf(stderr, "bench: cannot create %s: %s\n", path, strerror(errno));
        exit(74);
    }
}

static void json_text(FILE *f, const char *s)
{
    (void)fputc('"', f);
    for (; *s != '\0'; s++) {
        if (*s == '\n') {
            (void)fputs("\\n", f);
        } else {
            if (*s == '"' || *s == '\\') { (void)fputc('\\', f); }
            (void)fputc(*s, f);
        }
    }
    (void)fputc('"', f);
}

/* 16 bytes whose last four say who, as base64. */
static const char *aci(uint32_t who, char out[25])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t b[18] = { 0xe1, 0xe1, 0xe1, 0xe1, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, (uint8_t)(who >> 8), (uint8_t)who };
    for (int i = 0; i < 6; i++) {
        uint32_t v = (uint32_t)b[3 * i] << 16 | (uint32_t)b[3 * i + 1] << 8 | b[3 * i + 2];
        for (int j = 0; j < 4; j++) { out[4 * i + j] = digits[v >> (18 - 6 * j) & 63]; }
    }
    out[22] = out[23] = '=';
    out[24] = '\0';
    return out;
}

/* People, groups and chats: contact K of an export is K + 10, group of chat C is C + 1000, chat C is C + 1. */
static void signal_begin(unsigned phone, unsigned n)
{
    char path[KLUIS_PATH_MAX], id[25];
    (void)snprintf(path, sizeof path, "%s/phone-%u/signal", root, phone + 1);
    folder(path);
    FILE *f = texts_create(path, "metadata.json");
    fprintf(f, "{\"version\":1}\n");
    texts_finish(f);
    f = signals[phone] = texts_create(path, "main.jsonl");
    fprintf(f,
            "{\"version\":\"1\",\"backupTimeMs\":\"1800000000000\",\"mediaRootBackupKey\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\","
            "\"currentAppVersion\":\"Verzonnen Signal 8.11\"}\n"
            "{\"account\":{\"profileKey\":\"cHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHA=\",\"givenName\":\"Eigenaar %u\",\"familyName\":\"\","
            "\"accountSettings\":{}}}\n{\"recipient\":{\"id\":\"1\",\"self\":{}}}\n{\"recipient\":{\"id\":\"2\",\"releaseNotes\":{}}}\n",
            phone + 1);
    for (unsigned k = 0; k < CONTACTS; k++) {
        fprintf(f, "{\"recipient\":{\"id\":\"%u\",\"contact\":{\"aci\":\"%s\",\"e164\":\"%u\",\"profileGivenName\":\"Afzender %04u\"}}}\n", k + 10,
                aci(k * STRIDE + 1, id), 3160000000u + k, k * STRIDE);
    }
    for (unsigned c = 0; c < n; c++) {
        if (!is_signal(c) || !holds(phone, c)) { continue; }
        char key[25];
        fprintf(f,
                "{\"recipient\":{\"id\":\"%u\",\"group\":{\"masterKey\":\"AAAAAAAAAAAAAAAAAAAAAAAA%.19s=\",\"snapshot\":{\"title\":{\"title\":\"chat-"
                "%04u\"},"
                "\"members\":[",
                c + 1000, aci(c + 1, key) + 3, c);
        for (unsigned k = 0; k < chats[c].members; k++) { fprintf(f, "%s{\"userId\":\"%s\"}", k == 0 ? "" : ",", aci(k * STRIDE + 1, id)); }
        fprintf(f, "]}}}}\n");
    }
    for (unsigned c = 0; c < n; c++) {
        if (is_signal(c) && holds(phone, c)) { fprintf(f, "{\"chat\":{\"id\":\"%u\",\"recipientId\":\"%u\"}}\n", c + 1, c + 1000); }
    }
}

static void signal_item(FILE *f, unsigned phone, unsigned c, unsigned author, int64_t ms)
{
    fprintf(f,
            "{\"chatId\":\"%u\",\"authorId\":\"%u\",\"dateSent\":\"%lld\",\"incoming\":{\"dateReceived\":\"%lld\",\"dateServerSent\":\"%lld\","
            "\"read\":true,"
            "\"sealedSender\":true}",
            c + 1, author + 10, (long long)ms, (long long)ms + 40 + phone, (long long)ms + 20);
}

static void signal_message(unsigned c, unsigned member, int64_t ms, const char *text, const char *edited, bool reaction)
{
    for (unsigned p = 0; p < PHONES; p++) {
        if (!holds(p, c)) { continue; }
        FILE *f = signals[p];
        fprintf(f, "{\"chatItem\":");
        signal_item(f, p, c, member, edited != NULL ? ms + 60000 : ms);
        if (edited != NULL) {
            fprintf(f, ",\"revisions\":[");
            signal_item(f, p, c, member, ms);
            fprintf(f, ",\"standardMessage\":{\"text\":{\"body\":");
            json_text(f, text);
            fprintf(f, "}}}]");
        }
        fprintf(f, ",\"standardMessage\":{\"text\":{\"body\":");
        json_text(f, edited != NULL ? edited : text);
        fprintf(f, "}");
        if (reaction) {
            fprintf(f, ",\"reactions\":[{\"emoji\":\"👍\",\"authorId\":\"%u\",\"sentTimestamp\":\"%lld\",\"sortOrder\":\"1\"}]",
                    (member + 1) % chats[c].members + 10, (long long)ms + 30000);
        }
        fprintf(f, "}}}\n");
        made.messages++;
        made.edits += edited != NULL;
        made.reactions += reaction;
    }
}

/* The bytes of an attachment beside a chat; on further phones the same file under the same name. */
static void attach(unsigned phone, unsigned c, const char *name, char first[KLUIS_PATH_MAX], size_t *size)
{
    char dir[KLUIS_PATH_MAX], path[KLUIS_PATH_MAX];
    (void)snprintf(dir, sizeof dir, "%s/phone-%u/whatsapp/%04u", root, phone + 1, c);
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof path) { exit(74); }
    if (first[0] != '\0') {
        if (link(first, path) != 0) {
            fprintf(stderr, "bench: cannot link %s: %s\n", path, strerror(errno));
            exit(74);
        }
        return;
    }
    memcpy(first, path, (size_t)n + 1);
    uint8_t bytes[256 + 2048] = { 0xff, 0xd8, 0xff, 0xe0 };
    *size = 256 + texts_below(2048);
    for (size_t i = 4; i < *size; i++) { bytes[i] = (uint8_t)texts_below(256); }
    FILE *f = texts_create(dir, name);
    if (fwrite(bytes, 1, *size, f) != *size) { exit(74); }
    texts_finish(f);
}

static void whatsapp_message(unsigned c, uint32_t sender, int64_t s, const char *text, bool attachment)
{
    char name[64] = "", first[KLUIS_PATH_MAX] = "";
    size_t size = 0;
    if (attachment) {
        int y, m, d;
        kluis_civil_from_days(s / 86400, &y, &m, &d);
        (void)snprintf(name, sizeof name, "IMG-%04d%02d%02d-WA%04u.jpg", y, m, d, chats[c].attachments++ % 10000);
    }
    for (unsigned p = 0; p < PHONES; p++) {
        if (!holds(p, c)) { continue; }
        FILE *f = chats[c].file[p];
        texts_header(f, s, sender);
        if (attachment) {
            attach(p, c, name, first, &size);
            fprintf(f, "%s (bestand bijgevoegd)\n", name);
            made.attachments++;
            made.bytes += size;
        }
        fprintf(f, "%s\n", text);
        made.messages++;
    }
}

static void one_line(FILE *tsv, int64_t s, unsigned c, uint32_t sender, const char *text)
{
    fprintf(tsv, "%lld\t%u\t%u\t", (long long)s, c, sender);
    for (; *text != '\0'; text++) { (void)fputc(*text == '\n' ? ' ' : *text, tsv); }
    (void)fputc('\n', tsv);
    made.texts++;
}

/* How every export begins that has the beginning of its chat. */
static void whatsapp_notice(FILE *tsv, unsigned c)
{
    static const char notice[] =
        "Berichten en oproepen worden end-to-end versleuteld. Niemand buiten deze chat kan ze lezen of beluisteren. Tik voor meer informatie.";
    one_line(tsv, (int64_t)TEXTS_FROM, c, 0, notice);
    made.apart++;
    for (unsigned p = 0; p < PHONES; p++) {
        if (!holds(p, c)) { continue; }
        fprintf(chats[c].file[p], "01-01-2021 00:00 - %s\n", notice);
        made.notices++;
    }
}

static unsigned prepare(uint64_t distinct)
{
    char path[KLUIS_PATH_MAX];
    unsigned n = 7;
    while (n + 7 <= CHATS_MAX && distinct / (MONTHS * MANY) >= n + 4) { n += 7; }
    folder(root);
    for (unsigned c = 0; c < n; c++) {
        chats[c].members = 3 + texts_below(CONTACTS - 2);
        chats[c].first = is_signal(c) ? 0 : texts_below(SENDERS);
    }
    for (unsigned p = 0; p < PHONES; p++) {
        (void)snprintf(path, sizeof path, "%s/phone-%u", root, p + 1);
        folder(path);
        signal_begin(p, n);
        for (unsigned c = 0; c < n; c++) {
            if (!is_signal(c) && holds(p, c)) { chats[c].file[p] = texts_create_in(path, "whatsapp", c); }
        }
    }
    return n;
}

int main(int argc, char **argv)
{
    struct kluis_err err = { 0 };
    uint64_t want = argc >= 3 ? strtoull(argv[1], NULL, 10) : 0;
    if (want == 0 || kluis_base_init(&err) != KLUIS_OK) {
        fprintf(stderr, "usage: phones MESSAGES DIR [WORDLIST]\n");
        return 64;
    }
    root = argv[2];
    texts_begin(argc > 3 ? argv[3] : TEXTS_WORDS);
    uint64_t distinct = want / 10 * 7;
    unsigned n = prepare(distinct > 0 ? distinct : 1);
    FILE *tsv = texts_create(root, "texts.tsv");
    for (unsigned c = 0; c < n; c++) {
        if (!is_signal(c)) { whatsapp_notice(tsv, c); }
    }
    static char text[TEXTS_MAX], edited[2 * TEXTS_MAX];
    double t = TEXTS_FROM, step = TEXTS_SPAN / (double)(distinct > 0 ? distinct : 1);
    int64_t last_ms = 0;
    while (made.messages < want) {
        t += -log(1 - texts_uniform()) * step;
        unsigned c = texts_below(n), member = texts_below(chats[c].members);
        uint32_t sender = (chats[c].first + member * STRIDE) % SENDERS;
        int64_t ms = (int64_t)(t * 1000);
        last_ms = ms = ms > last_ms ? ms : last_ms + 1; /* Signal names a message by author and instant */
        size_t len = texts_message(text);
        double special = texts_uniform();
        one_line(tsv, ms / 1000, c, sender, text);
        made.distinct++;
        made.apart++;
        if (!is_signal(c)) {
            whatsapp_message(c, sender, ms / 1000, text, special < 0.025);
            continue;
        }
        bool edit = special < 0.025;
        if (edit) {
            memcpy(edited, text, len);
            edited[len] = ' ';
            (void)texts_message(edited + len + 1);
            one_line(tsv, ms / 1000 + 60, c, sender, edited);
        }
        made.apart += (edit ? 1u : 0u) + (special >= 0.975 ? 1u : 0u);
        signal_message(c, member, ms, text, edit ? edited : NULL, special >= 0.975);
    }
    texts_finish(tsv);
    for (unsigned p = 0; p < PHONES; p++) {
        texts_finish(signals[p]);
        for (unsigned c = 0; c < n; c++) {
            if (chats[c].file[p] != NULL) { texts_finish(chats[c].file[p]); }
        }
    }
    FILE *f = texts_create(root, "counts");
    fprintf(f, "%llu %llu %llu %llu %llu %llu %llu %llu %llu\n", made.distinct, made.messages, made.attachments, made.edits, made.reactions,
            made.texts, made.bytes, made.apart, made.notices);
    texts_finish(f);
    return 0;
}
