/* What a device can send that no honest chat or no honest writer makes, one line of the table each: refused by its own layer, or taken as
 * docs/FORMAT.md says.  Whatever it was, nothing stored changes by a refusal, the next package is taken, and in the end store, ledger and index
 * agree.
 *
 * Everything is real: packages by the writer (changed and signed anew where no writer would make them), gate, vault, opener, judge.  A device is the
 * only thing of the test's own.  The control is that the same forger's unchanged package is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <openssl/cms.h>
#include <openssl/pem.h>
#include <openssl/ts.h>
#include <unistd.h>

#include "tests/integration/vault_world.h"
#include "tests/unit/package_forge.h"
#include "tests/unit/package_sample.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)
#define S(text) KLUIS_STR_LIT(text)
#define MORNING INT64_C(1740830700000000) /* 2025-03-01T13:05+01:00 */
#define MINUTE INT64_C(60000000)

static struct world w;
static struct device d, other;

enum { CHAT = 4 };
struct chat {
    struct kluis_party party[2];
    uint32_t member[2];
    struct kluis_header header;
    struct kluis_record record[CHAT];
    size_t n;
};

/* Two people and n messages, a minute apart. */
static void chat_of(struct chat *c, const char *id, size_t n)
{
    static const char *const texts[CHAT] = { "slechtkanarie een", "slechtkanarie twee", "slechtkanarie drie", "slechtkanarie vier" };
    *c = (struct chat){ .party = { { .name = S("J. de Vries"), .number = S("+31600000001") }, { .name = S("Samira") } }, .member = { 0, 1 }, .n = n };
    c->header = (struct kluis_header){ .platform = S("signal"),
                                       .conversation_id = kluis_str_of(id),
                                       .conversation_name = kluis_str_of(id),
                                       .type = KLUIS_GROUP,
                                       .parties = c->party,
                                       .n_parties = 2,
                                       .participants = c->member,
                                       .n_participants = 2,
                                       .self = 0,
                                       .provenance = { .source = S("signal-export"), .reader = S("chatkluis test") },
                                       .zone = KLUIS_ZONE_STATED,
                                       .precision = KLUIS_PRECISION_MILLISECOND };
    for (size_t i = 0; i < n; i++) {
        c->record[i] = (struct kluis_record){ .author = i % 2,
                                              .sent = { MORNING + (int64_t)i * MINUTE, 60 },
                                              .zone = KLUIS_ZONE_STATED,
                                              .text = kluis_str_of(texts[i]),
                                              .target_author = KLUIS_NO_PARTY,
                                              .target_sent = { KLUIS_TIME_ABSENT, 0 } };
    }
}

struct asked { /* what a line of the table works on */
    struct sealed_options o;
    struct chat chat;
    struct forge forge;
};

/* The package of these options, signed; a's chat, where it has one, is what it holds. */
static struct sealed written(struct asked *a)
{
    if (a->chat.header.platform.len != 0) { a->o.header = &a->chat.header; }
    if (a->chat.n != 0) {
        a->o.given = a->chat.record;
        a->o.n_given = a->chat.n;
    }
    return sealed_package(&d.pki, &a->o);
}

static void opened(struct asked *a)
{
    KLUIS_AUTO_BUF(b, 64 << 20);
    struct sealed s = written(a);
    sealed_bytes(&s, &b);
    kluis_close_quiet(&s.fd);
    forge_open(&a->forge, kluis_buf_bytes(&b));
}

static struct sealed of_bytes(const struct kluis_buf *b)
{
    struct sealed s = { .fd = sample_file(), .size = b->len };
    OK(kluis_write_all(s.fd, b->data, b->len, "package", NULL));
    kluis_sha256_of(b->data, b->len, s.id);
    return s;
}

static void signature_is(struct forge *f, const struct kluis_buf *p7s)
{
    struct forge_file *e = forge_find(f, "signature001.p7s");
    kluis_free(e->data);
    e->data = kluis_malloc(p7s->len + 1);
    assert_non_null(e->data);
    memcpy(e->data, p7s->data, p7s->len);
    e->n = p7s->len;
}

