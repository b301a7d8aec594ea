/* tests/fuzz/seeds.c - makes the seeds of the fuzz targets, all of our own invention, and the certificates they were made with.
 *
 *   fuzz_seeds tests/fuzz        replaces world/ and corpus/<target>/seed-*; anything else in corpus/ (findings kept) stays.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "kluis/login.h"
#include "server/index/index.h"
#include "server/ingest/opener.h"
#include "tests/fuzz/session_world.h"
#include "tests/support/evidence_kit.h"
#include "tests/support/exported.h"
#include "tests/support/sealed.h"
#include "tests/unit/package_forge.h"

#define T(text)                                                                                                                                      \
    {                                                                                                                                                \
        (text), sizeof(text) - 1                                                                                                                     \
    } /* in initialisers */

static const char *base;
static struct pki *pki;

static void save(const char *folder, const char *name, const void *p, size_t n)
{
    char path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    MUST((size_t)snprintf(path, sizeof path, "%s/%s", base, folder) < sizeof path);
    MUST(mkdir(path, 0755) == 0 || access(path, W_OK) == 0);
    MUST((size_t)snprintf(path, sizeof path, "%s/%s/%s", base, folder, name) < sizeof path);
    if (kluis_write_file(path, p, n, 0644, &err) != KLUIS_OK) {
        (void)fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
}
static void save_buf(const char *folder, const char *name, const struct kluis_buf *b)
{
    MUST(b->status == KLUIS_OK && b->len > 0);
    save(folder, name, b->data, b->len);
}
/* The target's choice of reader, then the bytes. */
static void save_choice(const char *folder, const char *name, uint8_t which, const void *p, size_t n)
{
    KLUIS_AUTO_BUF(b, 4 << 20);
    kluis_buf_byte(&b, which);
    kluis_buf_add(&b, p, n);
    save_buf(folder, name, &b);
}
static void texts(const char *folder, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "seed-%02zu", i + 1);
        save(folder, name, list[i], strlen(list[i]));
    }
}
#define TEXTS(folder, ...)                                                                                                                           \
    do {                                                                                                                                             \
        static const char *const list_[] = { __VA_ARGS__ };                                                                                          \
        texts("corpus/" folder, list_, sizeof list_ / sizeof *list_);                                                                                \
    } while (0)

static void records(void)
{
    static const struct kluis_party people[] = { { .id = T("aci-1"), .name = T("J. de Vries"), .number = T("+31600000001") },
                                                 { .name = T("Samira \xf0\x9f\x8c\x8a") } };
    static const uint32_t members[] = { 0, 1 };
    static const struct kluis_str loss[] = { T("edits"), T("reactions") };
    struct kluis_header h = { .platform = T("signal"),
                              .conversation_id = T("c-1"),
                              .conversation_name = T("Dijk \"3\"\\"),
                              .type = KLUIS_GROUP,
                              .parties = people,
                              .n_parties = 2,
                              .participants = members,
                              .n_participants = 2,
                              .self = 0,
                              .provenance = { T("signal-export"), T("app"), T("7.1"), T("os"), T("dev"), T("chatkluis") },
                              .zone = KLUIS_ZONE_STATED,
                              .zone_name = T("Europe/Amsterdam"),
                              .precision = KLUIS_PRECISION_MILLISECOND,
                              .loss = loss,
                              .n_loss = 2 };
    memset(h.salt, 7, sizeof h.salt);
    KLUIS_AUTO_BUF(b, 1 << 20);
    MUST(kluis_header_write(&h, &b, NULL) == KLUIS_OK);
    static const struct kluis_time_field times[] = { { T("received"), { 1740830700123000, 60 } } };
    static const struct kluis_field fields[] = { { T("count"), { NULL, 0 }, 42, true }, { T("note"), T("x\ty"), 0, false } };
    static const struct kluis_attachment files[] = { { .name = T("foto.jpg"), .type = T("image/jpeg"), .size = 12, .has_sha256 = true },
                                                     { .name = T("weg.pdf"), .size = -1, .loss = T("missing") } };
    static const struct kluis_str choices[] = { T("dinsdag"), T("woensdag") };
    const struct kluis_when sent = { 1740830700123000, 60 }, never = { KLUIS_TIME_ABSENT, 0 };
    const struct kluis_record all[] = {
        { .kind = KLUIS_MESSAGE,
          .id = T("m1"),
          .author = 0,
          .sent = sent,
          .times = times,
          .n_times = 1,
          .text = T("Hallo \"dijk\"\n\\ \xc3\xa9"),
          .attachments = files,
          .n_attachments = 2,
          .target_author = KLUIS_NO_PARTY,
          .target_sent = never,
          .fields = fields,
          .n_fields = 2,
          .evidence = 9 },
        { .kind = KLUIS_MESSAGE,
          .author = 1,
          .sent = sent,
          .zone = KLUIS_ZONE_ASSUMED,
          .text = T("k\xef\xbf\xbd"),
          .text_raw = { (const uint8_t *)"k\xff", 2 },
          .target_author = KLUIS_NO_PARTY,
          .target_sent = never,
          .loss = loss,
          .n_loss = 1 },
        { .kind = KLUIS_REACTION,
          .author = 1,
          .sent = sent,
          .target = T("m1"),
          .target_author = 0,
          .target_sent = sent,
          .value = T("\xf0\x9f\x91\x8d"),
          .quote = T("Hallo") },
        { .kind = KLUIS_POLL,
          .author = 0,
          .sent = sent,
          .text = T("Wanneer?"),
          .options = choices,
          .n_options = 2,
          .target_author = KLUIS_NO_PARTY,
          .target_sent = never },
        { .kind = KLUIS_CALL,
          .author = 0,
          .sent = sent,
          .value = T("audio"),
          .event = T("missed"),
          .target_author = KLUIS_NO_PARTY,
          .target_sent = never },
        { .kind = KLUIS_GAP, .author = KLUIS_NO_PARTY, .sent = never, .event = T("timer"), .target_author = KLUIS_NO_PARTY, .target_sent = never },
    };
    size_t written = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct kluis_err err = { 0 };
        if (kluis_record_write(&all[i], &h, &b, &err) == KLUIS_OK) {
            written++;
        } else {
            (void)fprintf(stderr, "record %zu: %s\n", i, err.msg);
        }
    }
    MUST(written == sizeof all / sizeof *all);
    save_buf("corpus/record", "seed-01", &b);
}

