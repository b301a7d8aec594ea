/* media.c - which file of the export belongs to which event.
 *
 * Element calls a file "<kind>s/<name>-<date> at <time><ending>", date and time as the exporter's language and time zone have them.  Several files of
 * one name are told apart by minute and second, which zones share, then by size; else it is not guessed.
 */
#include "agent/source/matrix_export/matrix.h"

/* The last two numbers of s: minute and second, if it holds at least three. */
static bool clock_of(const char *s, size_t n, unsigned *minute, unsigned *second)
{
    unsigned v[3] = { 0 }, count = 0;
    for (size_t i = 0; i < n;) {
        if (s[i] < '0' || s[i] > '9') {
            i++;
            continue;
        }
        unsigned k = 0;
        for (; i < n && s[i] >= '0' && s[i] <= '9'; i++) { k = k > 100000 ? k : k * 10 + (unsigned)(s[i] - '0'); }
        v[0] = v[1];
        v[1] = v[2];
        v[2] = k;
        count++;
    }
    *minute = v[1];
    *second = v[2];
    return count >= 5;
}

struct found {
    uint32_t at[3], n[3]; /* any; of the same minute and second; of that and the same size, or of the same size */
};

static uint32_t look(const struct matrix *x, struct kluis_str prefix, struct kluis_str ending, int64_t sent_us, int64_t size, bool *several)
{
    const struct fileset *f = &x->files;
    struct found r = { { 0 }, { 0 } };
    unsigned minute = (unsigned)(sent_us / 60000000 % 60), second = (unsigned)(sent_us / 1000000 % 60), m, s;
    for (uint32_t i = fileset_from(f, prefix); i < f->n; i++) {
        const char *name = f->list[i].name;
        size_t n = strlen(name);
        if (n < prefix.len || memcmp(name, prefix.ptr, prefix.len) != 0) { break; }
        if (n < prefix.len + ending.len || memcmp(name + n - ending.len, ending.ptr, ending.len) != 0) { continue; }
        bool timed = sent_us >= 0 && clock_of(name + prefix.len, n - prefix.len - ending.len, &m, &s) && m == minute && s == second;
        bool sized = size >= 0 && f->list[i].size == (uint64_t)size;
        r.at[0] = i;
        r.n[0]++;
        if (timed) {
            r.at[1] = i;
            r.n[1]++;
        }
        if (sized) {
            r.at[2] = i;
            r.n[2]++;
        }
    }
    *several = false;
    for (int k = 1; k < 4; k++) {
        if (r.n[k % 3] == 1) { return r.at[k % 3]; } /* by the clock, by size, being the only one */
    }
    *several = r.n[0] > 1;
    return FILESET_NONE;
}

void matrix_file(struct matrix *x, struct build *b, struct json *content, const char *kind, struct kluis_str name, int64_t sent_us)
{
    struct kluis_attachment *a = build_attachment(b);
    struct json *info = json_object(content, "info"), *file = json_object(content, "file");
    uint64_t size = 0;
    bool several = false;
    if (a == NULL) { return; }
    a->name = build_base_name(name);
    if (a->name.len == 0) { a->name = (struct kluis_str){ NULL, 0 }; }
    a->type = json_string(info, "mimetype");
    if (json_u64(info, "size", &size) && size <= (uint64_t)KLUIS_INT_MAX_JSON) { a->size = (int64_t)size; }
    struct kluis_str url = json_string(content, "url");
    build_text(b, "attachment-1.url", url.ptr != NULL ? url : json_string(file, "url"));
    (void)json_whole(file); /* with the key of what the server holds */
    size_t dot = name.len;
    while (dot > 0 && name.ptr[dot - 1] != '.') { dot--; }
    struct kluis_str stem = dot == 0 ? name : (struct kluis_str){ name.ptr, dot - 1 };
    struct kluis_str ending = dot == 0 ? KLUIS_STR_LIT("") : (struct kluis_str){ name.ptr + dot - 1, name.len - dot + 1 };
    if (strcmp(kind, "stickers") == 0) { ending = KLUIS_STR_LIT(".png"); }
    if (json_get(content, "org.matrix.msc3245.voice") != NULL) { ending = KLUIS_STR_LIT(".ogg"); }
    struct kluis_str prefix = name.len > 1024 ? (struct kluis_str){ NULL, 0 }
                                              : build_fmt(x->scratch, "%s%s/%.*s-", x->in, kind, (int)stem.len, stem.ptr == NULL ? "" : stem.ptr);
    uint32_t i = prefix.ptr == NULL ? FILESET_NONE : look(x, prefix, ending, sent_us, a->size, &several);
    if (i == FILESET_NONE) {
        a->loss = several ? KLUIS_STR_LIT("ambiguous") : x->media_there ? KLUIS_STR_LIT("missing") : KLUIS_STR_LIT("omitted");
        return;
    }
    const struct fileset_entry *e = &x->files.list[i];
    a->source_ref = kluis_str_of(e->name);
    if (e->size != FILESET_SIZE_UNKNOWN && e->size <= (uint64_t)KLUIS_INT_MAX_JSON) { a->size = (int64_t)e->size; }
}
