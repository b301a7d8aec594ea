/* A backup file of Signal on Android: its head and SQL as bytes; statements behind the right MAC; cells of every type of row; damage at any place of
 * a file. */
#include <errno.h>
#include <gcrypt.h>
#include <sqlite3.h>

#include "agent/source/signal_android/backup.h"
#include "tests/fuzz/source_sink.h"

static struct sa_keys keys;
static struct sa_header head;
static int fd = -1;

static const char *const tables[] = {
    "CREATE TABLE message (_id INTEGER PRIMARY KEY AUTOINCREMENT, date_sent INTEGER, date_received INTEGER, thread_id INTEGER, from_recipient_id "
    "INTEGER, "
    "to_recipient_id INTEGER, type INTEGER, body TEXT, message_ranges BLOB, link_previews TEXT, shared_contacts TEXT, message_extras BLOB, quote_id "
    "INTEGER, "
    "quote_author INTEGER, quote_body TEXT, quote_mentions BLOB, original_message_id INTEGER, latest_revision_id INTEGER, revision_number INTEGER)",
    "CREATE TABLE recipient (_id INTEGER PRIMARY KEY, aci TEXT UNIQUE, e164 TEXT, group_id TEXT, profile_given_name TEXT)",
    "CREATE TABLE thread (_id INTEGER PRIMARY KEY, recipient_id INTEGER)",
    "CREATE TABLE groups (_id INTEGER PRIMARY KEY, group_id TEXT, title TEXT, master_key BLOB, members TEXT)",
};

/* What stands beside a message; and messages with marks that a plain one lacks. */
static const char *const beside[] = {
    "ALTER TABLE message ADD COLUMN deleted_by INTEGER DEFAULT 0",
    "ALTER TABLE message ADD COLUMN view_once INTEGER DEFAULT 0",
    "ALTER TABLE message ADD COLUMN pinned_until INTEGER DEFAULT 0",
    "ALTER TABLE message ADD COLUMN pinned_at INTEGER DEFAULT 0",
    "ALTER TABLE message ADD COLUMN scheduled_date INTEGER DEFAULT -1",
    "ALTER TABLE message ADD COLUMN story_type INTEGER DEFAULT 0",
    "ALTER TABLE message ADD COLUMN parent_story_id INTEGER DEFAULT 0",
    "CREATE TABLE mention(_id INTEGER PRIMARY KEY, message_id INTEGER, recipient_id INTEGER, range_start INTEGER, range_length INTEGER)",
    "CREATE TABLE attachment(_id INTEGER PRIMARY KEY, message_id INTEGER, content_type TEXT, file_name TEXT, caption TEXT, data_size INTEGER, "
    "data_hash_end TEXT, quote INTEGER, sticker_pack_id TEXT, sticker_id INTEGER, sticker_emoji TEXT, voice_note INTEGER, borderless INTEGER, "
    "video_gif INTEGER, transfer_state INTEGER)",
    "CREATE TABLE reaction(_id INTEGER PRIMARY KEY, message_id INTEGER, author_id INTEGER, emoji TEXT, date_sent INTEGER)",
    "CREATE TABLE group_receipts(_id INTEGER PRIMARY KEY, mms_id INTEGER, address INTEGER, status INTEGER, timestamp INTEGER)",
    "CREATE TABLE call(_id INTEGER PRIMARY KEY, call_id INTEGER, message_id INTEGER, event INTEGER, ringer INTEGER, read INTEGER)",
    "CREATE TABLE poll(_id INTEGER PRIMARY KEY, message_id INTEGER, question TEXT, allow_multiple_votes INTEGER, end_message_id INTEGER)",
    "CREATE TABLE poll_option(_id INTEGER PRIMARY KEY, poll_id INTEGER, option_text TEXT, option_order INTEGER)",
    "CREATE TABLE poll_vote(_id INTEGER PRIMARY KEY, poll_id INT, poll_option_id INT, voter_id INT, vote_count INT, vote_state INT)",
};
static const char *const fill[] = {
    "INSERT INTO message(date_sent, date_received, thread_id, from_recipient_id, to_recipient_id, type, body, deleted_by, view_once, pinned_until, "
    "pinned_at, scheduled_date, story_type, original_message_id, revision_number) SELECT date_sent + v.column1, date_received + v.column1, "
    "thread_id, "
    "from_recipient_id, to_recipient_id, type, body, v.column2, v.column3, v.column4, 5, v.column5, v.column6, v.column7, v.column1 "
    "FROM message, (VALUES(1,0,0,0,-1,0,NULL), (2,1,0,0,-1,0,NULL), (3,3,0,0,-1,0,NULL), (4,0,1,0,-1,0,NULL), (5,0,0,9,-1,0,NULL), "
    "(6,0,0,9223372036854775807,-1,0,NULL), (7,0,0,0,8,0,NULL), (8,0,0,0,-1,1,NULL), (9,0,0,0,-1,0,1), (10,0,0,0,-1,0,1)) v WHERE _id <= 2",
    "UPDATE message SET latest_revision_id=(SELECT max(_id) FROM message) WHERE original_message_id IS NOT NULL AND _id < (SELECT max(_id) FROM "
    "message)",
    "INSERT INTO mention SELECT NULL, _id, 3, _id % 4, 2 FROM message",
    "INSERT INTO attachment SELECT NULL, _id, CASE WHEN _id % 5 = 0 THEN 'text/x-signal-plain' ELSE 'image/png' END, body, body, 9, "
    "hex(zeroblob(22)), _id % 3 = 0, NULL, NULL, NULL, _id % 2, _id % 3, _id % 4, 0 FROM message WHERE _id % 7 <> 1",
    "INSERT INTO attachment SELECT NULL, _id, 'image/webp', NULL, NULL, 9, NULL, 0, hex(zeroblob(16)), 3, body, 0, 0, 0, 0 FROM message WHERE _id % "
    "7 "
    "= 1",
    "INSERT INTO reaction SELECT NULL, _id, 1, body, 1760000000002 FROM message",
    "INSERT INTO group_receipts SELECT NULL, _id, 3, _id % 6 - 1, 7 FROM message",
    "INSERT INTO call SELECT NULL, _id, _id, _id % 11, 3, 1 FROM message",
    "INSERT INTO poll SELECT _id, _id, body, 1, _id % 2 FROM message WHERE _id % 11 = 0",
    "INSERT INTO poll_option SELECT NULL, _id, question, 1 FROM poll",
    "INSERT INTO poll_vote SELECT NULL, poll_id, _id, 3, 1, column1 FROM poll_option, (VALUES(0), (1), (2), (3))",
};