static const uint8_t CONTENT[] = "What the device signs: some manifest.\n";

/* Each file of a package alone, for package_part: once with its lists made again. */
static void parts(struct kluis_bytes package)
{
    static struct forge f;
    forge_open(&f, package);
    for (size_t i = 0; i < f.n; i++) {
        char name[32];
        KLUIS_AUTO_BUF(b, 1 << 20);
        kluis_buf_byte(&b, (uint8_t)i);
        kluis_buf_byte(&b, 1);
        kluis_buf_add(&b, f.file[i].data, f.file[i].n);
        (void)snprintf(name, sizeof name, "seed-%02zu", i);
        if (f.file[i].n > 0) { save_buf("corpus/package_part", name, &b); }
    }
    forge_free(&f);
}

static void revocation(void)
{
    struct kluis_bytes content = { (const uint8_t *)"manifest", 8 };
    KLUIS_AUTO_BUF(none, KLUIS_CRL_MAX);
    KLUIS_AUTO_BUF(one, KLUIS_CRL_MAX);
    KLUIS_AUTO_BUF(seal, KLUIS_P7S_MAX);
    const struct pki_party *ca = &pki->device_ca;
    const struct kluis_revoked r = { kluis_buf_bytes(&pki->device.cert), FUZZ_NOW, 1 };
    MUST(kluis_crl_issue(NULL, 0, 1, FUZZ_NOW, FUZZ_NOW + PKI_YEAR, ca->key, kluis_buf_bytes(&ca->cert), &none, NULL) == KLUIS_OK);
    MUST(kluis_crl_issue(&r, 1, 2, FUZZ_NOW, FUZZ_NOW + PKI_YEAR, ca->key, kluis_buf_bytes(&ca->cert), &one, NULL) == KLUIS_OK);
    pki_sign(pki, &pki->seal, &pki->root, content, true, &seal);
    save_buf("world", "crl-issuer.der", &ca->cert);
    save_buf("world", "crl-device.der", &pki->device.cert);
    save_buf("world", "crl-seal.p7s", &seal);
    save_buf("corpus/crl", "seed-empty", &none);
    save_buf("corpus/crl", "seed-revoked", &one);
}

static void exports(void)
{
    const struct sealed_options o = { .records = 2, .stamped = true };
    struct sealed s = sealed_package(pki, &o);
    KLUIS_AUTO_BUF(crl, KLUIS_CRL_MAX);
    KLUIS_AUTO_BUF(trust, 1 << 20);
    KLUIS_AUTO_BUF(bare, 1 << 20);
    KLUIS_AUTO_BUF(sealed_only, 1 << 20);
    KLUIS_AUTO_BUF(whole, 1 << 20);
    exported_crl(pki, kluis_now_us() + PKI_YEAR / 365, KLUIS_TIME_ABSENT, &crl);
    struct kluis_bytes list = kluis_buf_bytes(&crl);
    MUST(kluis_trust_write(&pki->trust, &trust, NULL) == KLUIS_OK);
    sealed_bytes(&s, &bare);
    exported_package(pki, &s, &(struct export_options){ .evidence = false }, &sealed_only, NULL);
    exported_package(pki, &s, &(struct export_options){ .crls = &list, .n_crls = 1, .evidence = true }, &whole, NULL);
    save_buf("world", "export-trust.json", &trust);
    save("world", "export.id", s.id, 32);
    save_buf("corpus/export", "seed-bare", &bare);
    save_buf("corpus/export", "seed-sealed", &sealed_only);
    save_buf("corpus/export", "seed-whole", &whole);
    kluis_close_quiet(&s.fd);
}

static void evidence(void)
{
    KLUIS_AUTO_BUF(record, KLUIS_EVIDENCE_MAX);
    KLUIS_AUTO_BUF(renewed, KLUIS_EVIDENCE_MAX);
    KLUIS_AUTO_BUF(rehashed, KLUIS_EVIDENCE_MAX);
    kit_record(pki, 7, 4, &record);
    kit_restamp(pki, kluis_buf_bytes(&record), &renewed);
    kit_rehash(pki, kluis_buf_bytes(&renewed), 4, &rehashed);
    save_buf("world", "evidence-authority.der", &pki->tsa.cert);
    save_buf("corpus/evidence", "seed-batch", &record);
    save_buf("corpus/evidence", "seed-renewed", &renewed);
    save_buf("corpus/evidence", "seed-rehashed", &rehashed);
}

