/* write.c - the writer: one pass, entries in the order of FORMAT.md §4.3.
 *
 * Local headers are written over once an entry is complete, so there are no data descriptors.  Records and evidence grow side by side,
 * but entries may not interleave: evidence that outgrows memory is compressed to the far end of the file (a hole lies between) and
 * moved behind the records when these are complete.  Nothing but the caller's own file ever holds content. */
#include "entry_out.h"
#include "mdto.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>

enum stage { ATTACHMENTS, RECORDS, CLOSED_RECORDS, MANIFESTED, FINISHED, BROKEN };

static const uint64_t SPOOL_AT = (uint64_t)4 << 30; /* past any package */

struct kluis_package_writer {
    enum stage stage;
    int fd;
    struct kluis_package_meta meta; /* first_us, last_us widened to the records */
    struct form_clock clock;
    struct kluis_arena *arena; /* entry names */
    struct form_entries entries;
    struct form_attachments attachments;
    struct mdto_file *files; /* as many as payload entries before the sidecars */
    size_t n_files, cap_files;
    char dossier_id[FORM_DOSSIER_ID], part_dir[FORM_PART_DIR];
    uint64_t at, content;
    struct libdeflate_compressor *packer;
    struct entry_out out, evidence;
    struct kluis_root *root;
    uint8_t records_root[32];
    uint64_t n_records;
    struct form_loss_summary loss;
    struct kluis_buf line, work;
    uint8_t *head; /* first block of an attachment */
};

static kluis_status broken(struct kluis_package_writer *w, kluis_status rc)
{
    if (rc != KLUIS_OK) { w->stage = BROKEN; }
    return rc;
}

/* ---- entries ---------------------------------------------------------------------------------- */

