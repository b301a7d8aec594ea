/* read.c - the reader: one forward pass that knows at every point which file must come next (FORMAT.md §4.3).
 *
 * Container and list of files are judged at once and end the pass.  A record or sidecar that is wrong is remembered and the pass goes on,
 * muted, because what it shows may come from a broken list of digests further on: the refusal then names that. */
#include "read.h"
#include "kluis/ledger.h"
#include "sidecar.h"
#include "zip_in.h"

#include <assert.h>

enum { SIDECAR_MAX = KLUIS_MANIFEST_MAX, SIGNATURE_MAX = 1 << 20, HEADER_ARENA = 32 << 20, RECORD_ARENA = 32 << 20 };
enum { BATCH = 256, BATCHES = KLUIS_PACKAGE_RECORDS_MAX / BATCH + 1 }; /* BATCH lines are worth a job; header and records fit BATCHES */

/* Lines under the records' root as a job of the lane's. */
struct batch {
    const uint8_t *salt;
    uint64_t first;
    struct kluis_tree leaves;
    kluis_status rc;
};

struct reader {
    struct zip_in zip;
    const struct kluis_package_sink *sink;
    struct kluis_package_facts *facts;
    bool muted, exports; /* exports: what a vault adds may follow */
    kluis_status later;  /* first broken of the layers that do not end the pass */
    enum kluis_package_layer later_layer;
    struct kluis_err later_err;
    char dossier_dir[FORM_DOSSIER_DIR], part_dir[FORM_PART_DIR];
    struct form_attachments attachments;
    size_t n_files; /* entries 1 … n_files are the files of the part */
    struct kluis_arena *header_arena, *record_arena;
    struct kluis_header header;
    struct kluis_root *root;
    struct batch *batches; /* BATCHES of them, once the lane is wanted; behind the root until it has settled */
    size_t n_batches;
    uint64_t n_records, evidence;
    int64_t first_us, last_us; /* of the records */
    struct form_loss_summary loss;
    struct kluis_record record; /* of the line at hand: clearing some hundred bytes twice a line is a tenth of its reading */
    struct kluis_err line_err;
    struct kluis_buf partial; /* a line cut by the end of a block */
    struct kluis_buf body;    /* a small entry, whole */
    struct kluis_buf want;
    struct sidecar_scope scope;
};

static bool is_verdict(kluis_status rc) { return rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT; }

static struct form_entry *current(struct reader *r) { return &r->zip.entries.list[r->zip.entries.n - 1]; }

/* Ends the pass with a verdict of this layer. */
static kluis_status stop(struct reader *r, enum kluis_package_layer layer, kluis_status rc)
{
    if (is_verdict(rc)) { r->facts->failed = layer; }
    return rc;
}
#define CONTAINER(expr) KLUIS_TRY(stop(r, KLUIS_LAYER_CONTAINER, (expr)))

static kluis_status unlisted(struct reader *r, struct kluis_err *err, const char *why)
{
    return stop(r, KLUIS_LAYER_MANIFESTS, KLUIS_FAIL(err, KLUIS_E_REJECT, "file %zu of the package: %s", r->zip.entries.n, why));
}

/* Keeps a verdict for the end; anything else is returned at once. */
static kluis_status defer(struct reader *r, enum kluis_package_layer layer, kluis_status rc, const struct kluis_err *e, struct kluis_err *err)
{
    if (rc == KLUIS_OK) { return KLUIS_OK; }
    if (!is_verdict(rc)) {
        if (err != NULL && err->code == KLUIS_OK) { *err = *e; }
        return rc;
    }
    if (r->later == KLUIS_OK || layer < r->later_layer) {
        r->later = rc;
        r->later_layer = layer;
        r->later_err = *e;
    }
    r->muted = true;
    return KLUIS_OK;
}

/* ---- entries ---------------------------------------------------------------------------------- */

static kluis_status next(struct reader *r, struct kluis_err *err)
{
    kluis_status rc = zip_in_next(&r->zip, err);
    if (rc == KLUIS_END) { return unlisted(r, err, "the package ends before its last file"); }
    return stop(r, KLUIS_LAYER_CONTAINER, rc);
}