/* Packages, signatures, tokens, receipts: they share keys. */
static void sealed(void)
{
    struct kluis_bytes content = { CONTENT, sizeof CONTENT - 1 }, chain = kluis_buf_bytes(&pki->device_ca.cert);
    uint8_t imprint[32];
    save("world", "content.txt", content.ptr, content.len);
    save_buf("world", "root.der", &pki->root.cert);
    save_buf("world", "device-ca.der", &pki->device_ca.cert);
    save_buf("world", "device.der", &pki->device.cert);
    save_buf("world", "login.der", &pki->login.cert);
    save("world", "vkey.txt", pki->log_vkey, strlen(pki->log_vkey));
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(stamped, KLUIS_P7S_MAX);
    MUST(kluis_seal_sign(pki->device.key, content, kluis_buf_bytes(&pki->device.cert), &chain, 1, FUZZ_NOW, &p7s, NULL) == KLUIS_OK);
    MUST(kluis_seal_imprint(kluis_buf_bytes(&p7s), imprint, NULL) == KLUIS_OK);
    pki_token(pki->authority, &pki->root_anchor, imprint, &token);
    MUST(kluis_seal_add_token(kluis_buf_bytes(&p7s), kluis_buf_bytes(&token), &stamped, NULL) == KLUIS_OK);
    save_buf("corpus/cms", "seed-plain", &p7s);
    save_buf("corpus/cms", "seed-stamped", &stamped);
    save_buf("world", "token.der", &token);
    save("world", "imprint.bin", imprint, 32);
    KLUIS_AUTO_BUF(request, 1024);
    KLUIS_AUTO_BUF(response, KLUIS_TOKEN_MAX);
    MUST(kluis_time_request(imprint, 0x8123456789abcdef, &request, NULL) == KLUIS_OK);
    MUST(kluis_tsa_respond(pki->authority, kluis_buf_bytes(&request), &response, NULL) == KLUIS_OK);
    save_buf("corpus/time", "seed-granted", &response);
    kluis_buf_clear(&response);
    MUST(kluis_tsa_respond(pki->authority, content, &response, NULL) == KLUIS_OK);
    save_buf("corpus/time", "seed-refused", &response);

    KLUIS_AUTO_BUF(trust, 1 << 20);
    MUST(kluis_trust_write(&pki->trust, &trust, NULL) == KLUIS_OK);
    save_buf("world", "trust.json", &trust);
    save_buf("corpus/trust", "seed-01", &trust);
    static const char *witness[1];
    witness[0] = pki->log_vkey;
    struct kluis_trust with = pki->trust;
    with.witness_vkeys = witness;
    with.n_witnesses = with.witness_threshold = 1;
    kluis_buf_clear(&trust);
    MUST(kluis_trust_write(&with, &trust, NULL) == KLUIS_OK);
    save_buf("corpus/trust", "seed-witness", &trust);

    static const char *const packages[] = { "seed-plain", "seed-attachment", "seed-inflated-whole" }; /* the last: more than 64 KiB of records */
    for (unsigned i = 0; i < sizeof packages / sizeof *packages; i++) {
        const struct sealed_options o = { .records = 2 + i, .attachment = i % 2 * 40, .stamped = i == 1, .text = i / 2 * 17000 };
        struct sealed s = sealed_package(pki, &o);
        KLUIS_AUTO_BUF(b, 1 << 20);
        sealed_bytes(&s, &b);
        save_buf("corpus/package", packages[i], &b);
        if (i == 1) {
            save_buf("world", "package.asice", &b);
            save("world", "package.id", s.id, 32);
            parts(kluis_buf_bytes(&b));
            for (unsigned k = 0; k < 2; k++) {
                const struct receipt_options ro = { .stamped = k == 1 };
                KLUIS_AUTO_BUF(json, KLUIS_RECEIPT_MAX);
                sealed_receipt(pki, &s, &ro, &json);
                save_buf("corpus/receipt", k == 0 ? "seed-pending" : "seed-stamped", &json);
                KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(4 << 20);
                struct kluis_receipt r;
                MUST(kluis_receipt_read((struct kluis_str){ (const char *)json.data, json.len }, arena, &r, NULL) == KLUIS_OK);
                if (k == 1) { continue; }
                save("world", "leaf.txt", r.leaf.ptr, r.leaf.len);
                save_choice("corpus/ledger", "seed-proof", 0, r.proof.ptr, r.proof.len);
                save_choice("corpus/ledger", "seed-leaf", 2, r.leaf.ptr, r.leaf.len);
                struct kluis_checkpoint c;
                uint64_t index;
                struct kluis_str note;
                MUST(kluis_tlog_proof_check(r.proof, (struct kluis_bytes){ (const uint8_t *)r.leaf.ptr, r.leaf.len }, pki->log_vkey, &c, &index,
                                            &note, NULL) == KLUIS_OK);
                save_choice("corpus/ledger", "seed-checkpoint", 1, note.ptr, note.len);
                KLUIS_AUTO_BUF(keyed, 4096);
                kluis_buf_cstr(&keyed, pki->log_vkey);
                kluis_buf_byte(&keyed, '\n');
                kluis_buf_str(&keyed, note);
                save_choice("corpus/ledger", "seed-keyed", 3, keyed.data, keyed.len);
            }
        }
        kluis_close_quiet(&s.fd);
    }
}

static void certificates(void)
{
    KLUIS_AUTO_BUF(pem, 64 << 10);
    KLUIS_AUTO_BUF(spki, 4096);
    save_choice("corpus/cert", "seed-device", 0, pki->device.cert.data, pki->device.cert.len);
    save_choice("corpus/cert", "seed-tls", 0, pki->tls.cert.data, pki->tls.cert.len);
    MUST(kluis_cert_pem(kluis_buf_bytes(&pki->seal.cert), &pem, NULL) == KLUIS_OK);
    save_choice("corpus/cert", "seed-pem", 1, pem.data, pem.len);
    kluis_buf_clear(&pem);
    struct kluis_key *throwaway = NULL;
    MUST(kluis_key_generate(&throwaway, NULL) == KLUIS_OK && kluis_key_to_pem(throwaway, &pem, NULL) == KLUIS_OK);
    save_choice("corpus/cert", "seed-key", 2, pem.data, pem.len);
    MUST(kluis_key_public(throwaway, &spki, NULL) == KLUIS_OK && spki.len == 91);
    MUST(kluis_key_sign(throwaway, (struct kluis_bytes){ (const uint8_t *)"x", 1 }, &spki, NULL) == KLUIS_OK);
    save_choice("corpus/cert", "seed-signed", 3, spki.data, spki.len);
    kluis_key_free(throwaway);
}