static struct kluis_bytes manifest_of(struct forge *f)
{
    const struct forge_file *e = forge_find(f, FORM_ASIC_MANIFEST);
    return (struct kluis_bytes){ e->data, e->n };
}

static struct sealed closed(struct asked *a)
{
    KLUIS_AUTO_BUF(b, 64 << 20);
    forge_close(&a->forge, &b);
    forge_free(&a->forge);
    return of_bytes(&b);
}

/* Manifests that agree with the files, and the device's own signature over them. */
static struct sealed signed_anew(struct asked *a)
{
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    forge_relist(&a->forge);
    pki_sign(&d.pki, &d.pki.device, &d.pki.device_ca, manifest_of(&a->forge), false, &p7s);
    signature_is(&a->forge, &p7s);
    return closed(a);
}

/* ---- the lines ---- */

static struct sealed nothing_changed(struct asked *a)
{
    opened(a);
    return signed_anew(a);
}

static struct sealed one_id_twice(struct asked *a)
{
    chat_of(&a->chat, "g-ids", 3);
    a->chat.record[0].id = a->chat.record[2].id = S("m-1");
    a->chat.record[1].id = S("m-2");
    return written(a);
}
static struct sealed no_ids(struct asked *a)
{
    chat_of(&a->chat, "g-geen-id", 3);
    return written(a);
}
static struct sealed a_name_like_another_chat_s(struct asked *a)
{
    chat_of(&a->chat, "g-zelfde-naam", 1);
    a->chat.header.conversation_name = S("Dijkoverleg"); /* as the control's */
    a->chat.record[0].text = S("slechtkanarie naamgenoot");
    return written(a);
}

#define MARKS                                                                                                                                        \
    "slechtkanarie tekens \xe2\x80\xae nedro ni \xe2\x80\xac \xe2\x80\x8b\xe2\x80\x8d "                                                              \
    "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7 \xef\xbb\xbf"
static struct sealed bidi_and_joiners(struct asked *a)
{
    chat_of(&a->chat, "g-tekens", 1);
    a->chat.record[0].text = S(MARKS);
    return written(a);
}

static struct sealed not_utf8(struct asked *a)
{
    opened(a);
    forge_replace(&a->forge, "records.jsonl", "over de dijk", "over \xff\xfe dijk");
    return signed_anew(a);
}
static struct sealed not_utf8_kept(struct asked *a)
{
    static const uint8_t bytes[] = "slechtkanarie ruw \xff einde";
    chat_of(&a->chat, "g-ruw", 1);
    a->chat.record[0].text = S("slechtkanarie ruw \xef\xbf\xbd einde");
    a->chat.record[0].text_raw = (struct kluis_bytes){ bytes, sizeof bytes - 1 };
    return written(a);
}
static struct sealed a_surrogate(struct asked *a)
{
    opened(a);
    forge_replace(&a->forge, "records.jsonl", "over de dijk", "over \\ud83d dijk");
    return signed_anew(a);
}
static struct sealed a_nul_byte(struct asked *a)
{
    opened(a);
    struct forge_file *e = forge_find(&a->forge, "records.jsonl");
    uint8_t *at = memmem(e->data, e->n, "over de dijk", 12);
    assert_non_null(at);
    at[4] = 0;
    return signed_anew(a);
}
static struct sealed a_nul_in_a_text(struct asked *a)
{
    static const char text[] = "slechtkanarie nul\0na";
    chat_of(&a->chat, "g-nul", 1);
    a->chat.record[0].text = (struct kluis_str){ text, sizeof text - 1 };
    return written(a);
}