static kluis_status begin_entry(struct kluis_package_writer *w, const char *name, uint16_t method, struct kluis_err *err)
{
    size_t n = strlen(name);
    assert(n > 0 && n <= KLUIS_PACKAGE_NAME_MAX);
    if (w->entries.n == KLUIS_PACKAGE_ENTRIES_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d files in one package: close the slice earlier", KLUIS_PACKAGE_ENTRIES_MAX);
    }
    char *kept = kluis_arena_strndup(w->arena, name, n);
    struct form_entry *e = kept == NULL ? NULL : form_entries_add(&w->entries);
    if (e == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a package's list of files"); }
    e->name = kept;
    e->method = method;
    e->offset = (uint32_t)w->at;
    entry_out_begin(&w->out, method, w->at + FORM_LOCAL + n, KLUIS_PACKAGE_BYTES_MAX);
    return KLUIS_OK;
}

/* Takes what `from` measured, writes the local header over the gap before the bytes. */
static kluis_status seal_entry(struct kluis_package_writer *w, const struct entry_out *from, struct kluis_err *err)
{
    struct form_entry *e = &w->entries.list[w->entries.n - 1];
    uint8_t head[FORM_LOCAL + KLUIS_PACKAGE_NAME_MAX];
    size_t n = strlen(e->name);
    e->crc = from->crc;
    e->packed = (uint32_t)from->packed;
    e->size = (uint32_t)from->size;
    w->content += from->size;
    if (w->content > KLUIS_PACKAGE_BYTES_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than 2 GiB of content: close the slice earlier"); }
    form_local(head, e, w->clock);
    memcpy(head + FORM_LOCAL, e->name, n);
    KLUIS_TRY(entry_pwrite(w->fd, head, FORM_LOCAL + n, w->at, err));
    w->at += FORM_LOCAL + n + from->packed;
    return KLUIS_OK;
}

static kluis_status end_entry(struct kluis_package_writer *w, struct kluis_err *err)
{
    KLUIS_TRY(entry_out_end(&w->out, w->entries.list[w->entries.n - 1].sha256, err));
    return seal_entry(w, &w->out, err);
}

/* A whole entry from memory; stored when deflate gains nothing. */
static kluis_status put_entry(struct kluis_package_writer *w, const char *name, const void *p, size_t n, bool stored, struct kluis_err *err)
{
    KLUIS_TRY(begin_entry(w, name, stored ? FORM_STORED : FORM_DEFLATED, err));
    struct form_entry *e = &w->entries.list[w->entries.n - 1];
    uint64_t data_at = w->out.at;
    KLUIS_TRY(entry_out_add(&w->out, p, n, err));
    KLUIS_TRY(entry_out_end(&w->out, e->sha256, err));
    if (!stored && w->out.packed >= n) {
        e->method = FORM_STORED;
        entry_out_begin(&w->out, FORM_STORED, data_at, KLUIS_PACKAGE_BYTES_MAX);
        KLUIS_TRY(entry_out_add(&w->out, p, n, err));
        KLUIS_TRY(entry_out_end(&w->out, e->sha256, err));
    }
    return seal_entry(w, &w->out, err);
}

static kluis_status put_work(struct kluis_package_writer *w, const char *name, struct kluis_err *err)
{
    KLUIS_TRY(kluis_buf_ok(&w->work, err));
    return put_entry(w, name, w->work.data, w->work.len, false, err);
}

static void dossier_path(const struct kluis_package_writer *w, char *out, size_t cap, const char *name)
{
    int n = snprintf(out, cap, "data/%.20s/%s", w->dossier_id, name);
    assert(n > 0 && (size_t)n < cap);
}

static void part_path(const struct kluis_package_writer *w, char *out, size_t cap, const char *name, const char *suffix)
{
    int n = snprintf(out, cap, "data/%.20s/%s/%s%s", w->dossier_id, w->part_dir, name, suffix);
    assert(n > 0 && (size_t)n < cap);
}

/* Remembers the entry just ended as a file that will get a sidecar. */
static kluis_status remember_file(struct kluis_package_writer *w, struct mdto_format format, struct kluis_str media_type, struct kluis_err *err)
{
    if (w->n_files == w->cap_files) {
        size_t cap = w->cap_files == 0 ? 8 : w->cap_files * 2;
        struct mdto_file *more = kluis_realloc(w->files, cap * sizeof *more);
        if (more == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a package's list of files"); }
        w->files = more;
        w->cap_files = cap;
    }
    const struct form_entry *e = &w->entries.list[w->entries.n - 1];
    struct mdto_file *f = &w->files[w->n_files++];
    *f = (struct mdto_file){ .name = strrchr(e->name, '/') + 1, .size = e->size, .format = format };
    bool plain = media_type.ptr != NULL && media_type.len > 0 && media_type.len < sizeof f->media_type;
    for (size_t i = 0; plain && i < media_type.len; i++) { plain = media_type.ptr[i] > ' ' && media_type.ptr[i] < 0x7f; }
    if (plain) { memcpy(f->media_type, media_type.ptr, media_type.len); }
    return KLUIS_OK;
}

/* ---- begin ------------------------------------------------------------------------------------ */

static bool is_duration(struct kluis_str s)
{
    /* xsd:duration of years, months, days: what a selection list can say. */
    static const char units[] = "YMD";
    size_t i = 1, unit = 0;
    if (s.ptr == NULL || s.len < 3 || s.len > 32 || s.ptr[0] != 'P') { return false; }
    while (i < s.len) {
        size_t digits = i;
        while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9') { i++; }
        if (i == digits || i == s.len) { return false; }
        while (unit < 3 && units[unit] != s.ptr[i]) { unit++; }
        if (unit++ == 3) { return false; }
        i++;
    }
    return true;
}

static kluis_status check_meta(const struct kluis_package_meta *m, struct form_clock *clock, struct kluis_err *err)
{
    const char *bad = NULL;
    if (!form_is_organisation(m->organisation)) { bad = "organisation: empty, longer than 1024 bytes, or with control characters"; }
    if (!form_is_device(m->device)) { bad = "device id: 1 to 63 letters, digits or '-' are needed"; }
    if (m->sequence == 0 || m->sequence > (uint64_t)KLUIS_INT_MAX_JSON || m->part == 0) { bad = "sequence and part count from 1"; }
    if (!form_dos_time(m->closed_us, clock)) { bad = "closing time: whole seconds between 1980 and 2107 are needed"; }
    if (m->waardering != 'B' && m->waardering != 'V' && m->waardering != 'N') { bad = "waardering: B, V or N"; }
    if (m->bewaartermijn.ptr != NULL && (m->waardering != 'V' || !is_duration(m->bewaartermijn))) {
        bad = "bewaartermijn: a duration such as P10Y, and only with V";
    }
    if ((m->first_us == KLUIS_TIME_ABSENT) != (m->last_us == KLUIS_TIME_ABSENT) || m->first_us > m->last_us) {
        bad = "period: both ends or none, in order";
    }
    const struct kluis_str utf8[] = { m->organisation_id, m->retention_class, m->retention_label };
    for (size_t i = 0; i < 3; i++) {
        if (utf8[i].len > FORM_ORGANISATION_MAX || (utf8[i].ptr != NULL && kluis_utf8_valid(utf8[i].ptr, utf8[i].len) != utf8[i].len)) {
            bad = "retention class or organisation id: too long or not UTF-8";
        }
    }
    return bad == NULL ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_REJECT, "package cannot be made: %s", bad);
}

static kluis_status prepare(struct kluis_package_writer *w, int level, struct kluis_err *err)
{
    KLUIS_TRY(check_meta(&w->meta, &w->clock, err));
    struct stat st;
    if (fstat(w->fd, &st) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot look at the package file"); }
    if (!S_ISREG(st.st_mode) || st.st_size != 0) { return KLUIS_FAIL(err, KLUIS_E_BUG, "a package is written into an empty regular file only"); }
    const struct kluis_header *h = w->meta.header;
    form_dossier_id(w->meta.device, h->platform, h->conversation_id, w->dossier_id);
    (void)snprintf(w->part_dir, sizeof w->part_dir, "deel-%llu", (unsigned long long)w->meta.sequence);
    w->arena = kluis_arena_new((size_t)16 << 20);
    w->head = kluis_malloc(ENTRY_BLOCK);
    w->root = kluis_root_new(h->salt);
    w->packer = libdeflate_alloc_compressor(level);
    if (w->arena == NULL || w->head == NULL || w->root == NULL || w->packer == NULL || w->dossier_id[0] == '\0') {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a package");
    }
    KLUIS_TRY(entry_out_init(&w->out, w->fd, level, w->packer, err));
    KLUIS_TRY(entry_out_init(&w->evidence, w->fd, level, w->packer, err));
    return put_entry(w, "mimetype", FORM_MIMETYPE, sizeof FORM_MIMETYPE - 1, true, err);
}

kluis_status kluis_package_begin(struct kluis_package_writer **out, int fd, int level, const struct kluis_package_meta *meta, struct kluis_err *err)
{
    *out = NULL;
    KLUIS_AUTO(kluis_package_writer) w = kluis_calloc(1, sizeof *w);
    if (w == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a package"); }
    w->fd = fd;
    w->meta = *meta;
    kluis_buf_init(&w->line, KLUIS_RECORD_LINE_MAX + 1);
    kluis_buf_init(&w->work, KLUIS_MANIFEST_MAX);
    KLUIS_TRY(prepare(w, level, err));
    *out = w;
    w = NULL;
    return KLUIS_OK;
}

void kluis_package_writer_free(struct kluis_package_writer *w)
{
    if (w == NULL) { return; }
    entry_out_free(&w->out);
    entry_out_free(&w->evidence);
    libdeflate_free_compressor(w->packer);
    kluis_root_free(w->root);
    kluis_arena_free(w->arena);
    kluis_buf_free(&w->line);
    kluis_buf_free(&w->work);
    kluis_free(w->entries.list);
    kluis_free(w->attachments.list);
    kluis_free(w->files);
    kluis_free(w->head);
    kluis_free(w);
}

/* ---- attachments ------------------------------------------------------------------------------ */

/* The last component of `name` in letters that every system takes, at most FORM_SAFE_MAX bytes, its extension kept. */
static void safe_name(struct kluis_str name, char out[FORM_SAFE_MAX + 1])
{
    size_t from = 0, n = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '/' || name.ptr[i] == '\\') { from = i + 1; }
    }
    char whole[KLUIS_PACKAGE_NAME_MAX * 4] = "";
    for (size_t i = from; i < name.len && n < sizeof whole - 1; i++) {
        char c = name.ptr[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
        if (!good) { c = '_'; }
        if ((c == '_' && n > 0 && whole[n - 1] == '_') || (c == '.' && n == 0)) { continue; }
        whole[n++] = c;
    }
    while (n > 0 && whole[n - 1] == '.') { n--; }
    whole[n] = '\0';
    if (n == 0) {
        (void)snprintf(out, FORM_SAFE_MAX + 1, "bijlage");
        return;
    }
    const char *dot = strrchr(whole, '.');
    size_t extension = dot == NULL || dot == whole ? 0 : strlen(dot);
    if (n > FORM_SAFE_MAX && extension > 16) { extension = 0; }
    if (n > FORM_SAFE_MAX) {
        memcpy(out, whole, FORM_SAFE_MAX - extension);
        memcpy(out + FORM_SAFE_MAX - extension, whole + n - extension, extension);
        n = FORM_SAFE_MAX;
        while (out[n - 1] == '.') { n--; }
    } else {
        memcpy(out, whole, n);
    }
    out[n] = '\0';
}

/* Is this block worth deflating?  The fastest level tells enough. */
static bool shrinks(const uint8_t *p, size_t n)
{
    uLongf packed = compressBound(n);
    uint8_t *out = kluis_malloc(packed);
    bool worth = out == NULL || compress2(out, &packed, p, n, 1) != Z_OK || packed < n - n / 20;
    kluis_free(out);
    return worth;
}

/* Fills a block as far as the input goes, so that what follows does not depend on how it is cut. */
static kluis_status fill(const struct kluis_input *in, uint8_t *p, size_t cap, size_t *n, struct kluis_err *err)
{
    *n = 0;
    while (*n < cap) {
        ssize_t got = in->read(in->ctx, p + *n, cap - *n, err);
        if (got < 0) { return err != NULL && err->code != KLUIS_OK ? err->code : KLUIS_E_IO; }
        if (got == 0) { break; }
        *n += (size_t)got;
    }
    return KLUIS_OK;
}

static kluis_status attachment(struct kluis_package_writer *w, struct kluis_str name, struct kluis_str media_type, const struct kluis_input *in,
                               uint8_t sha256[32], uint64_t *size, struct kluis_err *err)
{
    char safe[FORM_SAFE_MAX + 1], file[FORM_SAFE_MAX + 32], path[KLUIS_PACKAGE_NAME_MAX + 1];
    size_t n = 0;
    safe_name(name, safe);
    (void)snprintf(file, sizeof file, "a%zu-%s", w->attachments.n + 1, safe);
    part_path(w, path, sizeof path, file, "");
    KLUIS_TRY(fill(in, w->head, ENTRY_BLOCK, &n, err));
    struct mdto_format format = mdto_format_of(w->head, n, file);
    KLUIS_TRY(begin_entry(w, path, format.packed || !shrinks(w->head, n) ? FORM_STORED : FORM_DEFLATED, err));
    while (n > 0) {
        KLUIS_TRY(entry_out_add(&w->out, w->head, n, err));
        KLUIS_TRY(fill(in, w->head, ENTRY_BLOCK, &n, err));
    }
    struct form_entry *e = &w->entries.list[w->entries.n - 1];
    KLUIS_TRY(entry_out_end(&w->out, e->sha256, err));
    memcpy(sha256, e->sha256, 32);
    *size = w->out.size;
    if (form_attachments_find(&w->attachments, sha256) != NULL) {
        w->entries.n--; /* its bytes are overwritten by the next entry */
        return KLUIS_OK;
    }
    KLUIS_TRY(seal_entry(w, &w->out, err));
    KLUIS_TRY(form_attachments_add(&w->attachments, sha256, *size, (uint32_t)(w->entries.n - 1), err));
    return remember_file(w, format, media_type, err);
}

kluis_status kluis_package_attachment(struct kluis_package_writer *w, struct kluis_str name, struct kluis_str media_type,
                                      const struct kluis_input *in, uint8_t sha256[32], uint64_t *size, struct kluis_err *err)
{
    assert(w->stage == ATTACHMENTS);
    return broken(w, attachment(w, name, media_type, in, sha256, size, err));
}

/* ---- records and evidence --------------------------------------------------------------------- */

static kluis_status add_line(struct kluis_package_writer *w, struct kluis_err *err)
{
    KLUIS_TRY(kluis_root_add(w->root, (struct kluis_str){ (const char *)w->line.data, w->line.len - 1 }, err));
    return entry_out_add(&w->out, w->line.data, w->line.len, err);
}

static kluis_status records_begin(struct kluis_package_writer *w, struct kluis_err *err)
{
    char path[KLUIS_PACKAGE_NAME_MAX + 1];
    form_attachments_sort(&w->attachments);
    part_path(w, path, sizeof path, "records.jsonl", "");
    KLUIS_TRY(begin_entry(w, path, FORM_DEFLATED, err));
    entry_out_begin(&w->evidence, FORM_DEFLATED, SPOOL_AT, SPOOL_AT + KLUIS_PACKAGE_BYTES_MAX);
    kluis_buf_clear(&w->line);
    KLUIS_TRY(kluis_header_write(w->meta.header, &w->line, err));
    return add_line(w, err);
}

kluis_status kluis_package_records_begin(struct kluis_package_writer *w, struct kluis_err *err)
{
    assert(w->stage == ATTACHMENTS);
    w->stage = RECORDS;
    return broken(w, records_begin(w, err));
}

static kluis_status record(struct kluis_package_writer *w, const struct kluis_record *r, struct kluis_bytes raw, struct kluis_err *err)
{
    if (w->n_records == KLUIS_PACKAGE_RECORDS_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d records in one package: close the slice earlier", KLUIS_PACKAGE_RECORDS_MAX);
    }
    struct kluis_record kept = *r;
    kept.evidence = raw.ptr == NULL ? 0 : raw.len;
    kluis_buf_clear(&w->line);
    KLUIS_TRY(kluis_record_write(&kept, w->meta.header, &w->line, err));
    KLUIS_TRY(form_attachments_name(&w->attachments, r, err));
    KLUIS_TRY(form_loss_count(&w->loss, r, err));
    KLUIS_TRY(add_line(w, err));
    if (kept.evidence > 0) { KLUIS_TRY(entry_out_add(&w->evidence, raw.ptr, raw.len, err)); }
    w->n_records++;
    if (r->sent.us != KLUIS_TIME_ABSENT) {
        if (w->meta.first_us == KLUIS_TIME_ABSENT || r->sent.us < w->meta.first_us) { w->meta.first_us = r->sent.us; }
        if (w->meta.last_us == KLUIS_TIME_ABSENT || r->sent.us > w->meta.last_us) { w->meta.last_us = r->sent.us; }
    }
    return KLUIS_OK;
}

kluis_status kluis_package_record(struct kluis_package_writer *w, const struct kluis_record *r, struct kluis_bytes raw, struct kluis_err *err)
{
    assert(w->stage == RECORDS);
    return broken(w, record(w, r, raw, err));
}

/* Evidence that is still in memory is compressed to its place; what was spilled is moved there from the far end. */
static kluis_status place_evidence(struct kluis_package_writer *w, struct kluis_err *err)
{
    char path[KLUIS_PACKAGE_NAME_MAX + 1];
    part_path(w, path, sizeof path, "evidence.bin", "");
    KLUIS_TRY(begin_entry(w, path, FORM_DEFLATED, err));
    bool spilled = !w->evidence.gathers;
    if (!spilled) {
        w->evidence.at = w->out.at;
        w->evidence.ceiling = KLUIS_PACKAGE_BYTES_MAX;
    }
    KLUIS_TRY(entry_out_end(&w->evidence, w->entries.list[w->entries.n - 1].sha256, err));
    uint64_t left = spilled ? w->evidence.packed : 0, from = SPOOL_AT, to = w->out.at;
    if (to + left > KLUIS_PACKAGE_BYTES_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "the package would be larger than 2 GiB: close the slice earlier");
    }
    while (left > 0) {
        size_t n = left < ENTRY_BLOCK ? (size_t)left : ENTRY_BLOCK;
        KLUIS_TRY(kluis_pread_all(w->fd, w->head, n, from, "package", err));
        KLUIS_TRY(entry_pwrite(w->fd, w->head, n, to, err));
        from += n;
        to += n;
        left -= n;
    }
    KLUIS_TRY(seal_entry(w, &w->evidence, err));
    return remember_file(w, (struct mdto_format){ NULL, NULL, false, false }, KLUIS_STR_LIT("application/octet-stream"), err);
}

static kluis_status records_end(struct kluis_package_writer *w, struct kluis_err *err)
{
    static const struct mdto_format json = { "JSON Data Interchange Format", "fmt/817", true, false };
    char path[KLUIS_PACKAGE_NAME_MAX + 1];
    if (w->n_records == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "a package without records is not made"); }
    KLUIS_TRY(form_attachments_all_named(&w->attachments, err));
    KLUIS_TRY(end_entry(w, err));
    KLUIS_TRY(remember_file(w, json, (struct kluis_str){ NULL, 0 }, err));
    kluis_root_end(w->root, w->records_root);
    if (w->evidence.size > 0) { KLUIS_TRY(place_evidence(w, err)); }
    if (kluis_io_ftruncate(w->fd, w->at) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot cut the package file"); }
    kluis_buf_clear(&w->work);
    form_loss_json(&w->loss, w->meta.header, &w->work);
    part_path(w, path, sizeof path, "loss.json", "");
    KLUIS_TRY(put_work(w, path, err));
    return remember_file(w, json, (struct kluis_str){ NULL, 0 }, err);
}

kluis_status kluis_package_records_end(struct kluis_package_writer *w, uint8_t records_root[32], struct kluis_err *err)
{
    assert(w->stage == RECORDS);
    w->stage = CLOSED_RECORDS;
    kluis_status rc = broken(w, records_end(w, err));
    if (rc == KLUIS_OK) { memcpy(records_root, w->records_root, 32); }
    return rc;
}

/* ---- sidecars, tags, manifest ----------------------------------------------------------------- */

static kluis_status sidecars(struct kluis_package_writer *w, struct kluis_err *err)
{
    char path[KLUIS_PACKAGE_NAME_MAX + 1], name[FORM_PART_DIR + 16];
    struct mdto_scope s = { &w->meta, w->dossier_id };
    for (size_t i = 0; i < w->n_files; i++) {
        /* The files are entries 1 … n, directly behind mimetype. */
        w->files[i].sha256 = w->entries.list[i + 1].sha256;
        kluis_buf_clear(&w->work);
        mdto_bestand(&s, &w->files[i], &w->work);
        part_path(w, path, sizeof path, w->files[i].name, FORM_SIDECAR);
        KLUIS_TRY(put_work(w, path, err));
    }
    kluis_buf_clear(&w->work);
    mdto_archiefstuk(&s, w->files, w->n_files, &w->work);
    part_path(w, path, sizeof path, w->part_dir, ".mdto.xml");
    KLUIS_TRY(put_work(w, path, err));
    kluis_buf_clear(&w->work);
    mdto_dossier(&s, &w->work);
    (void)snprintf(name, sizeof name, "%.20s.mdto.xml", w->dossier_id);
    dossier_path(w, path, sizeof path, name);
    return put_work(w, path, err);
}

static kluis_status tags(struct kluis_package_writer *w, struct kluis_err *err)
{
    struct form_bag bag = { .organisation = w->meta.organisation,
                            .device = w->meta.device,
                            .sequence = w->meta.sequence,
                            .part = w->meta.part,
                            .closed_us = w->meta.closed_us,
                            .first_us = w->meta.first_us,
                            .last_us = w->meta.last_us,
                            .records = w->n_records };
    memcpy(bag.previous, w->meta.previous, 32);
    memcpy(bag.records_root, w->records_root, 32);
    for (size_t i = 1; i < w->entries.n; i++) {
        bag.payload_bytes += w->entries.list[i].size;
        bag.payload_files++;
    }
    KLUIS_TRY(put_entry(w, "bagit.txt", FORM_BAGIT, sizeof FORM_BAGIT - 1, false, err));
    kluis_buf_clear(&w->work);
    form_bag_info(&bag, &w->work);
    KLUIS_TRY(put_work(w, "bag-info.txt", err));
    kluis_buf_clear(&w->work);
    form_payload_manifest(&w->entries, &w->work);
    KLUIS_TRY(put_work(w, "manifest-sha256.txt", err));
    kluis_buf_clear(&w->work);
    form_tag_manifest(&w->entries, &w->work);
    KLUIS_TRY(put_work(w, "tagmanifest-sha256.txt", err));
    kluis_buf_clear(&w->work);
    form_asic_manifest(&w->entries, &w->work);
    return put_work(w, FORM_ASIC_MANIFEST, err);
}

kluis_status kluis_package_manifest(struct kluis_package_writer *w, struct kluis_buf *manifest, struct kluis_err *err)
{
    assert(w->stage == CLOSED_RECORDS);
    w->stage = MANIFESTED;
    kluis_status rc = sidecars(w, err);
    if (rc == KLUIS_OK) { rc = tags(w, err); }
    if (rc == KLUIS_OK) {
        kluis_buf_add(manifest, w->work.data, w->work.len);
        rc = kluis_buf_ok(manifest, err);
    }
    return broken(w, rc);
}

static kluis_status finish(struct kluis_package_writer *w, struct kluis_bytes p7s, uint8_t package_id[32], uint64_t *size, struct kluis_err *err)
{
    KLUIS_TRY(put_entry(w, FORM_SIGNATURE, p7s.ptr, p7s.len, false, err));
    kluis_buf_clear(&w->work);
    for (size_t i = 0; i < w->entries.n; i++) {
        uint8_t central[FORM_CENTRAL];
        form_central(central, &w->entries.list[i], w->clock);
        kluis_buf_add(&w->work, central, sizeof central);
        kluis_buf_cstr(&w->work, w->entries.list[i].name);
    }
    uint8_t end[FORM_END];
    form_end(end, w->entries.n, (uint32_t)w->work.len, (uint32_t)w->at);
    kluis_buf_add(&w->work, end, sizeof end);
    KLUIS_TRY(kluis_buf_ok(&w->work, err));
    if (w->at + w->work.len > KLUIS_PACKAGE_BYTES_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "the package would be larger than 2 GiB: close the slice earlier");
    }
    KLUIS_TRY(entry_pwrite(w->fd, w->work.data, w->work.len, w->at, err));
    w->at += w->work.len;
    if (kluis_io_ftruncate(w->fd, w->at) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot cut the package file"); }
    KLUIS_AUTO(kluis_sha256) sha = kluis_sha256_new();
    if (sha == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a digest"); }
    for (uint64_t at = 0; at < w->at;) {
        size_t n = w->at - at < ENTRY_BLOCK ? (size_t)(w->at - at) : ENTRY_BLOCK;
        KLUIS_TRY(kluis_pread_all(w->fd, w->head, n, at, "package", err));
        kluis_sha256_add(sha, w->head, n);
        at += n;
    }
    kluis_sha256_end(sha, package_id);
    *size = w->at;
    return KLUIS_OK;
}

kluis_status kluis_package_finish(struct kluis_package_writer *w, struct kluis_bytes p7s, uint8_t package_id[32], uint64_t *size,
                                  struct kluis_err *err)
{
    assert(w->stage == MANIFESTED);
    w->stage = FINISHED;
    if (p7s.ptr == NULL || p7s.len == 0) { return broken(w, KLUIS_FAIL(err, KLUIS_E_REJECT, "a package is not finished without a signature")); }
    return broken(w, finish(w, p7s, package_id, size, err));
}