/* ---- a file with right MACs, made here ---- */

struct made {
    struct kluis_buf out;
    uint32_t counter;
};

static void ctr(uint32_t counter, uint8_t *p, size_t n)
{
    uint8_t block[SA_IV];
    gcry_cipher_hd_t c;
    memcpy(block, head.iv, SA_IV);
    for (int i = 0; i < 4; i++) { block[i] = (uint8_t)(counter >> (24 - 8 * i)); }
    MUST(gcry_cipher_open(&c, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_CTR, 0) == 0 && gcry_cipher_setkey(c, keys.cipher, SA_KEY) == 0);
    MUST(gcry_cipher_setctr(c, block, SA_IV) == 0 && gcry_cipher_encrypt(c, p, n, NULL, 0) == 0);
    gcry_cipher_close(c);
}

static void put_frame(struct made *m, const uint8_t *p, size_t n)
{
    uint8_t mac[32], length[4];
    const size_t at = m->out.len, all = n + SA_MAC;
    for (int i = 0; i < 4; i++) { length[i] = (uint8_t)(all >> (24 - 8 * i)); }
    kluis_buf_add(&m->out, length, 4);
    kluis_buf_add(&m->out, p, n);
    MUST(m->out.status == KLUIS_OK);
    ctr(m->counter++, m->out.data + at, n + 4);
    MUST(kluis_hmac_sha256(keys.mac, SA_KEY, m->out.data + at, n + 4, mac, NULL) == KLUIS_OK);
    kluis_buf_add(&m->out, mac, SA_MAC);
}