/* What the lane was given is done: digests stand in their entries, the records' root has all its leaves. */
static kluis_status settle(struct reader *r, struct kluis_err *err)
{
    if (r->n_batches > 0) { kluis_lane_wait(r->zip.lane); } /* before others, so that this thread shares in them */
    zip_in_settle(&r->zip);
    for (size_t i = 0; i < r->n_batches; i++) {
        if (r->batches[i].rc != KLUIS_OK) { return KLUIS_FAIL(err, r->batches[i].rc, "out of memory for the records' root"); }
        kluis_root_join(r->root, &r->batches[i].leaves);
    }
    r->n_batches = 0;
    return KLUIS_OK;
}

static kluis_status expect(struct reader *r, const char *name, struct kluis_err *err)
{
    return strcmp(current(r)->name, name) == 0 ? KLUIS_OK : unlisted(r, err, "not the file that belongs at this place");
}

/* A body callback whose own failure is not the container's. */
struct body {
    struct reader *r;
    zip_in_fn *fn;
    kluis_status rc;
};

static kluis_status on_body(void *ctx, const uint8_t *p, size_t n, struct kluis_err *err)
{
    struct body *b = ctx;
    const struct kluis_package_sink *s = b->r->sink;
    if (s != NULL && s->entry_data != NULL && !b->r->muted) { b->rc = s->entry_data(s->ctx, p, n, err); }
    if (b->rc == KLUIS_OK && b->fn != NULL) { b->rc = b->fn(b->r, p, n, err); }
    return b->rc;
}

/* later: the digest is not asked for before settle. */
static kluis_status consume(struct reader *r, bool later, zip_in_fn *fn, struct kluis_err *err)
{
    const struct kluis_package_sink *s = r->sink;
    struct body b = { r, fn, KLUIS_OK };
    const char *name = current(r)->name;
    if (s != NULL && s->entry_begin != NULL && !r->muted) { KLUIS_TRY(s->entry_begin(s->ctx, name, err)); }
    kluis_status rc = zip_in_body(&r->zip, later, on_body, &b, err);
    if (b.rc != KLUIS_OK) { return b.rc; }
    CONTAINER(rc);
    if (s != NULL && s->entry_end != NULL && !r->muted) {
        KLUIS_TRY(settle(r, err));
        const struct form_entry *e = current(r);
        KLUIS_TRY(s->entry_end(s->ctx, name, e->size, e->sha256, err));
    }
    return KLUIS_OK;
}

static kluis_status keep(void *ctx, const uint8_t *p, size_t n, struct kluis_err *err)
{
    struct reader *r = ctx;
    (void)err;
    kluis_buf_add(&r->body, p, n);
    return KLUIS_OK;
}

/* A whole entry of at most `max` bytes into r->body. */
static kluis_status collect(struct reader *r, size_t max, struct kluis_err *err)
{
    kluis_buf_clear(&r->body);
    if (current(r)->size > max) {
        return stop(r, KLUIS_LAYER_CONTAINER,
                    KLUIS_FAIL(err, KLUIS_E_LIMIT, "file %zu of the package is larger than %zu bytes", r->zip.entries.n, max));
    }
    KLUIS_TRY(consume(r, false, keep, err));
    return kluis_buf_ok(&r->body, err);
}

static kluis_status collect_next(struct reader *r, const char *name, size_t max, struct kluis_err *err)
{
    KLUIS_TRY(next(r, err));
    KLUIS_TRY(expect(r, name, err));
    return collect(r, max, err);
}

static bool body_is(const struct reader *r, const void *p, size_t n) { return r->body.len == n && memcmp(r->body.data, p, n) == 0; }

static void part_path(const struct reader *r, char out[KLUIS_PACKAGE_NAME_MAX + 64], const char *name, const char *suffix)
{
    (void)snprintf(out, KLUIS_PACKAGE_NAME_MAX + 64, "data/%s/%s/%s%s", r->dossier_dir, r->part_dir, name, suffix);
}

/* The name of a file of the part: what follows data/<dossier>/<part>/. */
static const char *file_name(const struct form_entry *e) { return strrchr(e->name, '/') + 1; }

/* ---- records ---------------------------------------------------------------------------------- */

static void leaves_of(void *ctx, const uint8_t *p, size_t n)
{
    struct batch *b = ctx;
    b->rc = kluis_root_part(b->salt, b->first, (struct kluis_str){ (const char *)p, n }, &b->leaves, NULL);
}

