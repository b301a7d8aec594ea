/* lying_opener.c - stands in the opener's place, behind the same walls. */
#include "tests/unit/lying_opener.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

__typeof__(lie) lie;

static void say(int fd, const void *p, size_t n)
{
    const uint8_t *at = p;
    while (n > 0) {
        ssize_t w = write(fd, at, n);
        if (w <= 0) { return; }
        at += w;
        n -= (size_t)w;
    }
}

static void facts(struct kluis_buf *out, const struct opened *f, struct kluis_bytes manifest, struct kluis_bytes signature, struct kluis_bytes rows)
{
    kluis_wire_u32(out, 0);
    kluis_wire_u32(out, 0);
    kluis_wire_field(out, "", 0);
    kluis_wire_field(out, f->id, 32);
    kluis_wire_u64(out, f->size);
    kluis_wire_field(out, f->records_root, 32);
    kluis_wire_u64(out, f->n_records);
    kluis_wire_u64(out, 0);
    kluis_wire_u64(out, 0);
    kluis_wire_u64(out, f->sequence);
    kluis_wire_field(out, f->previous, 32);
    kluis_wire_str(out, kluis_str_of(f->device));
    kluis_wire_u64(out, 0);
    kluis_wire_u64(out, 0);
    kluis_wire_u64(out, 0);
    kluis_wire_field(out, manifest.ptr, manifest.len);
    kluis_wire_field(out, signature.ptr, signature.len);
    kluis_wire_field(out, rows.ptr, rows.len);
}

/* What a refusal of its would say if a wall were missing: the test then sees this word. */
static void escaped(int result)
{
    KLUIS_AUTO_BUF(out, 1000);
    kluis_wire_u32(&out, 1);
    kluis_wire_u32(&out, 0);
    kluis_wire_str(&out, kluis_str_of("escaped"));
    say(result, out.data, out.len);
}

void opener_child(int cipher, int request, int result)
{
    uint8_t key[32];
    KLUIS_AUTO_BUF(out, 32 << 20);
    (void)cipher;
    kluis_wire_label(&out, OPENED_LABEL);
    say(result, out.data, out.len);
    kluis_buf_clear(&out);
    if (read(request, key, sizeof key) != (ssize_t)sizeof key) { return; }
    struct opened f = lie.truth;
    switch ((enum lie)key[0]) {
    case LIE_OTHER_SIGNATURE:
        facts(&out, &f, lie.manifest, lie.signature, f.index);
        say(result, out.data, out.len);
        break;
    case LIE_ENDED_ONCE:
        if ((*lie.runs)++ == 0) { _exit(9); }
        facts(&out, &f, f.manifest, f.signature, f.index);
        say(result, out.data, out.len);
        break;
    case LIE_NOT:
        facts(&out, &f, f.manifest, f.signature, f.index);
        say(result, out.data, out.len);
        break;
    case LIE_OTHER_ID:
        f.id[0] ^= 1;
        facts(&out, &f, f.manifest, f.signature, f.index);
        say(result, out.data, out.len);
        break;
    case LIE_ROWS:
        facts(&out, &f, f.manifest, f.signature, (struct kluis_bytes){ f.index.ptr, f.index.len / 2 });
        say(result, out.data, out.len);
        break;
    case LIE_HALF:
        facts(&out, &f, f.manifest, f.signature, f.index);
        say(result, out.data, out.len / 2);
        break;
    case LIE_FLOOD: {
        static uint8_t block[1 << 20];
        for (int i = 0; i < 300; i++) { say(result, block, sizeof block); }
        break;
    }
    case LIE_OPEN:
        if (open("/etc/passwd", O_RDONLY) >= 0 || open("/tmp", O_RDONLY) >= 0) { escaped(result); }
        break;
    case LIE_SOCKET:
        if (socket(AF_INET, SOCK_STREAM, 0) >= 0) { escaped(result); }
        break;
    case LIE_FORK:
        if (fork() >= 0) { escaped(result); }
        break;
    case LIE_KILL:
        if (kill(getppid(), SIGKILL) == 0) { escaped(result); }
        break;
    case LIE_EXEC_PAGE:
        if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) { escaped(result); }
        break;
    case LIE_MEMORY:
        if (mmap(NULL, (size_t)2 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) { escaped(result); }
        break;
    case LIE_DESCRIPTORS:
        for (int fd = 6; fd < 1024; fd++) {
            uint8_t b;
            if (read(fd, &b, 0) == 0) { escaped(result); }
        }
        break;
    case LIE_HANG: {
        static uint32_t never; /* for ever, without a call that the walls refuse and without processor time */
        (void)__atomic_add_fetch(lie.runs, 1, __ATOMIC_SEQ_CST);
        for (;;) { (void)syscall(SYS_futex, &never, FUTEX_WAIT, 0, NULL); }
    }
    case LIE_DIE:
    case LIES:
    default: abort(); /* no trap: what watches for errors takes that for one */
    }
}