static void put_statement(struct made *m, const char *sql, const uint8_t *more, size_t n)
{
    KLUIS_AUTO_BUF(b, 1 << 20);
    const size_t len = strlen(sql), inner = 3 + len + n;
    const uint8_t frame[] = { 0x12, (uint8_t)(0x80 | (inner & 0x7f)), (uint8_t)(0x80 | ((inner >> 7) & 0x7f)), (uint8_t)(inner >> 14) };
    const uint8_t text[] = { 0x0a, (uint8_t)(0x80 | (len & 0x7f)), (uint8_t)(len >> 7) };
    kluis_buf_add(&b, frame, sizeof frame);
    kluis_buf_add(&b, text, sizeof text);
    kluis_buf_add(&b, sql, len);
    if (n > 0) { kluis_buf_add(&b, more, n); }
    MUST(b.status == KLUIS_OK);
    put_frame(m, b.data, b.len);
}

/* ---- reading ---- */

static void read_rows(struct sa_rows *rows, struct sa_files *files)
{
    static const char *const none[] = { NULL };
    static const struct signal_form form = { .kind = "signal-android", .app = "Signal for Android", .loss = none };
    struct model m;
    struct source_seen seen = { 0 };
    struct kluis_err err = { 0 };
    kluis_buf_init(&seen.lines, 64 << 20);
    const struct source_sink sink = SOURCE_SINK(&seen);
    kluis_status rc = sa_rows_begin(rows, &err);
    if (rc == KLUIS_OK) {
        model_init(&m, "fuzz", "backup");
        m.frames = sa_rows_frames(rows);
        if (files != NULL) { m.media = sa_media(files); }
        rc = model_read(&m, &form, &sink, &err);
    }
    MUST(rc == err.code && rc != KLUIS_E_BUG && rc != KLUIS_E_IO && (rc != KLUIS_OK || !seen.open));
    sa_rows_end(rows);
    kluis_buf_free(&seen.lines);
}

static void read_file(const uint8_t *p, size_t n)
{
    struct sa_stream s;
    struct sa_replay r = { 0 };
    struct kluis_err err = { 0 };
    MUST(kluis_io_ftruncate(fd, 0) == 0 && kluis_io_pwrite(fd, p, n, 0) == (ssize_t)n);
    head.end = 0;
    MUST(sa_stream_open(&s, fd, "fuzz", &head, &keys, &err) == KLUIS_OK);
    kluis_status rc = sa_replay(&r, &s, &err);
    MUST(rc == err.code && rc != KLUIS_E_BUG && rc != KLUIS_E_IO);
    if (rc == KLUIS_OK) {
        struct sa_rows rows = { .path = "fuzz", .db = r.db, .version = r.version, .replay = &r };
        struct sa_files files = { &s, r.db };
        read_rows(&rows, &files);
    }
    kluis_scratch_sqlite_close(r.db);
    sa_stream_close(&s);
}

void fuzz_setup(void)
{
    char path[KLUIS_PATH_MAX];
    MUST(setenv("TMPDIR", fuzz_dir(), 1) == 0);
    MUST(kluis_path(path, sizeof path, fuzz_dir(), "it.backup", NULL) == KLUIS_OK);
    fd = fuzz_file(path);
    memset(&keys, 7, sizeof keys);
    memset(head.iv, 9, sizeof head.iv);
    head.version = 1;
}