/* `find` of the records gives way to a text of n bytes. */
static void longer(struct asked *a, const char *find, const char *piece, size_t n)
{
    size_t m = strlen(piece);
    char *long_one = kluis_malloc(n + m);
    assert_non_null(long_one);
    size_t at = 0;
    while (at < n) {
        memcpy(long_one + at, piece, m);
        at += m;
    }
    long_one[at] = 0;
    forge_replace(&a->forge, "records.jsonl", find, long_one);
    kluis_free(long_one);
}
static struct sealed ten_million_letters(struct asked *a)
{
    opened(a);
    longer(a, "over de dijk", "lang ", 10 << 20);
    return signed_anew(a);
}
static struct sealed the_longest_text(struct asked *a)
{
    chat_of(&a->chat, "g-lang", 1);
    char *text = kluis_malloc(KLUIS_TEXT_MAX);
    assert_non_null(text);
    for (size_t i = 0; i < KLUIS_TEXT_MAX; i++) { text[i] = "slechtkanarie "[i % 14]; }
    a->chat.record[0].text = (struct kluis_str){ text, KLUIS_TEXT_MAX };
    struct sealed s = written(a);
    kluis_free(text);
    return s;
}
static struct sealed a_hundred_thousand_members(struct asked *a)
{
    opened(a);
    longer(a, "{\"name\":\"Samira\"}", "{\"name\":\"S\"},", 13 * 100000);
    /* the last comma goes */
    forge_replace(&a->forge, "records.jsonl", "},]", "}]");
    return signed_anew(a);
}

static struct sealed times_far_away(struct asked *a)
{
    chat_of(&a->chat, "g-tijden", 4);
    a->chat.record[0].sent.us = -MORNING;                  /* 1914 */
    a->chat.record[1].sent.us = INT64_C(2177452800000000); /* 2039 */
    /* 2025-10-26: 02:30 in summer time, and again an hour later in winter time. */
    a->chat.record[2].sent = (struct kluis_when){ INT64_C(1761438600000000), 120 };
    a->chat.record[3].sent = (struct kluis_when){ INT64_C(1761442200000000), 60 };
    a->o.closed_us = INT64_C(2177539200000000);
    return written(a);
}
static struct sealed a_day_that_is_none(struct asked *a)
{
    opened(a);
    forge_replace(&a->forge, "records.jsonl", "2025-03-01T", "2025-02-30T");
    return signed_anew(a);
}
static struct sealed the_year_nought(struct asked *a)
{
    opened(a);
    forge_replace(&a->forge, "records.jsonl", "2025-03-01T", "0000-03-01T");
    return signed_anew(a);
}
static struct sealed clocks_that_jump_back(struct asked *a)
{
    chat_of(&a->chat, "g-klok", 4);
    a->chat.record[1].sent.us -= 400 * 1440 * MINUTE;
    a->chat.record[2].sent.us += 40 * 1440 * MINUTE;
    a->o.closed_us = MORNING; /* and the slice closed before its last message */
    return written(a);
}
static struct sealed quotes_in_a_circle(struct asked *a)
{
    chat_of(&a->chat, "g-kring", 3);
    a->chat.record[0].id = a->chat.record[1].target = S("q-1");
    a->chat.record[1].id = a->chat.record[0].target = S("q-2");
    a->chat.record[2].id = a->chat.record[2].target = S("q-3"); /* answers itself */
    return written(a);
}
static struct sealed one_attachment_of_two_kinds(struct asked *a)
{
    chat_of(&a->chat, "g-bijlage", 0);
    a->chat.header.precision = KLUIS_PRECISION_MINUTE;
    a->o.attachment = 5000;
    a->o.twin_type = "application/pdf";
    return written(a);
}

static struct sealed a_bomb(struct asked *a)
{
    enum { ZEROS = 32 << 20 };
    KLUIS_AUTO_BUF(b, 64 << 20);
    a->o.attachment = 5000;
    opened(a);
    struct forge_file *e = forge_find(&a->forge, "foto.jpg");
    kluis_free(e->data);
    e->data = kluis_calloc(ZEROS, 1);
    assert_non_null(e->data);
    e->n = ZEROS;
    e->stored = false;
    char name[256];
    (void)snprintf(name, sizeof name, "%s", e->name);
    forge_close(&a->forge, &b);
    forge_free(&a->forge);
    uint8_t *local = memmem(b.data, b.len, name, strlen(name));
    assert_non_null(local);
    memcpy(local - 30 + 22, "\x88\x13\0\0", 4); /* says that it is 5,000 bytes */
    return of_bytes(&b);
}
static struct sealed records_of_zeros(struct asked *a)
{
    enum { ZEROS = 32 << 20 };
    opened(a);
    struct forge_file *e = forge_find(&a->forge, "records.jsonl");
    kluis_free(e->data);
    e->data = kluis_calloc(ZEROS, 1);
    assert_non_null(e->data);
    e->n = ZEROS;
    return signed_anew(a);
}

