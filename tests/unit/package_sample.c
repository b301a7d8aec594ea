/* package_sample.c - makes the sample package through the public writer. */
#include "package_sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

enum { SAMPLE_ATTACHMENT = 4 << 20, SAMPLE_TEXT = 4096 };

#define S(text) KLUIS_STR_LIT(text)

int sample_file(void)
{
    char name[] = "/tmp/kluis-package-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(kluis_io_unlink(name), 0);
    return fd;
}

static void ok(kluis_status rc, const struct kluis_err *err)
{
    if (rc != KLUIS_OK) { fail_msg("%s: %s (%s)", kluis_status_name(rc), err->msg, err->where); }
}

int sample_package(const struct sample_options *o, uint8_t id[32], uint8_t root[32], struct kluis_buf *bytes)
{
    static const struct kluis_party parties[] = { { .name = { "J. de Vries <jan>", 17 }, .number = { "+31600000001", 12 } },
                                                  { .name = { "Samira & co", 11 } } };
    static const uint32_t members[] = { 0, 1 };
    static const struct kluis_str losses[] = { { "edits", 5 }, { "reactions", 9 } };
    static const struct kluis_str own_loss[] = { { "view-once", 9 } };
    struct kluis_header h = { .platform = S("whatsapp"),
                              .conversation_id = S("c-1"),
                              .conversation_name = S("Dijkoverleg <noord>"),
                              .type = KLUIS_GROUP,
                              .parties = parties,
                              .n_parties = 2,
                              .participants = members,
                              .n_participants = 2,
                              .self = 0,
                              .provenance = { .source = S("whatsapp-text"), .reader = S("chatkluis test") },
                              .zone = KLUIS_ZONE_ASSUMED,
                              .zone_name = S("Europe/Amsterdam"),
                              .precision = KLUIS_PRECISION_MINUTE,
                              .loss = losses,
                              .n_loss = 2 };
    memset(h.salt, 0x5a, sizeof h.salt);
    struct kluis_package_meta m = { .header = &h,
                                    .organisation = S("Ministerie van Voorbeelden & Proeven"),
                                    .organisation_id = S("OIN-00000001"),
                                    .device = S("00112233445566778899aabbccddeeff"),
                                    .sequence = 7,
                                    .retention_class = S("4.2"),
                                    .retention_label = S("Overleg"),
                                    .waardering = o->waardering != 0 ? o->waardering : 'N',
                                    .first_us = 1740830700000000,
                                    .last_us = 1740830700000000,
                                    .closed_us = 1743458401000000,
                                    .part = 2 };
    memset(m.previous, 0x11, sizeof m.previous);
    if (m.waardering == 'V') { m.bewaartermijn = S("P10Y"); }
    struct kluis_err err = { 0 };
    int fd = sample_file();
    KLUIS_AUTO(kluis_package_writer) w = NULL;
    ok(kluis_package_begin(&w, fd, o->level != 0 ? o->level : 6, &m, &err), &err);
    struct kluis_attachment files[3] = { { .name = S("../foto dijk.jpg"), .type = S("image/jpeg"), .size = -1 },
                                         { .name = S("verslag.txt"), .type = S("text/plain"), .size = -1 },
                                         { .size = -1, .loss = S("omitted") } };
    static uint8_t photo[SAMPLE_ATTACHMENT];
    static char report[SAMPLE_ATTACHMENT], text[SAMPLE_TEXT], raw[SAMPLE_TEXT + 128];
    size_t photo_len = o->attachment_bytes != 0 ? o->attachment_bytes : 3000, report_len = o->attachment_bytes != 0 ? o->attachment_bytes : 5000;
    assert_in_range(photo_len, 13, sizeof photo);
    assert_in_range(o->text_bytes, 0, sizeof text - 1);
    uint64_t seed = 88172645463325252u;
    for (size_t i = 0; i < photo_len; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        photo[i] = (uint8_t)seed;
    }
    memcpy(photo, "\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01", 13);
    for (size_t i = 0; i < report_len; i++) { report[i] = "verslag van het overleg\n"[i % 24]; }
    if (o->attachments) {
        struct kluis_input_mem one = { { photo, photo_len }, 0 }, two = { { (const uint8_t *)report, report_len }, 0 };
        struct kluis_input in = kluis_input_from_mem(&one), in2 = kluis_input_from_mem(&two);
        uint64_t size = 0;
        ok(kluis_package_attachment(w, files[0].name, files[0].type, &in, files[0].sha256, &size, &err), &err);
        files[0].size = (int64_t)size;
        ok(kluis_package_attachment(w, files[1].name, files[1].type, &in2, files[1].sha256, &size, &err), &err);
        files[1].size = (int64_t)size;
        files[0].has_sha256 = files[1].has_sha256 = true;
        if (o->attachment_twice) {
            struct kluis_input_mem again = { { photo, photo_len }, 0 };
            struct kluis_input in3 = kluis_input_from_mem(&again);
            uint8_t same[32];
            ok(kluis_package_attachment(w, S("kopie.jpg"), files[0].type, &in3, same, &size, &err), &err);
            assert_memory_equal(same, files[0].sha256, 32);
        }
    }
    ok(kluis_package_records_begin(w, &err), &err);
    unsigned n = o->records != 0 ? o->records : 5;
    for (unsigned i = 0; i < n; i++) {
        int len = snprintf(text, sizeof text, "Bericht nummer %u over de dijk \xf0\x9f\x91\x8d", i * 7919 % 1000);
        if ((size_t)len < o->text_bytes) {
            memset(text + len, 'w', o->text_bytes - (size_t)len);
            len = (int)o->text_bytes;
            text[len] = '\0';
        }
        int raw_len = snprintf(raw, sizeof raw, "01-03-2025 13:%02u - Samira: %s\n", i % 60, text);
        struct kluis_record r = { .author = i % 2,
                                  .sent = { 1740830700000000 + (int64_t)i * 60000000, 60 },
                                  .zone = KLUIS_ZONE_ASSUMED,
                                  .text = { text, (size_t)len },
                                  .target_author = KLUIS_NO_PARTY,
                                  .target_sent = { KLUIS_TIME_ABSENT, 0 } };
        if (i == 1) {
            r.attachments = files;
            r.n_attachments = 3;
            r.loss = own_loss;
            r.n_loss = 1;
        }
        ok(kluis_package_record(w, &r, o->evidence ? (struct kluis_bytes){ (const uint8_t *)raw, (size_t)raw_len } : (struct kluis_bytes){ NULL, 0 },
                                &err),
           &err);
    }
    ok(kluis_package_records_end(w, root, &err), &err);
    KLUIS_AUTO_BUF(manifest, KLUIS_MANIFEST_MAX);
    ok(kluis_package_manifest(w, &manifest, &err), &err);
    const char *p7s = o->p7s != NULL ? o->p7s : "not a signature: the package module does not judge it";
    uint64_t size = 0;
    ok(kluis_package_finish(w, (struct kluis_bytes){ (const uint8_t *)p7s, strlen(p7s) }, id, &size, &err), &err);
    if (bytes != NULL) {
        uint8_t *p = kluis_buf_reserve(bytes, (size_t)size);
        assert_non_null(p);
        ok(kluis_pread_all(fd, p, (size_t)size, 0, "sample", &err), &err);
        bytes->len += (size_t)size;
    }
    return fd;
}