static void login(void)
{
    KLUIS_AUTO_BUF(b, 4096);
    char nonce[44];
    kluis_nonce_new(nonce);
    MUST(kluis_login_header_write(PKI_DEVICE, pki->login.key, "gate.test:8443", "GET", "/v1/bundle", NULL, nonce, FUZZ_NOW / 1000000, &b, NULL) ==
         KLUIS_OK);
    save_buf("corpus/login", "seed-device", &b);
    kluis_buf_clear(&b);
    MUST(kluis_login_header_write(KLUIS_LOGIN_VAULT, pki->login.key, "gate.test:8443", "POST", "/vault/v1/done", NULL, nonce, 1, &b, NULL) ==
         KLUIS_OK);
    save_buf("corpus/login", "seed-vault", &b);
}

static void enrolment(void)
{
    KLUIS_AUTO_BUF(b, 64 << 10);
    KLUIS_AUTO_BUF(spki, 4096);
    KLUIS_AUTO_BUF(trust, 64 << 10);
    KLUIS_AUTO_BUF(seal, 64 << 10);
    uint8_t mac[32] = { 0 };
    char text[128];
    MUST(kluis_key_public(pki->device.key, &spki, NULL) == KLUIS_OK);
    kluis_wire_label(&b, "chatkluis-enrol-request-v1");
    kluis_wire_field(&b, mac, 16);
    kluis_wire_field(&b, spki.data, spki.len);
    kluis_wire_field(&b, spki.data, spki.len);
    kluis_wire_field(&b, session_world.me.public_key, 33);
    kluis_wire_u32(&b, 7);
    kluis_wire_u64(&b, FUZZ_NOW / 1000000);
    kluis_wire_field(&b, mac, 32);
    save_buf("corpus/enrol_request", "seed-01", &b);
    kluis_buf_clear(&b);
    MUST(kluis_trust_write(&pki->trust, &trust, NULL) == KLUIS_OK);
    (void)snprintf(text, sizeof text, "chatkluis-session-v1\n");
    size_t n = strlen(text);
    kluis_hex(session_world.them.public_key, 33, text + n);
    n += 66;
    text[n++] = '\n';
    MUST(kluis_seal_sign(pki->seal.key, (struct kluis_bytes){ (const uint8_t *)text, n }, kluis_buf_bytes(&pki->seal.cert), NULL, 0, FUZZ_NOW, &seal,
                         NULL) == KLUIS_OK);
    kluis_wire_label(&b, "chatkluis-enrol-reply-v1");
    kluis_wire_str(&b, KLUIS_STR_LIT(PKI_DEVICE));
    kluis_wire_field(&b, pki->device.cert.data, pki->device.cert.len);
    kluis_wire_field(&b, pki->login.cert.data, pki->login.cert.len);
    kluis_wire_field(&b, pki->device_ca.cert.data, pki->device_ca.cert.len);
    kluis_wire_field(&b, pki->root.cert.data, pki->root.cert.len);
    kluis_wire_field(&b, trust.data, trust.len);
    kluis_wire_field(&b, session_world.them.public_key, 33);
    kluis_wire_field(&b, seal.data, seal.len);
    save_buf("corpus/enrol_reply", "seed-01", &b);
    kluis_buf_clear(&b);
    kluis_wire_label(&b, "chatkluis-enrol-refusal-v1");
    kluis_wire_str(&b, KLUIS_STR_LIT("expired"));
    save_buf("corpus/enrol_reply", "seed-refusal", &b);
}

/* Gate, method, path, nonce: what the login target signs itself. */
static const char OWN_REQUEST[] = "gate.test:8443\nGET\n/v1/bundle\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n";

