/* lib/verify/alone.c - what stands in for five functions of libc in the program that needs no library of the machine.
 *
 * libcrypto and libgpg-error can look up hosts and users and load plug-ins.  A verifier does none of that, and in a program without shared
 * libraries libc's own would go and look for some of another libc.  So here they find nothing. */
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pwd.h>

/* The linker (--wrap, CMakeLists.txt) sends every call of them here. */
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found);
struct hostent *__wrap_gethostbyname(const char *host);
struct passwd *__wrap_getpwnam(const char *name);
struct passwd *__wrap_getpwuid(uid_t uid);
void *__wrap_dlopen(const char *file, int mode);

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    (void)host, (void)service, (void)hints;
    *found = NULL;
    return EAI_FAIL;
}

struct hostent *__wrap_gethostbyname(const char *host)
{
    (void)host;
    h_errno = NO_RECOVERY;
    return NULL;
}

struct passwd *__wrap_getpwnam(const char *name)
{
    (void)name;
    errno = ENOENT;
    return NULL;
}

struct passwd *__wrap_getpwuid(uid_t uid)
{
    (void)uid;
    errno = ENOENT;
    return NULL;
}

void *__wrap_dlopen(const char *file, int mode)
{
    (void)file, (void)mode;
    return NULL;
}