static struct sealed with_file(struct asked *a, const char *name)
{
    opened(a);
    forge_insert(&a->forge, (size_t)(forge_find(&a->forge, "bagit.txt") - a->forge.file), name, "x", 1);
    return signed_anew(a);
}
static struct sealed a_way_up(struct asked *a) { return with_file(a, "data/../../../etc/cron.d/x"); }
static struct sealed a_way_from_the_root(struct asked *a) { return with_file(a, "/etc/cron.d/x"); }

static struct sealed a_symbolic_link(struct asked *a)
{
    KLUIS_AUTO_BUF(b, 64 << 20);
    opened(a);
    forge_close(&a->forge, &b);
    forge_free(&a->forge);
    const uint8_t *end = b.data + b.len - 22;
    size_t at = (size_t)end[16] | (size_t)end[17] << 8 | (size_t)end[18] << 16 | (size_t)end[19] << 24;
    assert_memory_equal(b.data + at, "PK\x01\x02", 4);
    b.data[at + 41] = 0xa1; /* 0120644: a link */
    return of_bytes(&b);
}
static struct sealed cut_off(struct asked *a)
{
    KLUIS_AUTO_BUF(b, 64 << 20);
    opened(a);
    forge_close(&a->forge, &b);
    forge_free(&a->forge);
    b.len -= 7;
    return of_bytes(&b);
}
static struct sealed bytes_behind_the_end(struct asked *a)
{
    KLUIS_AUTO_BUF(b, 64 << 20);
    opened(a);
    forge_close(&a->forge, &b);
    forge_free(&a->forge);
    kluis_buf_cstr(&b, "meer");
    return of_bytes(&b);
}
static struct sealed bytes_behind_the_signature(struct asked *a)
{
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    opened(a);
    pki_sign(&d.pki, &d.pki.device, &d.pki.device_ca, manifest_of(&a->forge), false, &p7s);
    kluis_buf_byte(&p7s, 0);
    signature_is(&a->forge, &p7s);
    return closed(a);
}
static struct sealed half_a_signature(struct asked *a)
{
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    opened(a);
    pki_sign(&d.pki, &d.pki.device, &d.pki.device_ca, manifest_of(&a->forge), false, &p7s);
    p7s.len /= 2;
    signature_is(&a->forge, &p7s);
    return closed(a);
}

/* OpenSSL's own signature over the manifest with the device's key, but of another type of content. */
static struct sealed a_signature_over_another_type(struct asked *a)
{
    KLUIS_AUTO_BUF(pem, 8192);
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    OK(kluis_key_to_pem(d.pki.device.key, &pem, NULL));
    opened(a);
    const struct kluis_bytes m = manifest_of(&a->forge);
    const uint8_t *cert = d.pki.device.cert.data;
    BIO *key_in = BIO_new_mem_buf(pem.data, (int)pem.len), *in = BIO_new_mem_buf(m.ptr, (int)m.len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(key_in, NULL, NULL, NULL);
    X509 *x = d2i_X509(NULL, &cert, (long)d.pki.device.cert.len);
    enum { FLAGS = CMS_BINARY | CMS_DETACHED | CMS_NOSMIMECAP | CMS_CADES };
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, FLAGS | CMS_PARTIAL);
    assert_non_null(key);
    assert_non_null(x);
    assert_non_null(cms);
    assert_int_equal(CMS_set1_eContentType(cms, OBJ_nid2obj(NID_id_smime_ct_TSTInfo)), 1);
    assert_non_null(CMS_add1_signer(cms, x, key, EVP_sha256(), FLAGS));
    assert_int_equal(CMS_final(cms, in, NULL, FLAGS), 1);
    uint8_t *der = NULL;
    int n = i2d_CMS_ContentInfo(cms, &der);
    assert_true(n > 0);
    kluis_buf_add(&p7s, der, (size_t)n);
    /* Another type asks for version 3 (RFC 5652 5.1), which is refused before the type is looked at: say version 1, which no signature covers. */
    uint8_t *version = memmem(p7s.data, 64, "\x02\x01\x03", 3);
    assert_non_null(version);
    version[2] = 1;
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    X509_free(x);
    EVP_PKEY_free(key);
    BIO_free(in);
    BIO_free(key_in);
    signature_is(&a->forge, &p7s);
    return closed(a);
}