static void sessions(void)
{
    for (unsigned i = 0; i < SESSION_MESSAGES; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "seed-%u", i);
        save_choice("corpus/session", name, (uint8_t)i, session_world.message[i].data, session_world.message[i].len);
    }
    KLUIS_AUTO_BUF(b, 64 << 10);
    const struct kluis_delivery d = { .sequence = 3, .length = 1000 };
    MUST(kluis_delivery_write(&d, &b, NULL) == KLUIS_OK);
    save_choice("corpus/messages", "seed-delivery", 0, b.data, b.len);
    kluis_buf_clear(&b);
    struct kluis_delivery back = d;
    memcpy(back.device, "00112233445566778899aabbccddeeff", sizeof back.device);
    back.leaf = kluis_str_of("chatkluis-leaf-v1\n");
    back.proof = kluis_str_of("c2sp.org/tlog-proof@v1\n");
    MUST(kluis_delivery_write(&back, &b, NULL) == KLUIS_OK);
    save_choice("corpus/messages", "seed-return", 0, b.data, b.len);
    kluis_buf_clear(&b);
    struct kluis_holding held[4];
    for (uint32_t state = 0; state < 4; state++) { held[state] = (struct kluis_holding){ { 7 }, state }; }
    MUST(kluis_holdings_write(held, 4, 9, &b, NULL) == KLUIS_OK);
    save_choice("corpus/messages", "seed-holdings", 3, b.data, b.len);
    kluis_buf_clear(&b);
    const struct kluis_bytes checkpoint = { CONTENT, sizeof CONTENT - 1 };
    const struct kluis_log_note note = { .checkpoint = checkpoint, .seal = checkpoint, .proof = { { 1 }, { 2 } }, .n_proof = 2 };
    MUST(kluis_log_write(&note, &b, NULL) == KLUIS_OK);
    save_choice("corpus/messages", "seed-log", 4, b.data, b.len);
    kluis_buf_clear(&b);
    const struct kluis_log_leaf leaf = { .since = 5, .size = 9 };
    MUST(kluis_log_leaf_write(&leaf, &b, NULL) == KLUIS_OK);
    save_choice("corpus/ledger", "seed-log-leaf", 4, b.data, b.len);
    save_choice("corpus/ledger", "seed-own", 5, "\x09\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0log.test/2026", 29);
    save("corpus/login", "seed-own", OWN_REQUEST, sizeof OWN_REQUEST - 1);
    kluis_buf_clear(&b);
    const struct kluis_answer a = { .kind = KLUIS_ANSWER_RECEIPT, .body = { CONTENT, sizeof CONTENT - 1 } };
    MUST(kluis_answer_write(&a, &b, NULL) == KLUIS_OK);
    save_choice("corpus/messages", "seed-answer", 1, b.data, b.len);
    kluis_buf_clear(&b);
    struct kluis_bundle u = {
        .identity = { 5 }, .registration_id = 7, .signed_prekey = { .id = 1, .public_key = { 5 } }, .epoch = 5, .expires_us = FUZZ_NOW
    };
    MUST(kluis_bundle_write(&u, &b, NULL) == KLUIS_OK);
    save_choice("corpus/messages", "seed-bundle", 2, b.data, b.len);
    KLUIS_AUTO_BUF(put, 64 << 10);
    kluis_wire_label(&put, "chatkluis-bundle-publish-v1");
    kluis_wire_field(&put, b.data, b.len);
    kluis_wire_str(&put, KLUIS_STR_LIT("seal"));
    kluis_wire_u32(&put, 9);
    kluis_wire_field(&put, u.identity, 33);
    save_choice("corpus/gate_bodies", "seed-bundle", 1, put.data, put.len);
}

static kluis_status append(void *ctx, const void *p, size_t n, KLUIS_UNUSED struct kluis_err *err)
{
    kluis_buf_add(ctx, p, n);
    return ((struct kluis_buf *)ctx)->status;
}
static void content(void)
{
    static const uint8_t key[32] = { 'f', 'u', 'z', 'z' };
    static uint8_t zeros[16400];
    static const size_t sizes[] = { 0, 12, 16376, 16400 };
    for (size_t i = 0; i < 4; i++) {
        char name[32];
        uint8_t sha[32];
        KLUIS_AUTO_BUF(b, 1 << 20);
        struct kluis_input_mem m = { { zeros, sizes[i] }, 0 };
        const struct kluis_input in = kluis_input_from_mem(&m);
        const struct kluis_output out = { &b, append };
        MUST(kluis_content_encrypt(key, &in, sizes[i], &out, sha, NULL) == KLUIS_OK);
        (void)snprintf(name, sizeof name, "seed-%zu", sizes[i]);
        save_buf("corpus/content", name, &b);
    }
}

static void vault(void)
{
    static const struct kluis_party people[] = { { .id = T("aci-1"), .name = T("Anna") }, { .number = T("+31600000002") } };
    const struct index_row rows[] = {
        { .ordinal = 1, .kind = KLUIS_MESSAGE, .author = 0, .sent_us = 1700000000000000, .offset_min = 60, .text = T("goedemorgen") },
        { .ordinal = 7,
          .kind = KLUIS_REACTION,
          .author = 1,
          .sent_us = KLUIS_TIME_ABSENT,
          .zone_assumed = 1,
          .id = T("i"),
          .text = T(""),
          .target = T("t"),
          .value = T("v"),
          .event = T("e"),
          .quote = T("q"),
          .attachments = T("a.pdf\nb.jpg"),
          .options = T("ja\nnee"),
          .loss = T("l") }
    };
    const struct index_package p = { .id = { 9, 8 },
                                     .sequence = 3,
                                     .official = T("jansen"),
                                     .device = T("d1"),
                                     .platform = T("signal"),
                                     .conversation_id = T("c"),
                                     .conversation_name = T("Dijk"),
                                     .conversation_type = KLUIS_GROUP,
                                     .precision = KLUIS_PRECISION_MILLISECOND,
                                     .provenance = T("p"),
                                     .verdict = T("valid"),
                                     .received_us = 12,
                                     .parties = people,
                                     .n_parties = 2,
                                     .self = 1,
                                     .rows = rows,
                                     .n_rows = 2 };
    uint8_t zero[32] = { 0 }, sha[32];
    KLUIS_AUTO_BUF(index, 64 << 10);
    MUST(index_package_write(&p, &index, NULL) == KLUIS_OK);
    save_buf("corpus/index_wire", "seed-01", &index);
    KLUIS_AUTO_BUF(b, 64 << 10);
    kluis_wire_label(&b, OPENED_LABEL);
    kluis_wire_u32(&b, 0);
    kluis_wire_u32(&b, 0);
    kluis_wire_str(&b, KLUIS_STR_LIT(""));
    kluis_wire_field(&b, zero, 32);
    kluis_wire_u64(&b, 1000);
    kluis_wire_field(&b, zero, 32);
    for (unsigned i = 0; i < 4; i++) { kluis_wire_u64(&b, i); }
    kluis_wire_field(&b, zero, 32);
    kluis_wire_str(&b, KLUIS_STR_LIT(PKI_DEVICE));
    for (unsigned i = 0; i < 3; i++) { kluis_wire_u64(&b, 1700000000000000); }
    kluis_wire_str(&b, KLUIS_STR_LIT("<manifest/>"));
    kluis_wire_str(&b, KLUIS_STR_LIT("p7s"));
    kluis_wire_field(&b, index.data, index.len);
    save_choice("corpus/opener", "seed-opened", 0, b.data, b.len);
    kluis_buf_clear(&b);
    kluis_wire_label(&b, OPENED_LABEL);
    kluis_wire_u32(&b, 1);
    kluis_wire_u32(&b, KLUIS_LAYER_RECORDS);
    kluis_wire_str(&b, KLUIS_STR_LIT("no\x01 record"));
    save_choice("corpus/opener", "seed-refused", 0, b.data, b.len);
    for (uint32_t layer = 0; layer < KLUIS_PACKAGE_LAYERS; layer++) {
        char name[32];
        kluis_buf_clear(&b);
        kluis_wire_label(&b, OPENED_LABEL);
        kluis_wire_u32(&b, 1);
        kluis_wire_u32(&b, layer);
        kluis_wire_str(&b, KLUIS_STR_LIT("this layer"));
        (void)snprintf(name, sizeof name, "seed-refused-%u", (unsigned)layer);
        save_choice("corpus/opener", name, 0, b.data, b.len);
    }
    kluis_buf_clear(&b);
    kluis_wire_label(&b, JUDGED_LABEL);
    kluis_sha256_of(zero, 32, sha);
    kluis_wire_field(&b, sha, 32);
    kluis_wire_u32(&b, KLUIS_VALID);
    kluis_wire_u32(&b, KLUIS_VALID);
    kluis_wire_u32(&b, KLUIS_INDETERMINATE);
    kluis_wire_u32(&b, 1);
    kluis_wire_u64(&b, FUZZ_NOW);
    kluis_wire_u64(&b, FUZZ_NOW);
    kluis_wire_field(&b, zero, 32);
    kluis_wire_str(&b, KLUIS_STR_LIT("no token"));
    save_choice("corpus/opener", "seed-judged", 1, b.data, b.len);
    kluis_buf_clear(&b);
    KLUIS_AUTO_BUF(framed, 4096);
    kluis_wire_label(&b, "chatkluis-control-v1");
    kluis_wire_str(&b, KLUIS_STR_LIT("status"));
    kluis_wire_str(&b, KLUIS_STR_LIT("--json"));
    kluis_wire_field(&framed, b.data, b.len);
    save_buf("corpus/control", "seed-01", &framed);
}