static void cells(const uint8_t *p, size_t n)
{
    static const int64_t types[] = { 0xa00014, 0xa00017,    0xa90014,    0xa90017,    0xae0017,    0xa40014,    0xa10014,    0x214,      0x4014,
                                     1,        2,           8,           12,          7,           14,          16,          18,         9,
                                     13,       0x100a00014, 0x200a00014, 0x300a00014, 0xc00a00017, 0xd00a00017, 0xa00a00014, 0xe00a00014 };
    struct kluis_db *db;
    struct sqlite3_stmt *st;
    MUST(kluis_scratch_work(&db, NULL) == KLUIS_OK);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) { MUST(kluis_db_exec(db, tables[i], NULL) == KLUIS_OK); }
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) { MUST(kluis_db_exec(db, beside[i], NULL) == KLUIS_OK); }
    MUST(kluis_db_exec(db,
                       "CREATE TABLE k_damage(id INTEGER PRIMARY KEY, at INTEGER, number INTEGER, why INTEGER);"
                       "INSERT INTO recipient VALUES(1,'e1e1e1e1-0000-4000-8000-000000000001','+31600000001',NULL,'S'),"
                       "(3,'e1e1e1e1-0000-4000-8000-000000000003',NULL,NULL,'J'),(5,NULL,NULL,'g','G');"
                       "INSERT INTO groups VALUES(1,'g','G',NULL,'1,3'); INSERT INTO thread VALUES(7,3),(8,5)",
                       NULL) == KLUIS_OK);
    MUST(
        sqlite3_prepare_v2(
            kluis_db_handle(db),
            "INSERT INTO message(date_sent, date_received, thread_id, from_recipient_id, to_recipient_id, type, body, message_ranges, link_previews, "
            "shared_contacts, message_extras, quote_id, quote_author, quote_body, quote_mentions) "
            "VALUES(1760000000000, 1760000000001, ?1, 3, 1, ?2, ?3, ?3, ?3, CASE WHEN ?4 % 3 = 0 THEN ?3 END, ?5, ?4, 3, ?3, ?5)",
            -1, &st, NULL) == SQLITE_OK);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        MUST(sqlite3_bind_int(st, 1, i % 2 == 0 ? 7 : 8) == SQLITE_OK && sqlite3_bind_int64(st, 2, types[i]) == SQLITE_OK);
        MUST(sqlite3_bind_text(st, 3, (const char *)p, (int)n, SQLITE_STATIC) == SQLITE_OK && sqlite3_bind_int(st, 4, (int)i) == SQLITE_OK);
        MUST(sqlite3_bind_blob(st, 5, p, (int)n, SQLITE_STATIC) == SQLITE_OK);
        MUST(sqlite3_step(st) == SQLITE_DONE && sqlite3_reset(st) == SQLITE_OK);
    }
    MUST(sqlite3_finalize(st) == SQLITE_OK);
    for (size_t i = 0; i < sizeof fill / sizeof *fill; i++) { MUST(kluis_db_exec(db, fill[i], NULL) == KLUIS_OK); }
    const struct sa_replay replay = { .db = db, .version = 290 };
    struct sa_rows rows = { .path = "fuzz", .db = db, .version = 290, .replay = &replay };
    read_rows(&rows, NULL);
    kluis_scratch_sqlite_close(db);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const uint8_t end[] = { 0x30, 1 };
    static struct sa_statement st;
    struct sa_header h;
    struct made m = { .counter = 0x09090909 };
    switch (fuzz_which(&p, &n, 4)) {
    case 0: /* the head, and a statement's text */
        (void)sa_header_read((struct kluis_bytes){ p, n }, &h);
        sa_sql_read((struct kluis_str){ (const char *)p, n }, &st);
        MUST(st.n <= SA_COLUMNS_MAX + 1 && memchr(st.name, 0, sizeof st.name) != NULL);
        break;
    case 1: /* frames that Signal would have written */
    case 2: /* the same with bytes turned: the input is xored on the file */
        kluis_buf_init(&m.out, 8 << 20);
        for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) { put_statement(&m, tables[i], NULL, 0); }
        put_statement(&m, "INSERT INTO recipient VALUES (?,?,?,?,?)", p, n > 4096 ? 4096 : n);
        put_statement(&m, "INSERT INTO thread VALUES (?,?)", (const uint8_t *)"\x12\x02\x10\x07\x12\x02\x10\x03", 8);
        if (n > 0) { put_frame(&m, p, n); }
        put_statement(&m, "INSERT INTO recipient VALUES (?,?,?,?,?)",
                      (const uint8_t *)"\x12\x02\x10\x03\x12\x02\x28\x01\x12\x02\x28\x01\x12\x02\x28\x01\x12\x03\x0a\x01J", 21);
        put_frame(&m, end, sizeof end);
        for (size_t i = 0; n > 2 && p[0] % 2 == 1 && i < n && i < m.out.len; i++) {
            m.out.data[(i * 7 + p[1]) % m.out.len] ^= p[i] % 64 == 0 ? p[i] : 0;
        }
        read_file(m.out.data, m.out.len);
        kluis_buf_free(&m.out);
        break;
    default: cells(p, n); break;
    }
    return 0;
}
