/* server/walls/user.c - see user.h. */
#include "server/walls/user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ENTRY_MAX = 65536, DEPTH_MAX = 16 };

kluis_status walls_user_find(const char *name, struct walls_user *out, struct kluis_err *err)
{
    *out = (struct walls_user){ 0 };
    struct passwd p, *found = NULL;
    char *room = kluis_malloc(ENTRY_MAX);
    if (room == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    errno = getpwnam_r(name, &p, room, ENTRY_MAX, &found);
    if (found != NULL) { *out = (struct walls_user){ p.pw_uid, p.pw_gid }; }
    kluis_status rc = KLUIS_OK;
    if (errno != 0 && errno != ENOENT && errno != ESRCH) {
        rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot look up the user '%s'", name);
    } else if (out->uid == 0) {
        rc = KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "there is no user '%s' (or it is root)", name);
    }
    kluis_free(room);
    return rc;
}

kluis_status walls_user_become(const struct walls_user *u, struct kluis_err *err)
{
    int at_death = 0;
    uid_t real, effective, saved;
    if (u->uid == 0) { return KLUIS_OK; }
    if (prctl(PR_GET_PDEATHSIG, &at_death) != 0 || setgroups(0, NULL) != 0 || setresgid(u->gid, u->gid, u->gid) != 0 ||
        setresuid(u->uid, u->uid, u->uid) != 0) {
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot become user %u", (unsigned)u->uid);
    }
    /* Both are reset by the change (prctl(2)). */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_PDEATHSIG, at_death) != 0) {
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot forbid memory dumps");
    }
    if (getresuid(&real, &effective, &saved) != 0 || real != u->uid || effective != u->uid || saved != u->uid || setuid(0) == 0 || setgid(0) == 0) {
        return KLUIS_FAIL(err, KLUIS_E_IO, "user %u can become root again", (unsigned)u->uid);
    }
    return KLUIS_OK;
}

static kluis_status give_one(int dir, const char *name, const struct stat *st, const struct walls_user *u, struct kluis_err *err)
{
    if (st->st_uid == u->uid && st->st_gid == u->gid) { return KLUIS_OK; }
    if (S_ISREG(st->st_mode) && st->st_nlink > 1) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "'%.200s' has a second name elsewhere: it is not given to user %u; look whose it is", name,
                          (unsigned)u->uid);
    }
    return fchownat(dir, name, u->uid, u->gid, AT_SYMLINK_NOFOLLOW) == 0
               ? KLUIS_OK
               : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot give '%.200s' to user %u", name, (unsigned)u->uid);
}

/* fd: the folder, taken over; what: its name, for messages. */
static kluis_status give_all(int fd, const char *what, const struct walls_user *u, unsigned depth, struct kluis_err *err)
{
    DIR *d = depth > DEPTH_MAX ? NULL : fdopendir(fd);
    if (d == NULL) {
        kluis_close_quiet(&fd);
        return KLUIS_FAIL(err, KLUIS_E_IO, "'%.200s' cannot be read, or lies too deep", what);
    }
    kluis_status rc = KLUIS_OK;
    for (const char *name; kluis_dir_next(d, what, &name, &rc, err);) {
        struct stat st;
        if (fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot look at '%.200s'", name);
        } else if (S_ISDIR(st.st_mode)) {
            int sub = openat(dirfd(d), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            rc = sub < 0 ? KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open '%.200s'", name) : give_all(sub, name, u, depth + 1, err);
        }
        if (rc == KLUIS_OK) { rc = give_one(dirfd(d), name, &st, u, err); }
    }
    (void)closedir(d);
    return rc;
}

kluis_status walls_user_give(const char *folder, const struct walls_user *u, struct kluis_err *err)
{
    struct stat st;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        kluis_status rc = KLUIS_FAIL_SYS(err, errno == ENOENT ? KLUIS_E_NOTFOUND : KLUIS_E_IO, "cannot open '%s'", folder);
        kluis_close_quiet(&fd);
        return rc;
    }
    if ((st.st_uid != u->uid || st.st_gid != u->gid) && fchown(fd, u->uid, u->gid) != 0) {
        kluis_status rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot give '%s' to user %u", folder, (unsigned)u->uid);
        kluis_close_quiet(&fd);
        return rc;
    }
    return give_all(fd, folder, u, 0, err);
}

kluis_status walls_user_owner(const char *home, struct walls_user *out, struct kluis_err *err)
{
    char vault[KLUIS_PATH_MAX];
    struct stat st;
    *out = (struct walls_user){ 0 };
    KLUIS_TRY(kluis_path(vault, sizeof vault, home, "vault", err));
    int rc = stat(vault, &st);
    if (rc == 0 && st.st_uid == 0) { rc = stat(home, &st); }
    if (rc != 0) { return errno == ENOENT ? KLUIS_OK : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot look at '%s'", home); }
    if (st.st_uid != 0) { *out = (struct walls_user){ st.st_uid, st.st_gid }; }
    return KLUIS_OK;
}

kluis_status walls_user_files(const struct walls_user *u, struct kluis_err *err)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
    struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
    if (u->uid == 0 || geteuid() != 0) { return KLUIS_OK; }
    (void)setfsgid(u->gid); /* both tell the one before, and nothing of failure: asked for nobody they tell the one that is */
    (void)setfsuid(u->uid);
    if ((gid_t)setfsgid((gid_t)-1) != u->gid || (uid_t)setfsuid((uid_t)-1) != u->uid) {
        return KLUIS_FAIL(err, KLUIS_E_IO, "cannot make files of user %u", (unsigned)u->uid);
    }
    /* The way to the folder may be root's alone (/var/lib/private), and so may be what a command was given to read. */
    if (syscall(SYS_capget, &head, caps) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read this process's rights"); }
    caps[0].effective |= caps[0].permitted & (1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH);
    if (syscall(SYS_capset, &head, caps) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot keep root's right to read"); }
    /* Reset by the change (prctl(2)). */
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? KLUIS_OK : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot forbid memory dumps");
}