static void gate(void)
{
    KLUIS_AUTO_BUF(b, 64 << 10);
    uint8_t id[16] = { 1 };
    kluis_wire_label(&b, "chatkluis-done-v1");
    kluis_wire_u64(&b, 1);
    kluis_wire_u64(&b, 2);
    save_choice("corpus/gate_bodies", "seed-done", 0, b.data, b.len);
    kluis_buf_clear(&b);
    kluis_wire_label(&b, "chatkluis-outbox-v1");
    kluis_wire_u64(&b, 0);
    kluis_wire_str(&b, KLUIS_STR_LIT(PKI_DEVICE));
    kluis_wire_field(&b, id, 16);
    kluis_wire_str(&b, KLUIS_STR_LIT("answer"));
    save_choice("corpus/gate_bodies", "seed-outbox", 2, b.data, b.len);
    kluis_buf_clear(&b);
    KLUIS_AUTO_BUF(note, KLUIS_CHECKPOINT_MAX);
    struct kluis_tree t;
    struct kluis_checkpoint c = { .size = 3 };
    kluis_tree_init(&t);
    (void)snprintf(c.origin, sizeof c.origin, "log.test/2026");
    for (unsigned i = 0; i < 3; i++) {
        kluis_hash h;
        kluis_leaf_hash("leaf", 4, &h);
        kluis_tree_append(&t, &h, NULL, NULL);
    }
    kluis_tree_head(&t, &c.head);
    MUST(kluis_checkpoint_sign(&c, pki->log_seed, &note, NULL) == KLUIS_OK);
    kluis_wire_label(&b, "chatkluis-mirror-v1");
    kluis_wire_u64(&b, 0);
    kluis_wire_field(&b, note.data, note.len);
    kluis_wire_str(&b, KLUIS_STR_LIT("seal"));
    for (unsigned i = 0; i < 3; i++) { kluis_wire_str(&b, KLUIS_STR_LIT("leaf")); }
    save_choice("corpus/gate_bodies", "seed-mirror", 3, b.data, b.len);
    kluis_buf_clear(&b);
    kluis_wire_label(&b, "chatkluis-register-v1");
    kluis_wire_u64(&b, 0);
    for (unsigned i = 0; i < 2; i++) { kluis_wire_str(&b, KLUIS_STR_LIT("sealed entry")); }
    save_choice("corpus/gate_bodies", "seed-register", 4, b.data, b.len);
    TEXTS("route", "GET\n/v1/nonce\n", "PUT\n/v1/upload/00112233445566778899aabbccddeeff?offset=0&length=8388608\n",
          "POST\n/v1/message/00112233445566778899aabbccddeeff?upload=00112233445566778899aabbccddeeff\n", "GET\n/v1/inbox?wait=25\n",
          "GET\n/tile/0/x001/067.p/3\n", "GET\n/tile/entries/000\n", "GET\n/vault/v1/next?after=0&wait=9\n",
          "GET\n/vault/v1/upload/00112233445566778899aabbccddeeff\nbytes=10-999", "DELETE\n/v1/inbox/00112233445566778899aabbccddeeff\n",
          "PUT\n/vault/v1/device/00112233445566778899aabbccddeeff\n", "GET\n/vault/v1/mirror?from=7\nbytes=5-", "GET\n/vault/v1/register?from=7\n");
    TEXTS(
        "gate_config",
        "{\"listen\":\"127.0.0.1:8443\",\"name\":\"gate.test:8443\",\"tls_certificate\":\"tls.pem\",\"tls_key\":\"tls.pem\",\"vault_key\":\"AAECAw=="
        "\",\"log_vkey\":\"log+00+AA\","
        "\"time_authorities\":[\"http:x\",\"https:y\"],\"disk_reserve\":268435456,\"limits\":{\"threads\":2,\"queue\":100,\"upload_bytes\":1000000}}",
        "{\"tls_certificate\":\"tls.pem\",\"tls_key\":\"tls.pem\",\"vault_key\":\"AAEC\"}", "{\"limits\":{\"threads\":-1}}", "[]");
}

