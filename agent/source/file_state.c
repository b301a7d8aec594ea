/* file_state.c - see file_state.h. */
#include "agent/source/file_state.h"

#include <errno.h>

kluis_status file_state_look(const char *path, struct file_state *s, struct kluis_err *err)
{
    memset(s, 0, sizeof *s);
    s->there = stat(path, &s->st) == 0;
    if (s->there || errno == ENOENT || errno == ENOTDIR) { return KLUIS_OK; }
    return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot be looked at", path);
}

static int64_t micros(struct timespec t) { return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000; }

bool file_state_settled(const struct file_state *s, int64_t us)
{
    const int64_t now = kluis_now_us(), times[] = { micros(s->st.st_mtim), micros(s->st.st_ctim) };
    if (!s->there) { return true; }
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        if (times[i] >= now - us && times[i] <= now + us) { return false; }
    }
    return true;
}

void file_state_add(struct kluis_sha256 *h, const char *path, const struct file_state *s)
{
    uint64_t v[8] = { s->there ? 1 : 0 };
    if (s->there) {
        v[1] = (uint64_t)s->st.st_dev;
        v[2] = (uint64_t)s->st.st_ino;
        v[3] = (uint64_t)s->st.st_size;
        v[4] = (uint64_t)s->st.st_mtim.tv_sec;
        v[5] = (uint64_t)s->st.st_mtim.tv_nsec;
        v[6] = (uint64_t)s->st.st_ctim.tv_sec;
        v[7] = (uint64_t)s->st.st_ctim.tv_nsec;
    }
    kluis_sha256_add(h, path, strlen(path) + 1);
    kluis_sha256_add(h, v, sizeof v);
}
