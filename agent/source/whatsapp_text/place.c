/* place.c - where a chat stands: a text with its media beside it, or a zip; and what is refused of a zip.
 *
 * A zip is read through its central directory.  Refused, each with one line: absolute paths and "..", encrypted entries, a
 * directory that promises absurdly more than the file can hold, two texts of the same name.  Nothing is unpacked to disk.
 */
#include "wa.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { RATIO_MAX = 200, FOLDER_FILES_MAX = 65536 };
static const uint64_t RATIO_FROM = 64u << 20;       /* bytes before a ratio says anything */
static const uint64_t CHAT_MAX = (uint64_t)8 << 30; /* one chat's text */

static uint32_t hash(const char *p, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++) { h = (h ^ (unsigned char)p[i]) * 16777619u; }
    return h ^ h >> 13;
}

static const char *base_of(const char *path)
{
    const char *s = strrchr(path, '/');
    return s == NULL ? path : s + 1;
}

static bool ends_with(const char *s, const char *ext)
{
    size_t n = strlen(s), k = strlen(ext);
    if (n < k) { return false; }
    for (size_t i = 0; i < k; i++) {
        char c = s[n - k + i];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != ext[i]) { return false; }
    }
    return true;
}

/* Nothing that could leave a folder, whatever system unpacks it. */
static bool path_safe(const char *p)
{
    if (p[0] == '/' || p[0] == '\\' || p[0] == 0) { return false; }
    if (((p[0] >= 'A' && p[0] <= 'Z') || (p[0] >= 'a' && p[0] <= 'z')) && p[1] == ':') { return false; }
    for (const char *s = p; *s != 0;) {
        size_t k = strcspn(s, "/\\");
        if (k == 2 && s[0] == '.' && s[1] == '.') { return false; }
        s += k;
        if (*s != 0) { s++; }
    }
    return true;
}

/* How sure a .txt is the chat: 3 _chat.txt, 2 a name with WhatsApp in it, 1 any. */
static int chat_rank(const char *name)
{
    const char *b = base_of(name);
    if (!ends_with(b, ".txt") || b[0] == '.' || strstr(name, "__MACOSX") != NULL) { return 0; }
    if (strcmp(b, "_chat.txt") == 0) { return 3; }
    if (strstr(b, "WhatsApp") != NULL || strstr(b, "Whatsapp") != NULL || strstr(b, "whatsapp") != NULL || strstr(b, "واتساب") != NULL) { return 2; }
    return 1;
}

/* ---- zip ---- */
static kluis_status zip_open(const struct wa_place *p, int *fd, struct archive **out, struct kluis_err *err)
{
    *fd = kluis_io_open(p->path, O_RDONLY | O_NOCTTY, 0);
    if (*fd < 0) { return KLUIS_FAIL_SYS(err, errno == ENOENT ? KLUIS_E_NOTFOUND : KLUIS_E_IO, "cannot open %s", p->path); }
    struct archive *a = archive_read_new();
    if (a == NULL) {
        kluis_close_quiet(fd);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read %s", p->path);
    }
    archive_read_support_format_zip_seekable(a);
    if (archive_read_open_fd(a, *fd, 65536) != ARCHIVE_OK) {
        archive_read_free(a);
        kluis_close_quiet(fd);
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is not a whole zip file: export the chat again", p->path);
    }
    *out = a;
    return KLUIS_OK;
}

static const char *entry_name(struct archive_entry *e)
{
    const char *n = archive_entry_pathname_utf8(e);
    return n != NULL ? n : archive_entry_pathname(e);
}

static kluis_status next_entry(struct archive *a, const char *path, struct archive_entry **e, struct kluis_err *err)
{
    int rc = archive_read_next_header(a, e);
    if (rc == ARCHIVE_EOF) { return KLUIS_END; }
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is a damaged zip file: export the chat again", path); }
    return KLUIS_OK;
}