/* Stamped by an authority that the home's root (or another) certified for these days. */
static struct sealed stamped_by(struct asked *a, bool known_root, int64_t from_us, int64_t to_us)
{
    struct pki_party root = { 0 }, tsa = { 0 };
    char path[128];
    KLUIS_AUTO(kluis_tsa) t = NULL;
    KLUIS_AUTO_BUF(plain, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(request, 256);
    KLUIS_AUTO_BUF(response, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    uint8_t imprint[32];
    int64_t now = kluis_now_us();
    if (known_root) {
        (void)snprintf(path, sizeof path, "%s/root/root.key", w.home);
        OK(kluis_key_load(path, &root.key, NULL));
        kluis_buf_init(&root.cert, KLUIS_CERT_MAX);
        kluis_buf_add(&root.cert, w.root_der.data, w.root_der.len);
    } else {
        pki_issue(&root, KLUIS_CERT_ROOT, NULL, now - PKI_YEAR, now + PKI_YEAR);
    }
    pki_issue(&tsa, KLUIS_CERT_TSA, &root, from_us, to_us);
    OK(kluis_tsa_new(tsa.key, kluis_buf_bytes(&tsa.cert), &t, NULL));
    opened(a);
    pki_sign(&d.pki, &d.pki.device, &d.pki.device_ca, manifest_of(&a->forge), false, &plain);
    OK(kluis_seal_imprint(kluis_buf_bytes(&plain), imprint, NULL));
    OK(kluis_time_request(imprint, 0x8123456789abcdef, &request, NULL));
    OK(kluis_tsa_respond(t, kluis_buf_bytes(&request), &response, NULL));
    /* Taken out of the answer by OpenSSL, since ours would refuse it. */
    const uint8_t *p = response.data;
    TS_RESP *answer = d2i_TS_RESP(NULL, &p, (long)response.len);
    assert_non_null(answer);
    assert_non_null(TS_RESP_get_token(answer));
    uint8_t *der = NULL;
    int n = i2d_PKCS7(TS_RESP_get_token(answer), &der);
    assert_true(n > 0);
    kluis_buf_add(&token, der, (size_t)n);
    OPENSSL_free(der);
    TS_RESP_free(answer);
    OK(kluis_seal_add_token(kluis_buf_bytes(&plain), kluis_buf_bytes(&token), &p7s, NULL));
    signature_is(&a->forge, &p7s);
    pki_party_clear(&root);
    pki_party_clear(&tsa);
    return closed(a);
}
static struct sealed stamped_well(struct asked *a)
{
    chat_of(&a->chat, "g-gestempeld", 2);
    return stamped_by(a, true, kluis_now_us() - PKI_YEAR, kluis_now_us() + PKI_YEAR);
}
static struct sealed stamped_by_an_expired_authority(struct asked *a)
{
    return stamped_by(a, true, kluis_now_us() - 2 * PKI_YEAR, kluis_now_us() - PKI_YEAR);
}
static struct sealed stamped_by_a_future_authority(struct asked *a)
{
    return stamped_by(a, true, kluis_now_us() + PKI_YEAR, kluis_now_us() + 2 * PKI_YEAR);
}
/* An authority that was taken out of trust.json is a stranger from then on (decision 0011). */
static struct sealed stamped_by_a_revoked_authority(struct asked *a)
{
    return stamped_by(a, false, kluis_now_us() - PKI_YEAR, kluis_now_us() + PKI_YEAR);
}

static struct sealed another_device_s_package(struct asked *a)
{
    a->o.device = other.id;
    return sealed_package(&other.pki, &a->o);
}
static struct sealed another_device_s_name(struct asked *a)
{
    a->o.device = other.id;
    return written(a);
}

/* ---- what must hold afterwards, of those that are taken ---- */

struct found {
    int hits;
    const char *text; /* one of the hits must be this text */
    bool same;
    const char *conversation;
};

static kluis_status on_hit(void *ctx, const struct index_hit *h, struct kluis_err *err)
{
    struct found *f = ctx;
    (void)err;
    f->hits++;
    if (f->text != NULL && kluis_str_eq(h->text, kluis_str_of(f->text))) { f->same = true; }
    if (f->conversation != NULL && !kluis_str_eq(h->conversation_id, kluis_str_of(f->conversation))) { fail_msg("a hit of another conversation"); }
    return KLUIS_OK;
}

static void finds(const char *conversation, const char *words, int want, const char *text)
{
    struct kluis_err err = { 0 };
    struct found f = { .text = text, .conversation = conversation };
    struct index_result r;
    const struct index_query q = { .text = kluis_str_of(words),
                                   .conversation = kluis_str_of(conversation),
                                   .from_us = KLUIS_TIME_ABSENT,
                                   .to_us = KLUIS_TIME_ABSENT,
                                   .limit = 100 };
    const struct index_sink sink = { &f, on_hit };
    struct index *ix = vault_index_hold(w.vault);
    kluis_status rc = index_search(ix, &q, &sink, &r, &err);
    vault_index_release(w.vault);
    if (rc != KLUIS_OK) { print_error("%s\n", err.msg); }
    assert_int_equal(rc, KLUIS_OK);
    if (f.hits != want) { fail_msg("%s: %d hits in %s, not %d", words, f.hits, conversation, want); }
    assert_true(text == NULL || f.same);
}

struct bad {
    const char *what;
    struct sealed (*make)(struct asked *a);
    const char *layer, *says;                 /* of a refusal; layer NULL: it is taken, and */
    const char *conversation, *words, *found; /* these words find so many hits there, one with this very text */
    int hits;
};
static const struct bad bad[] = {
    { "the control: taken apart, put together, signed", nothing_changed, .conversation = "c-1", .words = "dijk", .hits = 5 },
    { "an id twice in one package", one_id_twice, .conversation = "g-ids", .words = "slechtkanarie", .hits = 3 },
    { "no ids at all", no_ids, .conversation = "g-geen-id", .words = "slechtkanarie", .hits = 3 },
    { "two chats of one name", a_name_like_another_chat_s, .conversation = "g-zelfde-naam", .words = "slechtkanarie", .hits = 1 },
    { "marks of direction, zero width, joined emoji", bidi_and_joiners, .conversation = "g-tekens", .words = "nedro", .hits = 1, .found = MARKS },
    { "bytes that are no UTF-8", not_utf8, .layer = "records", .says = "not valid UTF-8" },
    { "the same, kept as text_raw", not_utf8_kept, .conversation = "g-ruw", .words = "einde", .hits = 1 },
    { "half a surrogate pair", a_surrogate, .layer = "records", .says = "an escape that is not canonical" },
    { "a NUL byte in a line", a_nul_byte, .layer = "records", .says = "a control character" },
    { "a NUL in a text", a_nul_in_a_text, .conversation = "g-nul", .words = "na", .hits = 1 },
    { "a message of 10 MB", ten_million_letters, .layer = "records", .says = "a line of more than 4 MiB" },
    { "a message as long as may be", the_longest_text, .conversation = "g-lang", .words = "slechtkanarie", .hits = 1 },
    { "a group of 100,000", a_hundred_thousand_members, .layer = "records", .says = "more than 4096 parties" },
    { "times before 1970 and after 2038, the hour that comes twice", times_far_away, .conversation = "g-tijden", .words = "slechtkanarie",
      .hits = 4 },
    { "a day that is none", a_day_that_is_none, .layer = "records", .says = "not a time of the calendar" },
    { "the year 0", the_year_nought, .layer = "records", .says = "not a time of the calendar" },
    { "clocks that jump", clocks_that_jump_back, .conversation = "g-klok", .words = "slechtkanarie", .hits = 4 },
    { "quotes in a circle", quotes_in_a_circle, .conversation = "g-kring", .words = "slechtkanarie", .hits = 3 },
    { "one attachment as two types", one_attachment_of_two_kinds, .conversation = "g-bijlage", .words = "dijk", .hits = 5 },
    { "a zip bomb", a_bomb, .layer = "container", .says = "unpacks to more than it states" },
    { "records.jsonl of 32 MiB of zeros", records_of_zeros, .layer = "records", .says = "a line of more than 4 MiB" },
    { "a path upwards", a_way_up, .layer = "container", .says = "a file name outside the rules" },
    { "a path from the root", a_way_from_the_root, .layer = "container", .says = "a file name outside the rules" },
    { "a symbolic link", a_symbolic_link, .layer = "container", .says = "does not repeat the local headers" },
    { "a package cut off", cut_off, .layer = "container", .says = "ends too early" },
    { "bytes behind the end", bytes_behind_the_end, .layer = "container", .says = "bytes after the end record" },
    { "a byte behind the signature", bytes_behind_the_signature, .layer = "signature", .says = "not strict DER" },
    { "half a signature", half_a_signature, .layer = "signature", .says = "not strict DER" },
    { "a signature over another type of content", a_signature_over_another_type, .layer = "signature", .says = "content of another type" },
    { "the control: stamped by an authority of the home's root", stamped_well, .conversation = "g-gestempeld", .words = "slechtkanarie", .hits = 2 },
    { "an authority that had expired", stamped_by_an_expired_authority, .layer = "time", .says = "certificate has expired" },
    { "an authority of the future", stamped_by_a_future_authority, .layer = "time", .says = "not yet valid" },
    { "an authority no longer trusted", stamped_by_a_revoked_authority, .layer = "time", .says = "outside its path" },
    { "another device's package", another_device_s_package, .layer = "delivery", .says = "another device than the one that delivered it" },
    { "a package in another device's name", another_device_s_name, .layer = "delivery", .says = "another device than the one that delivered it" },
};
enum { KINDS = sizeof bad / sizeof *bad };

static void refused(const struct bad *b, const struct kluis_buf *body)
{
    char line[64];
    struct kluis_wire r = kluis_wire_open(kluis_buf_bytes(body));
    assert_true(kluis_wire_is(&r, "chatkluis-refusal-v1"));
    struct kluis_bytes text = kluis_wire_get(&r, 4096);
    (void)kluis_wire_get(&r, KLUIS_P7S_MAX);
    assert_int_equal(kluis_wire_end(&r, "refusal", NULL), KLUIS_OK);
    (void)snprintf(line, sizeof line, "\nlayer %s\n", b->layer);
    if (memmem(text.ptr, text.len, line, strlen(line)) == NULL) {
        fail_msg("%s: not refused by %s: %.*s", b->what, b->layer, (int)text.len, (const char *)text.ptr);
    }
    if (memmem(text.ptr, text.len, b->says, strlen(b->says)) == NULL) { fail_msg("%s: does not say '%s'", b->what, b->says); }
    assert_null(memmem(text.ptr, text.len, "kanarie", 7)); /* what is refused is not told */
}

static void each_is_refused_by_its_layer_or_taken_as_the_format_says(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(body, 1 << 20);
    for (size_t i = 0; i < KINDS; i++) {
        const struct bad *b = &bad[i];
        struct asked a = { .o = { .records = 5 } };
        struct sending s;
        uint64_t packages = world_number(&w, "\"packages\":"), records = world_number(&w, "\"records\":"),
                 leaves = world_number(&w, "\"ledger\":{\"size\":"), refusals = world_number(&w, "\"refused\":");
        print_message("%s\n", b->what);
        device_number(&d, &a.o);
        device_wrap(&d, &s, b->make(&a));
        assert_int_equal(device_send(&d, &s), 202);
        uint32_t answer = device_answer(&d, s.s.id, 30, &body);
        if (b->layer != NULL) {
            if (answer != KLUIS_ANSWER_REFUSAL) { fail_msg("%s: taken", b->what); }
            refused(b, &body);
            assert_int_equal(world_number(&w, "\"packages\":"), packages);
            assert_int_equal(world_number(&w, "\"records\":"), records);
            assert_int_equal(world_number(&w, "\"ledger\":{\"size\":"), leaves);
            assert_int_equal(world_number(&w, "\"refused\":"), refusals + 1);
        } else {
            if (answer != KLUIS_ANSWER_RECEIPT) { fail_msg("%s: refused", b->what); }
            assert_int_equal(world_number(&w, "\"packages\":"), packages + 1);
            assert_int_equal(world_number(&w, "\"ledger\":{\"size\":"), leaves + 1);
            assert_int_equal(world_number(&w, "\"refused\":"), refusals);
            world_until_indexed(&w, packages + 1);
            finds(b->conversation, b->words, b->hits, b->found);
        }
        sending_close(&s);
    }
}

static void a_replayed_package_is_answered_alike_and_stored_once(void **state)
{
    (void)state;
    struct asked a = { .o = { .records = 5, .salt = 0x77 } };
    struct sending s, again;
    KLUIS_AUTO_BUF(first, 1 << 20);
    KLUIS_AUTO_BUF(second, 1 << 20);
    KLUIS_AUTO_BUF(bytes, 1 << 20);
    device_number(&d, &a.o);
    struct sealed one = written(&a);
    sealed_bytes(&one, &bytes);
    device_wrap(&d, &s, one);
    assert_int_equal(device_send(&d, &s), 202);
    assert_int_equal(device_answer(&d, s.s.id, 30, &first), KLUIS_ANSWER_RECEIPT);
    uint64_t packages = world_number(&w, "\"packages\":");
    /* Its message and upload once more, and once more under fresh names: the vault knows the package. */
    assert_int_equal(device_send(&d, &s), 202);
    (void)memset(d.previous, 0, 32);
    memcpy(d.previous, a.o.previous, 32);
    device_wrap(&d, &again, of_bytes(&bytes));
    assert_int_equal(device_send(&d, &again), 202);
    assert_int_equal(device_answer(&d, again.s.id, 30, &second), KLUIS_ANSWER_RECEIPT);
    assert_int_equal(second.len, first.len);
    assert_memory_equal(second.data, first.data, first.len);
    assert_int_equal(world_number(&w, "\"packages\":"), packages);
    sending_close(&s);
    sending_close(&again);
}

static void afterwards_everything_agrees(void **state)
{
    (void)state;
    struct sending s;
    KLUIS_AUTO_BUF(body, 1 << 20);
    device_pack(&d, &s, &(struct sealed_options){ .records = 2 });
    assert_int_equal(device_send(&d, &s), 202);
    assert_int_equal(device_answer(&d, s.s.id, 30, &body), KLUIS_ANSWER_RECEIPT);
    sending_close(&s);
    world_check(&w, true);
    uint64_t packages = world_number(&w, "\"packages\":");
    world_restart_vault(&w);
    assert_int_equal(world_number(&w, "\"packages\":"), packages);
    world_check(&w, true);
}

/* From now on every authority that the home's root has certified is trusted, beside its own. */
static void trust_the_root_s_authorities(void)
{
    char path[128];
    struct kluis_bytes authority[2];
    assert_int_equal(w.trust.n_tsa_cas, 1);
    authority[0] = w.trust.tsa_cas[0];
    authority[1] = kluis_buf_bytes(&w.root_der);
    w.trust.tsa_cas = authority;
    w.trust.n_tsa_cas = 2;
    kluis_buf_clear(&w.trust_json);
    OK(kluis_trust_write(&w.trust, &w.trust_json, NULL));
    (void)snprintf(path, sizeof path, "%s/trust.json", w.home);
    OK(kluis_write_file(path, w.trust_json.data, w.trust_json.len, 0644, NULL));
    OK(kluis_trust_read((struct kluis_str){ (const char *)w.trust_json.data, w.trust_json.len }, w.arena, &w.trust, NULL));
}

static int setup(void **state)
{
    (void)state;
    char refusal[16];
    world_open(&w);
    trust_the_root_s_authorities();
    world_restart_vault(&w);
    device_enrol(&d, &w, "jansen", refusal);
    assert_string_equal(refusal, "");
    device_enrol(&other, &w, "jansen", refusal);
    assert_string_equal(refusal, "");
    device_session(&d);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    device_close(&d);
    device_close(&other);
    world_close(&w);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_refused_by_its_layer_or_taken_as_the_format_says),
        cmocka_unit_test(a_replayed_package_is_answered_alike_and_stored_once),
        cmocka_unit_test(afterwards_everything_agrees),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
