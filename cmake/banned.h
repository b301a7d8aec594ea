/* banned.h - what this project never calls, and what it calls instead.  Included before every source file. */
#ifndef KLUIS_BANNED_H
#define KLUIS_BANNED_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* Unbounded or locale- and state-dependent: snprintf, kluis_buf_*, kluis_time_*, strtok_r exist. */
/* glibc makes macros of two of them where the compiler has no __builtin_va_arg_pack (clang). */
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat sprintf vsprintf gets strtok localtime gmtime ctime asctime atoi atol atof tmpnam mktemp
/* Allocation goes through kluis_malloc and friends so that tests can make it fail; the one file that implements
 * them (lib/base/memory.c) is compiled with KLUIS_RAW_MALLOC. */
#ifndef KLUIS_RAW_MALLOC
#define malloc(n) KLUIS_BANNED_use_kluis_malloc(n)
#define calloc(a, b) KLUIS_BANNED_use_kluis_calloc(a, b)
#define realloc(p, n) KLUIS_BANNED_use_kluis_realloc(p, n)
#define strdup(s) KLUIS_BANNED_use_kluis_strdup(s)
#define strndup(s, n) KLUIS_BANNED_use_kluis_arena_strndup(s, n)
#endif
#endif