static kluis_status zip_list(struct wa_place *p, struct kluis_err *err)
{
    struct archive *a = NULL;
    struct archive_entry *e = NULL;
    int fd = -1, best = 0;
    size_t depth_best = 0, same_best = 0, cap = 0;
    uint64_t total = 0, names = 0;
    KLUIS_TRY(zip_open(p, &fd, &a, err));
    kluis_status rc;
    while ((rc = next_entry(a, p->path, &e, err)) == KLUIS_OK) {
        const char *name = entry_name(e);
        if (name == NULL) {
            rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: an entry's name is not readable text", p->path);
            break;
        }
        if (!path_safe(name)) {
            rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: an entry has an absolute path or '..' in it; WhatsApp writes none: refused", p->path);
            break;
        }
        if (archive_entry_is_encrypted(e) > 0) {
            rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: an entry is encrypted; give an export without password", p->path);
            break;
        }
        if (archive_entry_filetype(e) != AE_IFREG) { continue; }
        int64_t size = archive_entry_size_is_set(e) ? archive_entry_size(e) : 0;
        total += size > 0 ? (uint64_t)size : 0;
        if (total > RATIO_FROM && total / RATIO_MAX > (uint64_t)p->packed) {
            rc = KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s would unpack to more than %d times its size: refused as a zip bomb", p->path, (int)RATIO_MAX);
            break;
        }
        size_t len = strlen(name);
        names += len;
        if (p->n_members == WA_MEMBERS_MAX || names > WA_MEMBER_NAMES_MAX) {
            rc = KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s has more than %d entries", p->path, (int)WA_MEMBERS_MAX);
            break;
        }
        if (strncmp(name, "__MACOSX/", 9) == 0) { continue; }
        if (p->n_members == cap) {
            cap = cap == 0 ? 64 : cap * 2;
            struct wa_member *m = kluis_realloc(p->members, cap * sizeof *m);
            if (m == NULL) {
                rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read %s", p->path);
                break;
            }
            p->members = m;
        }
        struct wa_member *m = &p->members[p->n_members];
        m->name = kluis_arena_strndup(p->arena, name, len);
        if (m->name == NULL) {
            rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read %s", p->path);
            break;
        }
        m->base = base_of(m->name);
        m->size = size;
        p->n_members++;
        int rank = chat_rank(m->name);
        size_t depth = 0;
        for (const char *s = m->name; *s != 0; s++) { depth += *s == '/'; }
        if (rank > 0 && len < sizeof p->entry && (rank > best || (rank == best && depth < depth_best))) {
            best = rank;
            depth_best = depth;
            same_best = 1;
            memcpy(p->entry, m->name, len + 1);
        } else if (rank > 0 && rank == best && depth == depth_best) {
            same_best++;
        }
    }
    archive_read_free(a);
    kluis_close_quiet(&fd);
    if (rc != KLUIS_END) { return rc; }
    if (best == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s has no chat text in it (_chat.txt or 'WhatsApp Chat with ….txt')", p->path); }
    if (same_best > 1 && best != 2) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s has several texts and none is named as a chat's: give the .txt itself", p->path);
    }
    p->n_slots = 64;
    while (p->n_slots < p->n_members * 2) { p->n_slots *= 2; }
    p->slots = kluis_calloc(p->n_slots, sizeof *p->slots);
    if (p->slots == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read %s", p->path); }
    for (size_t i = 0; i < p->n_members; i++) {
        size_t k = hash(p->members[i].base, strlen(p->members[i].base)) & (p->n_slots - 1);
        while (p->slots[k] != 0) { k = (k + 1) & (p->n_slots - 1); }
        p->slots[k] = (uint32_t)(i + 1);
    }
    return KLUIS_OK;
}

kluis_status wa_place_open(const char *path, struct wa_place *p, struct kluis_err *err)
{
    memset(p, 0, sizeof *p);
    size_t len = strlen(path);
    if (len + 1 > sizeof p->path) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "the path is longer than %d bytes", (int)KLUIS_PATH_MAX); }
    memcpy(p->path, path, len + 1);
    int fd = kluis_io_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
    if (fd < 0) { return KLUIS_FAIL_SYS(err, errno == ENOENT ? KLUIS_E_NOTFOUND : KLUIS_E_IO, "cannot open %s", path); }
    struct stat st;
    uint8_t magic[4] = { 0 };
    bool ok = fstat(fd, &st) == 0;
    ssize_t got = ok && S_ISREG(st.st_mode) ? kluis_io_pread(fd, magic, sizeof magic, 0) : 0;
    kluis_close_quiet(&fd);
    if (!ok || got < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read %s", path); }
    if (!S_ISREG(st.st_mode)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is no file: give the .txt, the .zip or the folder of an export", path); }
    p->packed = st.st_size;
    p->chat_limit = CHAT_MAX;
    p->is_zip = got == 4 && magic[0] == 'P' && magic[1] == 'K' && ((magic[2] == 3 && magic[3] == 4) || (magic[2] == 5 && magic[3] == 6));
    p->arena = kluis_arena_new(8 << 20);
    if (p->arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read %s", path); }
    if (p->is_zip) {
        kluis_status rc = zip_list(p, err);
        if (rc != KLUIS_OK) { wa_place_close(p); }
        return rc;
    }
    const char *b = base_of(p->path);
    if (b == p->path) {
        memcpy(p->dir, ".", 2);
    } else {
        size_t k = (size_t)(b - p->path);
        memcpy(p->dir, p->path, k);
        p->dir[k > 1 ? k - 1 : 1] = 0;
    }
    return KLUIS_OK;
}

void wa_place_close(struct wa_place *p)
{
    kluis_free(p->slots);
    kluis_free(p->members);
    kluis_arena_free(p->arena);
    memset(p, 0, sizeof *p);
}

static const struct wa_member *find(const struct wa_place *p, struct kluis_str base)
{
    if (p->slots == NULL) { return NULL; }
    for (size_t k = hash(base.ptr, base.len) & (p->n_slots - 1); p->slots[k] != 0; k = (k + 1) & (p->n_slots - 1)) {
        const struct wa_member *m = &p->members[p->slots[k] - 1];
        if (kluis_str_is(base, m->base)) { return m; }
    }
    return NULL;
}

/* Opens a file beside the chat; -1: not there or no plain file. */
static int open_beside(const struct wa_place *p, struct kluis_str base, int64_t *size)
{
    char path[KLUIS_PATH_MAX];
    size_t d = strlen(p->dir);
    if (d == 0 || base.len == 0 || d + base.len + 2 > sizeof path || memchr(base.ptr, '/', base.len) != NULL ||
        memchr(base.ptr, 0, base.len) != NULL || base.ptr[0] == '.') {
        return -1;
    }
    memcpy(path, p->dir, d);
    path[d] = '/';
    memcpy(path + d + 1, base.ptr, base.len);
    path[d + 1 + base.len] = 0;
    struct stat st;
    int fd = kluis_io_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW, 0);
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) { kluis_close_quiet(&fd); }
    if (fd >= 0) { *size = st.st_size; }
    return fd;
}

