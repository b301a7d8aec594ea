/* file_state.h - what the file system tells of a file without reading it: enough to know that nothing changed since. */
#ifndef SOURCE_FILE_STATE_H
#define SOURCE_FILE_STATE_H

#include <sys/stat.h>

#include "kluis/base.h"

struct file_state {
    struct stat st;
    bool there;
};

/* E_IO: it cannot be told whether the file is there. */
KLUIS_MUSTUSE kluis_status file_state_look(const char *path, struct file_state *s, struct kluis_err *err);
/* Was it last written longer than this ago (a clock that was put back: or that long ahead)?  One that was written a moment ago may be written
 * again without its times changing: the kernel's clock ticks some times a second, a FAT disk's every other second. */
bool file_state_settled(const struct file_state *s, int64_t us);
/* Path, place on the disk, size and times into a digest: equal digests of settled files mean that nothing changed. */
void file_state_add(struct kluis_sha256 *h, const char *path, const struct file_state *s);

#endif