/* The good lines of [p, p + n) under the records' root, by the lane.  They are the next BATCH, or the last. */
static kluis_status share_leaves(struct reader *r, const uint8_t *p, size_t n, struct kluis_err *err)
{
    if (r->batches == NULL) { r->batches = kluis_calloc(BATCHES, sizeof *r->batches); }
    if (r->batches == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for the records' root"); }
    assert(r->n_batches < BATCHES); /* record_line counts */
    struct batch *b = &r->batches[r->n_batches];
    b->salt = r->header.salt;
    b->first = r->n_batches++ * BATCH;
    kluis_lane_share(r->zip.lane, leaves_of, b, p, n);
    return KLUIS_OK;
}

static kluis_status header_line(struct reader *r, struct kluis_str line, struct kluis_err *err)
{
    KLUIS_TRY(kluis_header_read(line, r->header_arena, &r->header, err));
    r->root = kluis_root_new(r->header.salt);
    return r->root != NULL ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for the records' root");
}

static kluis_status record_line(struct reader *r, struct kluis_str line, struct kluis_record *rec, struct kluis_err *err)
{
    if (r->n_records == KLUIS_PACKAGE_RECORDS_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d records in one package", KLUIS_PACKAGE_RECORDS_MAX);
    }
    kluis_arena_clear(r->record_arena);
    KLUIS_TRY(kluis_record_read(line, &r->header, r->record_arena, rec, err));
    KLUIS_TRY(form_attachments_name(&r->attachments, rec, err));
    KLUIS_TRY(form_loss_count(&r->loss, rec, err));
    r->evidence += rec->evidence;
    if (r->evidence > KLUIS_PACKAGE_BYTES_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than 2 GiB of evidence"); }
    if (rec->sent.us != KLUIS_TIME_ABSENT) {
        if (r->first_us == KLUIS_TIME_ABSENT || rec->sent.us < r->first_us) { r->first_us = rec->sent.us; }
        if (r->last_us == KLUIS_TIME_ABSENT || rec->sent.us > r->last_us) { r->last_us = rec->sent.us; }
    }
    r->n_records++;
    return KLUIS_OK;
}

static kluis_status one_line(struct reader *r, struct kluis_str line, struct kluis_err *err)
{
    if (r->muted) { return KLUIS_OK; } /* already refused: only the digests still count */
    const struct kluis_package_sink *s = r->sink;
    struct kluis_err *e = &r->line_err; /* set once at most: after that the reader is muted or ends */
    if (r->root == NULL) {
        KLUIS_TRY(defer(r, KLUIS_LAYER_RECORDS, header_line(r, line, e), e, err));
        if (!r->muted && s != NULL && s->header != NULL) { return s->header(s->ctx, &r->header, line, err); }
        return KLUIS_OK;
    }
    kluis_status rc = record_line(r, line, &r->record, e);
    if (rc != KLUIS_OK) { kluis_err_prefix(e, "line %llu of records.jsonl", (unsigned long long)r->n_records + 2); }
    KLUIS_TRY(defer(r, KLUIS_LAYER_RECORDS, rc, e, err));
    if (!r->muted && s != NULL && s->record != NULL) { return s->record(s->ctx, &r->record, r->n_records, line, err); }
    return KLUIS_OK;
}

static kluis_status refuse_records(struct reader *r, const char *why, struct kluis_err *err)
{
    struct kluis_err e = { .code = KLUIS_OK };
    kluis_status rc = KLUIS_FAIL(&e, KLUIS_E_REJECT, "records.jsonl: %s", why);
    return defer(r, KLUIS_LAYER_RECORDS, rc, &e, err);
}

static kluis_status lines(void *ctx, const uint8_t *p, size_t n, struct kluis_err *err)
{
    struct reader *r = ctx;
    const bool share = zip_in_stays(&r->zip); /* all lines are here, then */
    const uint8_t *good = p;                  /* if so: from here to p are good ones that nobody makes leaves of yet */
    while (n > 0 && !r->muted) {
        const uint8_t *end = memchr(p, '\n', n);
        size_t part = end == NULL ? n : (size_t)(end - p);
        const bool cut = end == NULL || r->partial.len > 0;
        struct kluis_str line = { (const char *)p, part };
        if (cut) {
            kluis_buf_add(&r->partial, p, part);
            if (r->partial.status == KLUIS_E_LIMIT) { return refuse_records(r, "a line of more than 4 MiB", err); }
            KLUIS_TRY(kluis_buf_ok(&r->partial, err));
            line = (struct kluis_str){ (const char *)r->partial.data, r->partial.len };
        }
        if (end == NULL) { break; }
        KLUIS_TRY(one_line(r, line, err));
        if (!share && !r->muted) { KLUIS_TRY(kluis_root_add(r->root, line, err)); }
        p += part + 1;
        n -= part + 1;
        kluis_buf_clear(&r->partial);
        if (share && !r->muted && (r->n_records + 1) % BATCH == 0) { /* the header is a line, too */
            KLUIS_TRY(share_leaves(r, good, (size_t)(p - good), err));
            good = p;
        }
    }
    return share && !r->muted && p > good ? share_leaves(r, good, (size_t)(p - good), err) : KLUIS_OK;
}

static kluis_status read_records(struct reader *r, struct kluis_err *err)
{
    form_attachments_sort(&r->attachments);
    KLUIS_TRY(consume(r, true, lines, err));
    if (r->partial.len > 0) { KLUIS_TRY(refuse_records(r, "the last line does not end", err)); }
    if (r->n_records == 0) { KLUIS_TRY(refuse_records(r, "no record", err)); }
    if (r->muted) { return KLUIS_OK; }
    struct kluis_err e = { .code = KLUIS_OK };
    return defer(r, KLUIS_LAYER_RECORDS, form_attachments_all_named(&r->attachments, &e), &e, err);
}

/* ---- the files of the part -------------------------------------------------------------------- */

/* The first path says how dossier and part are called; every later one must agree. */
static kluis_status learn_directories(struct reader *r, struct kluis_err *err)
{
    const char *name = current(r)->name;
    const size_t dossier = FORM_DOSSIER_DIR - 1;
    if (strlen(name) < 5 + dossier + 1 || strncmp(name, "data/gesprek-", 13) != 0 || name[5 + dossier] != '/') {
        return unlisted(r, err, "not in data/gesprek-…/");
    }
    memcpy(r->dossier_dir, name + 5, dossier);
    const char *part = name + 5 + dossier + 1, *slash = strchr(part, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - part);
    if (n < 6 || n >= sizeof r->part_dir || strncmp(part, "deel-", 5) != 0) { return unlisted(r, err, "not in data/gesprek-…/deel-…/"); }
    memcpy(r->part_dir, part, n);
    r->scope = (struct sidecar_scope){ .part = r->part_dir, .dossier_dir = r->dossier_dir };
    return KLUIS_OK;
}

static kluis_status read_attachments(struct reader *r, struct kluis_err *err)
{
    char path[KLUIS_PACKAGE_NAME_MAX + 64], prefix[24];
    KLUIS_TRY(next(r, err));
    KLUIS_TRY(learn_directories(r, err));
    for (size_t number = 1;; number++) {
        part_path(r, path, "records.jsonl", "");
        if (strcmp(current(r)->name, path) == 0) { break; }
        (void)snprintf(prefix, sizeof prefix, "a%zu-", number);
        part_path(r, path, prefix, "");
        size_t n = strlen(path);
        const struct form_entry *e = current(r);
        if (strncmp(e->name, path, n) != 0 || e->name[n] == '\0' || strchr(e->name + n, '/') != NULL || strlen(e->name + n) > FORM_SAFE_MAX) {
            return unlisted(r, err, "neither the next attachment nor records.jsonl");
        }
        KLUIS_TRY(consume(r, true, NULL, err));
        KLUIS_TRY(next(r, err));
    }
    KLUIS_TRY(settle(r, err));
    for (size_t i = 1; i + 1 < r->zip.entries.n; i++) { /* between mimetype and records.jsonl */
        const struct form_entry *e = &r->zip.entries.list[i];
        KLUIS_TRY(form_attachments_add(&r->attachments, e->sha256, e->size, (uint32_t)i, err));
    }
    return KLUIS_OK;
}

static bool twice(const struct form_attachments *a)
{
    for (size_t i = 1; i < a->n; i++) { /* sorted by digest */
        if (memcmp(a->list[i - 1].sha256, a->list[i].sha256, 32) == 0) { return true; }
    }
    return false;
}

static kluis_status read_evidence_and_loss(struct reader *r, struct kluis_err *err)
{
    char path[KLUIS_PACKAGE_NAME_MAX + 64];
    struct kluis_err e = { .code = KLUIS_OK };
    KLUIS_TRY(next(r, err));
    part_path(r, path, "evidence.bin", "");
    uint64_t size = 0;
    if (strcmp(current(r)->name, path) == 0) {
        size = current(r)->size;
        KLUIS_TRY(consume(r, true, NULL, err));
        KLUIS_TRY(next(r, err));
        if (size == 0) { return unlisted(r, err, "an empty evidence.bin before it"); }
    }
    if (!r->muted && size != r->evidence) { KLUIS_TRY(refuse_records(r, "the records' evidence lengths do not add up to evidence.bin", err)); }
    part_path(r, path, "loss.json", "");
    KLUIS_TRY(expect(r, path, err));
    KLUIS_TRY(collect(r, SIDECAR_MAX, err));
    r->n_files = r->zip.entries.n - 1;
    if (r->muted) { return KLUIS_OK; }
    kluis_buf_clear(&r->want);
    form_loss_json(&r->loss, &r->header, &r->want);
    KLUIS_TRY(kluis_buf_ok(&r->want, err));
    if (body_is(r, r->want.data, r->want.len)) { return KLUIS_OK; }
    kluis_status rc = KLUIS_FAIL(&e, KLUIS_E_REJECT, "loss.json does not say what the records say");
    return defer(r, KLUIS_LAYER_METADATA, rc, &e, err);
}

static kluis_status read_sidecars(struct reader *r, struct kluis_err *err)
{
    char path[KLUIS_PACKAGE_NAME_MAX + 64];
    KLUIS_TRY(settle(r, err));
    const char **names = kluis_calloc(r->n_files, sizeof *names);
    if (names == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for the names of %zu files", r->n_files); }
    kluis_status rc = KLUIS_OK;
    for (size_t i = 0; i < r->n_files && rc == KLUIS_OK; i++) {
        struct kluis_err e = { .code = KLUIS_OK };
        names[i] = file_name(&r->zip.entries.list[i + 1]);
        part_path(r, path, names[i], FORM_SIDECAR);
        rc = collect_next(r, path, SIDECAR_MAX, err);
        const struct form_entry *f = &r->zip.entries.list[i + 1]; /* the list may have moved */
        if (rc == KLUIS_OK) {
            rc = defer(r, KLUIS_LAYER_METADATA, sidecar_bestand(kluis_buf_bytes(&r->body), names[i], f->size, f->sha256, &r->scope, &e), &e, err);
        }
    }
    part_path(r, path, r->part_dir, ".mdto.xml");
    if (rc == KLUIS_OK) { rc = collect_next(r, path, SIDECAR_MAX, err); }
    if (rc == KLUIS_OK) {
        struct kluis_err e = { .code = KLUIS_OK };
        rc = defer(r, KLUIS_LAYER_METADATA, sidecar_archiefstuk(kluis_buf_bytes(&r->body), names, r->n_files, &r->scope, &e), &e, err);
    }
    kluis_free(names);
    KLUIS_TRY(rc);
    struct kluis_err e = { .code = KLUIS_OK };
    (void)snprintf(path, sizeof path, "data/%s/%s.mdto.xml", r->dossier_dir, r->dossier_dir);
    KLUIS_TRY(collect_next(r, path, SIDECAR_MAX, err));
    return defer(r, KLUIS_LAYER_METADATA, sidecar_dossier(kluis_buf_bytes(&r->body), &r->scope, &e), &e, err);
}

/* ---- tags ------------------------------------------------------------------------------------- */

static const char *bag_difference(struct reader *r, const struct form_bag *b, const char *dossier)
{
    char part[FORM_PART_DIR], source[FORM_DEVICE_MAX + 32];
    struct form_clock clock;
    uint8_t root[32];
    uint64_t bytes = 0, files = 0;
    for (size_t i = 1; i < r->zip.entries.n && strncmp(r->zip.entries.list[i].name, "data/", 5) == 0; i++, files++) {
        bytes += r->zip.entries.list[i].size;
    }
    kluis_root_end(r->root, root);
    (void)snprintf(part, sizeof part, "deel-%llu", (unsigned long long)b->sequence);
    (void)snprintf(source, sizeof source, "Chatkluis-apparaat %.*s", (int)b->device.len, b->device.ptr);
    if (b->payload_bytes != bytes || b->payload_files != files) { return "Payload-Oxum"; }
    if (b->records != r->n_records) { return "Chatkluis-Records"; }
    if (memcmp(b->records_root, root, 32) != 0) { return "Chatkluis-Records-Root"; }
    if (strcmp(part, r->part_dir) != 0) { return "Chatkluis-Sequence"; }
    if (strcmp(source, r->scope.source) != 0) { return "Chatkluis-Device"; }
    if (strcmp(dossier, r->scope.dossier) != 0) { return "the Dossier's identificatie"; }
    if (!kluis_str_is(b->organisation, r->scope.creator)) { return "Source-Organization"; }
    if (!form_dos_time(b->closed_us, &clock) || clock.time != r->zip.clock.time || clock.date != r->zip.clock.date) { return "Chatkluis-Closed"; }
    if (r->first_us != KLUIS_TIME_ABSENT && (b->first_us == KLUIS_TIME_ABSENT || r->first_us < b->first_us || r->last_us > b->last_us)) {
        return "Chatkluis-First or -Last";
    }
    return NULL;
}

static kluis_status bag_info(struct reader *r, struct kluis_err *err)
{
    struct form_bag b;
    KLUIS_TRY(form_bag_info_read((struct kluis_str){ (const char *)r->body.data, r->body.len }, &b, err));
    struct kluis_package_facts *f = r->facts;
    memcpy(f->device, b.device.ptr, b.device.len);
    f->device[b.device.len] = '\0';
    f->sequence = b.sequence;
    memcpy(f->previous, b.previous, 32);
    f->first_us = b.first_us;
    f->last_us = b.last_us;
    f->closed_us = b.closed_us;
    f->content_bytes = b.payload_bytes;
    if (r->muted) { return KLUIS_OK; }
    char dossier[FORM_DOSSIER_ID];
    form_dossier_id(b.device, r->header.platform, r->header.conversation_id, dossier);
    if (dossier[0] == '\0') { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a dossier id"); }
    const char *what = bag_difference(r, &b, dossier);
    return what == NULL ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_REJECT, "bag-info.txt and the rest of the package differ: %s", what);
}

static kluis_status must_list(struct reader *r, const char *name, void (*form)(const struct form_entries *, struct kluis_buf *),
                              struct kluis_err *err)
{
    /* What it must say depends on the files before it, so it is made before its own entry is read. */
    kluis_buf_clear(&r->want);
    form(&r->zip.entries, &r->want);
    KLUIS_TRY(kluis_buf_ok(&r->want, err));
    KLUIS_TRY(collect_next(r, name, KLUIS_MANIFEST_MAX, err));
    if (body_is(r, r->want.data, r->want.len)) { return KLUIS_OK; }
    return stop(r, KLUIS_LAYER_MANIFESTS, KLUIS_FAIL(err, KLUIS_E_REJECT, "%s does not list exactly the files and digests it must", name));
}

static kluis_status read_tags(struct reader *r, struct kluis_err *err)
{
    struct kluis_err e = { .code = KLUIS_OK };
    KLUIS_TRY(collect_next(r, "bagit.txt", SIDECAR_MAX, err));
    if (!body_is(r, FORM_BAGIT, sizeof FORM_BAGIT - 1)) {
        return stop(r, KLUIS_LAYER_MANIFESTS, KLUIS_FAIL(err, KLUIS_E_REJECT, "bagit.txt is not that of BagIt 1.0"));
    }
    KLUIS_TRY(collect_next(r, "bag-info.txt", SIDECAR_MAX, err));
    KLUIS_TRY(defer(r, KLUIS_LAYER_METADATA, bag_info(r, &e), &e, err));
    KLUIS_TRY(must_list(r, "manifest-sha256.txt", form_payload_manifest, err));
    KLUIS_TRY(must_list(r, "tagmanifest-sha256.txt", form_tag_manifest, err));
    KLUIS_TRY(must_list(r, FORM_ASIC_MANIFEST, form_asic_manifest, err));
    kluis_buf_add(&r->facts->manifest, r->body.data, r->body.len);
    KLUIS_TRY(kluis_buf_ok(&r->facts->manifest, err));
    KLUIS_TRY(collect_next(r, FORM_SIGNATURE, SIGNATURE_MAX, err));
    if (r->body.len == 0) { return unlisted(r, err, "an empty signature"); }
    kluis_buf_add(&r->facts->signature, r->body.data, r->body.len);
    return kluis_buf_ok(&r->facts->signature, err);
}

/* ---- what an export adds ------------------------------------------------------------------------ */

bool kluis_export_covers(const char *name)
{
    return strcmp(name, "mimetype") != 0 && strcmp(name, FORM_EVIDENCE_MANIFEST) != 0 && strcmp(name, FORM_EVIDENCE) != 0;
}

static kluis_status keep_body(struct reader *r, struct kluis_buf *to, struct kluis_err *err)
{
    kluis_buf_add(to, r->body.data, r->body.len);
    return kluis_buf_ok(to, err);
}

/* The entry whose header was just read must be this list of all before it. */
static kluis_status added_list(struct reader *r, const char *name, void (*form)(const struct form_entries *, struct kluis_buf *),
                               struct kluis_err *err)
{
    const struct form_entries before = { r->zip.entries.list, r->zip.entries.n - 1, 0 };
    if (strcmp(current(r)->name, name) != 0) { return unlisted(r, err, "a file that no manifest lists"); }
    kluis_buf_clear(&r->want);
    form(&before, &r->want);
    KLUIS_TRY(kluis_buf_ok(&r->want, err));
    KLUIS_TRY(collect(r, KLUIS_MANIFEST_MAX, err));
    if (body_is(r, r->want.data, r->want.len)) { return KLUIS_OK; }
    return stop(r, KLUIS_LAYER_MANIFESTS, KLUIS_FAIL(err, KLUIS_E_REJECT, "%s does not list exactly the files and digests it must", name));
}

static kluis_status added_body(struct reader *r, const char *name, size_t max, struct kluis_buf *to, struct kluis_err *err)
{
    KLUIS_TRY(collect_next(r, name, max, err));
    if (r->body.len == 0) { return unlisted(r, err, "an empty signature or evidence record"); }
    return keep_body(r, to, err);
}

/* KLUIS_END when the directory begins. */
static kluis_status read_additions(struct reader *r, struct kluis_err *err)
{
    KLUIS_TRY(zip_in_fork(&r->zip, err));
    KLUIS_TRY(stop(r, KLUIS_LAYER_CONTAINER, zip_in_next(&r->zip, err)));
    KLUIS_TRY(added_list(r, FORM_SEAL_MANIFEST, form_seal_manifest, err));
    KLUIS_TRY(keep_body(r, &r->facts->seal_manifest, err));
    KLUIS_TRY(added_body(r, FORM_SEAL, SIGNATURE_MAX, &r->facts->seal, err));
    const size_t covered = r->zip.entries.n;
    KLUIS_TRY(stop(r, KLUIS_LAYER_CONTAINER, zip_in_next(&r->zip, err)));
    KLUIS_TRY(added_list(r, FORM_EVIDENCE_MANIFEST, form_evidence_manifest, err));
    KLUIS_TRY(added_body(r, FORM_EVIDENCE, KLUIS_EXPORT_EVIDENCE_MAX, &r->facts->evidence, err));
    for (size_t i = 0; i < covered; i++) {
        if (kluis_export_covers(r->zip.entries.list[i].name)) { kluis_buf_add(&r->facts->group, r->zip.entries.list[i].sha256, 32); }
    }
    KLUIS_TRY(kluis_buf_ok(&r->facts->group, err));
    return stop(r, KLUIS_LAYER_CONTAINER, zip_in_next(&r->zip, err));
}

/* ---- the pass --------------------------------------------------------------------------------- */

static kluis_status pass(struct reader *r, struct kluis_err *err)
{
    struct kluis_package_facts *f = r->facts;
    CONTAINER(zip_in_next(&r->zip, err));
    const struct form_entry *first = current(r);
    if (strcmp(first->name, "mimetype") != 0 || first->method != FORM_STORED) {
        return stop(r, KLUIS_LAYER_CONTAINER, KLUIS_FAIL(err, KLUIS_E_REJECT, "not a package: the first entry is not a stored mimetype"));
    }
    KLUIS_TRY(collect(r, 64, err));
    if (!body_is(r, FORM_MIMETYPE, sizeof FORM_MIMETYPE - 1)) {
        return stop(r, KLUIS_LAYER_CONTAINER, KLUIS_FAIL(err, KLUIS_E_REJECT, "not a package: another media type than ASiC-E"));
    }
    KLUIS_TRY(read_attachments(r, err));
    KLUIS_TRY(read_records(r, err));
    if (!r->muted && twice(&r->attachments)) { KLUIS_TRY(refuse_records(r, "an attachment is stored twice", err)); }
    KLUIS_TRY(read_evidence_and_loss(r, err));
    KLUIS_TRY(read_sidecars(r, err));
    KLUIS_TRY(read_tags(r, err));
    kluis_status rc = r->exports ? read_additions(r, err) : zip_in_next(&r->zip, err);
    if (rc == KLUIS_OK) { return unlisted(r, err, "a file that no manifest lists"); }
    if (rc != KLUIS_END) { return r->exports ? rc : stop(r, KLUIS_LAYER_CONTAINER, rc); }
    CONTAINER(zip_in_end(&r->zip, f->id, &f->size, err));
    if (f->seal.len > 0) { zip_in_inner(&r->zip, f->id, &f->size); }
    if (r->later != KLUIS_OK) {
        if (err != NULL && err->code == KLUIS_OK) { *err = r->later_err; }
        return stop(r, r->later_layer, r->later);
    }
    kluis_root_end(r->root, f->records_root);
    f->n_records = r->n_records;
    f->n_attachments = r->attachments.n;
    return KLUIS_OK;
}

void kluis_package_facts_init(struct kluis_package_facts *f)
{
    *f = (struct kluis_package_facts){ .first_us = KLUIS_TIME_ABSENT, .last_us = KLUIS_TIME_ABSENT, .closed_us = KLUIS_TIME_ABSENT };
    kluis_buf_init(&f->manifest, KLUIS_MANIFEST_MAX);
    kluis_buf_init(&f->signature, SIGNATURE_MAX);
    kluis_buf_init(&f->seal_manifest, KLUIS_MANIFEST_MAX);
    kluis_buf_init(&f->seal, SIGNATURE_MAX);
    kluis_buf_init(&f->evidence, KLUIS_EXPORT_EVIDENCE_MAX);
    kluis_buf_init(&f->group, 32 * (size_t)(KLUIS_PACKAGE_ENTRIES_MAX + KLUIS_EXPORT_ENTRIES));
}

void kluis_package_facts_clear(struct kluis_package_facts *f)
{
    kluis_buf_free(&f->manifest);
    kluis_buf_free(&f->signature);
    kluis_buf_free(&f->seal_manifest);
    kluis_buf_free(&f->seal);
    kluis_buf_free(&f->evidence);
    kluis_buf_free(&f->group);
    kluis_package_facts_init(f);
}

static kluis_status read_all(const struct kluis_input *in, struct kluis_lane *lane, const struct kluis_package_sink *sink, bool exports,
                             struct package_shape *shape, struct kluis_package_facts *facts, struct kluis_err *err)
{
    kluis_package_facts_clear(facts);
    struct reader *r = kluis_calloc(1, sizeof *r);
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for reading a package"); }
    r->sink = sink;
    r->exports = exports;
    r->facts = facts;
    r->first_us = r->last_us = KLUIS_TIME_ABSENT;
    kluis_buf_init(&r->partial, KLUIS_RECORD_LINE_MAX);
    kluis_buf_init(&r->body, SIDECAR_MAX);
    kluis_buf_init(&r->want, KLUIS_MANIFEST_MAX);
    r->header_arena = kluis_arena_new(HEADER_ARENA);
    r->record_arena = kluis_arena_new(RECORD_ARENA);
    kluis_status rc = zip_in_init(&r->zip, in, lane, err);
    if (rc == KLUIS_OK && (r->header_arena == NULL || r->record_arena == NULL)) {
        rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for reading a package");
    }
    if (rc == KLUIS_OK) { rc = pass(r, err); }
    if (rc == KLUIS_OK && shape != NULL) {
        *shape = (struct package_shape){ r->zip.entries, r->zip.arena, r->zip.clock };
        r->zip.entries = (struct form_entries){ NULL, 0, 0 };
        r->zip.arena = NULL;
    }
    kluis_lane_wait(lane); /* after a refusal it may still be at it */
    zip_in_free(&r->zip);
    kluis_free(r->attachments.list);
    kluis_root_free(r->root);
    kluis_free(r->batches);
    kluis_arena_free(r->header_arena);
    kluis_arena_free(r->record_arena);
    kluis_buf_free(&r->partial);
    kluis_buf_free(&r->body);
    kluis_buf_free(&r->want);
    kluis_free(r);
    return rc;
}

kluis_status kluis_package_read(const struct kluis_input *in, const struct kluis_package_sink *sink, struct kluis_package_facts *facts,
                                struct kluis_err *err)
{
    return read_all(in, NULL, sink, false, NULL, facts, err);
}

kluis_status kluis_export_read(const struct kluis_input *in, struct kluis_lane *lane, const struct kluis_package_sink *sink,
                               struct kluis_package_facts *facts, struct kluis_err *err)
{
    return read_all(in, lane, sink, true, NULL, facts, err);
}

kluis_status package_read_shape(const struct kluis_input *in, struct package_shape *shape, struct kluis_package_facts *facts, struct kluis_err *err)
{
    return read_all(in, NULL, NULL, false, shape, facts, err);
}