int64_t wa_place_size(const struct wa_place *p, struct kluis_str base)
{
    if (p->is_zip) {
        const struct wa_member *m = find(p, base);
        return m == NULL ? -1 : m->size;
    }
    int64_t size = -1;
    int fd = open_beside(p, base, &size);
    kluis_close_quiet(&fd);
    return size;
}

static ssize_t zip_read(void *ctx, void *to, size_t n, struct kluis_err *err)
{
    struct wa_stream *s = ctx;
    la_ssize_t got = archive_read_data(s->archive, to, n);
    if (got < 0) {
        (void)KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is a damaged zip file: export the chat again", s->place->path);
        return -1;
    }
    s->out += (uint64_t)got;
    if (s->out > s->place->chat_limit || (s->out > RATIO_FROM && s->out / RATIO_MAX > (uint64_t)s->place->packed)) {
        (void)KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s unpacks to more than %d times its size: refused as a zip bomb", s->place->path, (int)RATIO_MAX);
        return -1;
    }
    return (ssize_t)got;
}

kluis_status wa_stream_open(void *stream, struct kluis_input *in, struct kluis_err *err)
{
    struct wa_stream *s = stream;
    const struct wa_place *p = s->place;
    s->archive = NULL;
    s->out = 0;
    if (!p->is_zip) {
        s->fd = kluis_io_open(p->path, O_RDONLY | O_NOCTTY, 0);
        if (s->fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open %s", p->path); }
        s->fd_state = (struct kluis_input_fd){ s->fd, 0, p->path };
        *in = kluis_input_from_fd(&s->fd_state);
        return KLUIS_OK;
    }
    struct archive *a = NULL;
    KLUIS_TRY(zip_open(p, &s->fd, &a, err));
    s->archive = a;
    struct archive_entry *e = NULL;
    kluis_status rc;
    while ((rc = next_entry(a, p->path, &e, err)) == KLUIS_OK) {
        const char *name = entry_name(e);
        if (name != NULL && strcmp(name, p->entry) == 0) {
            *in = (struct kluis_input){ s, zip_read };
            return KLUIS_OK;
        }
    }
    wa_stream_close(s);
    return rc == KLUIS_END ? KLUIS_FAIL(err, KLUIS_E_REJECT, "%s changed while it was read: read it again", p->path) : rc;
}

void wa_stream_close(void *stream)
{
    struct wa_stream *s = stream;
    if (s->archive != NULL) { archive_read_free(s->archive); }
    s->archive = NULL;
    kluis_close_quiet(&s->fd);
}

kluis_status wa_place_attachments(const struct wa_place *p, const struct kluis_str *wanted, size_t n, bool *done,
                                  const struct source_attachment_sink *sink, struct kluis_err *err)
{
    if (!p->is_zip) {
        for (size_t i = 0; i < n; i++) {
            int64_t size = 0;
            int fd = done[i] ? -1 : open_beside(p, wanted[i], &size);
            if (fd < 0) { continue; }
            struct kluis_input_fd state = { fd, 0, "an attachment" };
            struct kluis_input in = kluis_input_from_fd(&state);
            kluis_status rc = sink->attachment(sink->ctx, i, &in, err);
            kluis_close_quiet(&fd);
            done[i] = true;
            if (rc != KLUIS_OK) { return rc; }
        }
        return KLUIS_OK;
    }
    size_t slots = 64;
    while (slots < n * 2) { slots *= 2; }
    uint32_t *table = kluis_calloc(slots, sizeof *table);
    if (table == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read %s", p->path); }
    for (size_t i = 0; i < n; i++) {
        size_t k = hash(wanted[i].ptr, wanted[i].len) & (slots - 1);
        while (table[k] != 0) { k = (k + 1) & (slots - 1); }
        table[k] = (uint32_t)(i + 1);
    }
    struct wa_stream s = { .place = p, .fd = -1 };
    struct archive *a = NULL;
    struct archive_entry *e = NULL;
    kluis_status rc = zip_open(p, &s.fd, &a, err);
    s.archive = a;
    while (rc == KLUIS_OK && (rc = next_entry(a, p->path, &e, err)) == KLUIS_OK) {
        const char *name = entry_name(e);
        if (name == NULL || archive_entry_filetype(e) != AE_IFREG || archive_entry_is_encrypted(e) > 0 || strncmp(name, "__MACOSX/", 9) == 0) {
            continue;
        }
        const char *b = base_of(name);
        /* The same name may be wanted by several records: each gets the bytes, which means reading the entry again. */
        bool again = true;
        for (size_t k = hash(b, strlen(b)) & (slots - 1); table[k] != 0 && rc == KLUIS_OK; k = (k + 1) & (slots - 1)) {
            size_t i = table[k] - 1;
            if (done[i] || !kluis_str_is(wanted[i], b)) { continue; }
            if (!again) { break; }
            struct kluis_input in = { &s, zip_read };
            s.out = 0;
            done[i] = true;
            again = false;
            rc = sink->attachment(sink->ctx, i, &in, err);
        }
    }
    wa_stream_close(&s);
    /* Names wanted more than once: another round for those left that are there. */
    bool left = false;
    for (size_t i = 0; rc == KLUIS_END && i < n; i++) { left |= !done[i] && find(p, wanted[i]) != NULL; }
    kluis_free(table);
    if (left) { return wa_place_attachments(p, wanted, n, done, sink, err); }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

/* ---- folders ---- */
static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static kluis_status list_into(const char *path, struct kluis_arena *arena, const char **list, size_t *n, int depth, struct kluis_err *err)
{
    DIR *d = opendir(path);
    if (d == NULL) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open the folder %s", path); }
    kluis_status rc = KLUIS_OK;
    size_t seen = 0, from = *n, named = 0;
    for (const char *name; kluis_dir_next(d, path, &name, &rc, err);) {
        if (name[0] == '.') { continue; }
        if (++seen > FOLDER_FILES_MAX) {
            rc = KLUIS_FAIL(err, KLUIS_E_LIMIT, "the folder %s has more than %d files", path, (int)FOLDER_FILES_MAX);
            break;
        }
        char full[KLUIS_PATH_MAX];
        rc = kluis_path(full, sizeof full, path, name, err);
        struct stat st;
        if (rc != KLUIS_OK || !kluis_dir_look(d, path, name, AT_SYMLINK_NOFOLLOW, &st, &rc, err)) { continue; }
        if (S_ISDIR(st.st_mode) && depth == 0) {
            rc = list_into(full, arena, list, n, 1, err);
            continue;
        }
        int rank = chat_rank(full);
        bool zip = ends_with(name, ".zip");
        if (!S_ISREG(st.st_mode) || (rank == 0 && !zip) || (depth == 1 && rank < 2)) { continue; }
        if (*n == WA_CHATS_MAX) {
            rc = KLUIS_FAIL(err, KLUIS_E_LIMIT, "the folder %s has more than %d chats", path, (int)WA_CHATS_MAX);
            break;
        }
        const char *copy = kluis_arena_strndup(arena, full, strlen(full));
        if (copy == NULL) {
            rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read %s", path);
            break;
        }
        list[(*n)++] = copy;
        named += rank >= 2 || zip;
    }
    (void)closedir(d);
    if (rc == KLUIS_OK && named > 0) { /* other texts are attachments */
        size_t k = from;
        for (size_t i = from; i < *n; i++) {
            if (chat_rank(list[i]) >= 2 || ends_with(list[i], ".zip")) { list[k++] = list[i]; }
        }
        *n = k;
    }
    return rc;
}

kluis_status wa_place_list(const char *path, struct kluis_arena *arena, const char ***chats, size_t *n, struct kluis_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0) { return KLUIS_FAIL_SYS(err, errno == ENOENT ? KLUIS_E_NOTFOUND : KLUIS_E_IO, "cannot open %s", path); }
    const char **list = kluis_arena_alloc(arena, WA_CHATS_MAX * sizeof *list);
    if (list == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read %s", path); }
    *n = 0;
    *chats = list;
    if (!S_ISDIR(st.st_mode)) {
        list[(*n)++] = path;
        return KLUIS_OK;
    }
    KLUIS_TRY(list_into(path, arena, list, n, 0, err));
    if (*n == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "the folder %s has no chat export in it (.txt or .zip)", path); }
    qsort(list, *n, sizeof *list, by_text);
    return KLUIS_OK;
}

/* ---- names ---- */
void wa_chat_name(const char *path, char *out, size_t cap)
{
    static const char *const before[] = { "WhatsApp Chat with ",
                                          "WhatsApp Chat - ",
                                          "WhatsApp-chat met ",
                                          "WhatsApp Chat met ",
                                          "WhatsApp-chat - ",
                                          "WhatsApp-gesprek met ",
                                          "WhatsApp-Chat mit ",
                                          "WhatsApp Chat mit ",
                                          "Discussion WhatsApp avec ",
                                          "Conversation WhatsApp avec ",
                                          "Chat de WhatsApp con ",
                                          "Conversación de WhatsApp con ",
                                          "Conversa do WhatsApp com ",
                                          "Conversa no WhatsApp com ",
                                          "Conversa de WhatsApp com ",
                                          "Chat WhatsApp con ",
                                          "Чат WhatsApp с контактом ",
                                          "Чат WhatsApp с ",
                                          "Чат WhatsApp із контактом ",
                                          "Чат WhatsApp з контактом ",
                                          "Чат WhatsApp з ",
                                          "Чат WhatsApp із ",
                                          "Chat WhatsApp s uživatelem ",
                                          "Chat WhatsApp s používateľom ",
                                          "Chat WhatsApp s ",
                                          "WhatsApp chat s ",
                                          "Czat WhatsApp z ",
                                          "Rozmowa WhatsApp z ",
                                          "Czat w WhatsApp z ",
                                          "WhatsApp-chatt med ",
                                          "WhatsApp-chat med ",
                                          "WhatsApp-samtale med ",
                                          "WhatsApp-keskustelu: ",
                                          "WhatsApp-keskustelu käyttäjän ",
                                          "Chat WhatsApp dengan ",
                                          "Percakapan WhatsApp dengan ",
                                          "Sembang WhatsApp dengan ",
                                          "Cuộc trò chuyện WhatsApp với ",
                                          "Đoạn chat WhatsApp với ",
                                          "แชท WhatsApp กับ ",
                                          "Conversație WhatsApp cu ",
                                          "Conversația WhatsApp cu ",
                                          "Συνομιλία WhatsApp με ",
                                          "WhatsApp-beszélgetés: ",
                                          "WhatsApp csevegés - ",
                                          "צ'אט WhatsApp עם ",
                                          "שיחת WhatsApp עם ",
                                          "محادثة واتساب مع ",
                                          "دردشة واتساب مع ",
                                          "WhatsApp Sohbeti - ",
                                          "Xat de WhatsApp amb ",
                                          "WhatsApp razgovor s ",
                                          "WhatsApp ćaskanje sa ",
                                          "WhatsApp のトーク履歴：",
                                          "WhatsApp 对话 - ",
                                          "WhatsApp 對話 - ",
                                          "WhatsApp对话 - ",
                                          "WhatsApp-klets met " };
    static const char *const after[] = { " ile WhatsApp Sohbeti", " के साथ WhatsApp चैट", "とのWhatsAppチャット", "님과의 WhatsApp 대화",
                                         "的 WhatsApp 聊天",      "的 WhatsApp 对话",   "的 WhatsApp 對話" };
    out[0] = 0;
    const char *b = base_of(path);
    size_t n = strlen(b);
    bool ours = false;
    if (n > 4 && (ends_with(b, ".txt") || ends_with(b, ".zip"))) { n -= 4; }
    if (n == 5 && memcmp(b, "_chat", 5) == 0) { return; }
    char flat[1024];
    if (n >= sizeof flat) { n = sizeof flat - 1; }
    memcpy(flat, b, n);
    flat[n] = 0;
    if (strstr(flat, "WhatsApp_") != NULL && strchr(flat, ' ') == NULL) {
        for (size_t i = 0; i < n; i++) {
            if (flat[i] == '_') { flat[i] = ' '; }
        }
    }
    struct kluis_str s = wa_trim((struct kluis_str){ flat, n });
    for (size_t i = 0; i < sizeof before / sizeof *before && !ours; i++) {
        if (wa_starts(s, before[i])) {
            s = wa_sub(s, strlen(before[i]), s.len);
            ours = true;
        }
    }
    for (size_t i = 0; i < sizeof after / sizeof *after && !ours; i++) {
        if (wa_ends(s, after[i])) {
            s = wa_sub(s, 0, s.len - strlen(after[i]));
            ours = true;
        }
    }
    /* Downloads get " (1)"; only after a name WhatsApp made is that no part of it. */
    if (ours && s.len > 4 && s.ptr[s.len - 1] == ')') {
        size_t k = s.len - 1, d = 0;
        while (k > 0 && s.ptr[k - 1] >= '0' && s.ptr[k - 1] <= '9') {
            k--;
            d++;
        }
        if (d >= 1 && d <= 3 && k > 2 && s.ptr[k - 1] == '(' && s.ptr[k - 2] == ' ') { s = wa_sub(s, 0, k - 2); }
    }
    s = wa_trim(s);
    if (!ours) { return; }
    if (s.len >= cap) { s.len = cap - 1; }
    memcpy(out, s.ptr, s.len);
    out[s.len] = 0;
}