static void people(void)
{
    TEXTS("text", "\x00", "Aabcdefg",
          "\x01"
          "2025-03-01T12:05:00.123+01:00",
          "\x01"
          "2025-03-01T12:05:00Z",
          "\x01"
          "0001-01-01T00:00:00.000001-23:59",
          "\x02"
          "YWJjZA==",
          "\x03"
          "YWJjZA",
          "\x03"
          "AAAAAGkNqYAAAQIDBAUGBwABAgMEBQYHCAkKCwwNDg8",
          "\x04"
          "mfrggzdf",
          "\x05"
          "00ff10ab",
          "\x05"
          "Dijk \xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\x8a");
    char code[KLUIS_CODE_TEXT];
    const struct kluis_code c = { { 1, 2, 3 }, { 4, 5, 6 } };
    kluis_code_write(&c, code);
    save_choice("corpus/text", "seed-code", 0, code, strlen(code));
    TEXTS("query", "dijk", "nota over*", "\"de nota\" -klaar", "(dijk OR rivier) nota", "-(foto OR \"x y\")\nDe dijk en de nota",
          "\xe2\x80\x9e"
          "de nota\xe2\x80\x9d NOT OR AND NEAR(a b)\nx",
          "a:b ^c \"d\"\"e\" f*g\n\xc3\x89\xc3\xa9n dijk");
    TEXTS("whatsapp",
          "01-03-2025 12:05 - Berichten en oproepen worden end-to-end versleuteld.\n01-03-2025 12:05 - Anna: Goedemorgen\nTweede regel\n01-03-2025 "
          "12:06 - Bram: <Media weggelaten>\n"
          "01-03-2025 12:07 - Anna: IMG-20250301-WA0001.jpg (bestand bijgevoegd)\nbijschrift\n01-03-2025 12:08 - Bram heeft Carla toegevoegd\n",
          "[01-03-2025 12:05:09] Anna: Hallo\r\n[01-03-2025 12:06:10] Bram: \xe2\x80\x8e<bijgevoegd: 00000002-PHOTO.jpg>\r\n[01-03-2025 12:07:11] "
          "Anna: \xe2\x80\x8e"
          "Dit bericht is verwijderd.\r\n",
          "3/1/25, 2:05\xe2\x80\xaf"
          "AM - Anna: one\n3/14/25, 2:06\xe2\x80\xaf"
          "PM - Bram: two <This message was edited>\n3/14/25, 14:06 - not a header: here\n",
          "2025/03/01, 02:30 - Anna: nul\n2025/10/26, 02:30 - Bram: null\n2025/10/26, 02:15 - Anna: POLL:\nWanneer?\nOPTION: di (1 vote)\n",
          "[12:05, 01/03/2025] Anna: geplakt\n[12:06, 01/03/2025] Bram: ook\n", "\xef\xbb\xbf[2568/3/1 09:00:00] Anna: \xff\xfe kapot\n",
          "[01-03-2025 12:05:09] Werkgroep: \xe2\x80\x8e"
          "Berichten en gesprekken worden end-to-end versleuteld.\r\n"
          "[01-03-2025 12:06:10] Bram: \xe2\x80\x8e"
          "afbeelding weggelaten\r\n"
          "[01-03-2025 12:06:11] Anna: Nota dijk.pdf \xe2\x80\xa2 \xe2\x80\x8e"
          "3 pagina\xe2\x80\x99s \xe2\x80\x8e"
          "document weggelaten\r\n"
          "[01-03-2025 12:06:12] Anna: onderschrift \xe2\x80\x8eimage omitted\r\n"
          "[01-03-2025 12:06:13] Anna: \xe2\x80\x8eLocatie: https://maps.google.com/?q=52.1,5.1\r\n"
          "[01-03-2025 12:06:14] Bram: \xe2\x80\x8eGemist spraakgesprek\r\n"
          "[01-03-2025 12:06:15] Bram: \xe2\x80\x8eVoice call, \xe2\x80\x8eNo answer\r\n"
          "[01-03-2025 12:06:16] Bram: \xe2\x80\x8eVideogesprek. 3 min.\r\n"
          "[01-03-2025 12:06:17] Anna: plan B \xe2\x80\x8e<Dit bericht is bewerkt>\r\n"
          "[01-03-2025 12:06:18] Anna: bijschrift \xe2\x80\x8e<bijgevoegd: 00000003-PHOTO.jpg> \xe2\x80\x8e<Dit bericht is bewerkt>\r\n"
          "[01-03-2025 12:06:19] Anna: \xe2\x80\x8e<attached: 00000004-Nota dijk.pdf> \xe2\x80\xa2 \xe2\x80\x8e"
          "3 pages\r\n"
          "[01-03-2025 12:06:20] Bram: \xe2\x80\x8ePEILING:\r\n"
          "\xe2\x80\x8eWanneer?\r\n"
          "\xe2\x80\x8eOPTIE: di (1 stem)\r\n"
          "\xe2\x80\x8eOPTIE: wo (2 stemmen)\r\n"
          "[01-03-2025 12:06:21] \xe2\x80\x8e"
          "Bram heeft Carla toegevoegd\r\n",
          "1/3/2568 09:00 - Anna: \xe0\xb8\xab\xe0\xb8\x99\xe0\xb8\xb6\xe0\xb9\x88\xe0\xb8\x87\n"
          "1/3/68 09:01 - Bram: \xe0\xb8\xaa\xe0\xb8\xad\xe0\xb8\x87\n"
          "25/3/2568 21:02 - Anna: https://maps.google.com/?q=1,2\n",
          "[1403/12/11, 9:00:00] Anna: \xdb\x8c\xda\xa9\n"
          "[1403/12/30, 23:59:01] Bram: \xd8\xaf\xd9\x88\n"
          "[1404/7/31, 9:00:00] Anna: \xd9\x86\xd9\x87\n"
          "[1404/7/30, 9:00:00] Anna: \xe2\x80\x8e\xd8\xaa\xd8\xb5\xd9\x88\xdb\x8c\xd8\xb1 \xd8\xad\xd8\xb0\xd9\x81 \xd8\xb4\xd8\xaf\n",
          "\xe6\xb0\x91\xe5\x9c\x8b"
          "114/3/1 \xe4\xb8\x8a\xe5\x8d\x88"
          "9:00 - Anna: \xe4\xb8\x80\n"
          "114/3/25 \xe4\xb8\x8b\xe5\x8d\x88"
          "9:01 - Bram: \xe4\xba\x8c\n"
          "\xe4\xbb\xa4\xe5\x92\x8c"
          "7/3/1 9:00 - Anna: \xe4\xb8\x89\n"
          "1446/9/1 09:00 - Anna: \xd8\xa3\xd8\xb1\xd8\xa8\xd8\xb9\xd8\xa9\n",
          "\xe2\x80\x8e[01-03-2025 12:06:10] Bram: Nota dijk.pdf \xe2\x80\xa2 \xe2\x80\x8e"
          "2 pagina\xe2\x80\x99s \xe2\x80\x8e"
          "document weggelaten\r\n"
          "\xe2\x80\x8e[01-03-2025 12:06:11] Anna: Een titel zonder naam \xe2\x80\x8eiets van later\r\n"
          "\xe2\x80\x8e[01-03-2025 12:06:12] Anna: \xe2\x80\x8eiets dat niemand kent\r\n"
          "\xe2\x80\x8e[01-03-2025 12:06:13] Anna: gewone tekst\r\n"
          "[01-03-2025 12:06:14] Gemist spraakgesprek\r\n"
          "[01-03-2025 12:06:15] Gemiste video-oproep\r\n"
          "[01-03-2025 12:06:16] Je hebt de groep \xe2\x80\x9c"
          "A: b\xe2\x80\x9d gemaakt\r\n"
          "[01-03-2025 12:06:17] U hebt de groepsnaam gewijzigd van \xe2\x80\x9c"
          "A\xe2\x80\x9d in \xe2\x80\x9cKering: plan\xe2\x80\x9d\r\n"
          "[01-03-2025 12:06:18] U bent toegevoegd\r\n"
          "[01-03-2025 12:06:19] Uw beveiligingscode met Anna is gewijzigd.\r\n"
          "[01-03-2025 12:06:20] Je hebt Carla toegevoegd\r\n"
          "[01-03-2025 12:06:21] U heeft de groepsafbeelding gewijzigd\r\n",
          "01-03-2025 12:05 - Je hebt Carla toegevoegd\n"
          "01-03-2025 12:06 - U hebt deze groep gemaakt\n"
          "01-03-2025 12:07 - Anna heeft de groepsnaam gewijzigd van \"A: b\" in \"C\"\n"
          "01-03-2025 12:08 - Bram: Nota over: de dijk\xef\xbc\x9a"
          "foto.jpg\n"
          "01-03-2025 12:09 - Bram: \xe2\x80\x8e"
          "DOC-20250301-WA0003. (bestand bijgevoegd)\n"
          "01-03-2025 12:10 - Bram: <\xe9\x99\x84\xe4\xbb\xb6\xef\xbc\x9a"
          "00000004-PHOTO.jpg>\n"
          "01-03-2025 12:11 - Bram: Peiling:\nWanneer?\nOPTIE: di (1 stem)\n",
          "2025. 3. 1. \xec\x98\xa4\xec\xa0\x84 9:00, Anna : \xed\x95\x98\xeb\x82\x98\n"
          "2025. 3. 25. \xec\x98\xa4\xed\x9b\x84 9:01, Bram : \xeb\x91\x98\n");
    TEXTS("signal_json", "{\"a\":[1,-2,\"x\\u00e9\\ud83c\\udf0a\\ud800\",true,false,null,{}],\"id\":\"18446744073709551615\"}", "[]",
          "{\"name\":\"\",\"id\":1.5e3}");
    save("corpus/text", "seed-01", "\0", 1);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: fuzz_seeds tests/fuzz\n");
        return 64;
    }
    base = argv[1];
    LLVMFuzzerInitialize(&argc, &argv);
    MUST(kluis_seal_warm(NULL) == KLUIS_OK);
    char corpus[KLUIS_PATH_MAX];
    MUST(kluis_path(corpus, sizeof corpus, base, "corpus", NULL) == KLUIS_OK);
    MUST(mkdir(corpus, 0755) == 0 || access(corpus, W_OK) == 0);
    session_world_make();
    pki = pki_new(5);
    records();
    sealed();
    evidence();
    exports();
    revocation();
    certificates();
    login();
    enrolment();
    sessions();
    content();
    vault();
    gate();
    people();
    pki_free(pki);
    return 0;
}
