/* Promise: the agent's pass - read, select, journal, pack, seal, encrypt - loses nothing and takes nothing twice when memory, disk or
 * power fail at any point of it; it leaks nothing, leaves no key in memory, and says truthfully how it ended.  The agent is the whole
 * program behind its command line; at its gate's address nobody listens. */
#include "tests/fault/agent_program.h"
#include "tests/fault/fault.h"
#include "tests/support/agent_content.h"
#include "tests/support/agent_home.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { CHATS = 3, MONTHS = 4, DAYS = 3, AWAY = 75 };

static void put(const char *dir, const char *name, const struct kluis_buf *text)
{
    char path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    assert_int_equal(kluis_path(path, sizeof path, dir, name, &err), KLUIS_OK);
    assert_int_equal(kluis_write_file(path, text->data, text->len, 0600, &err), KLUIS_OK);
}

static void in(char out[KLUIS_PATH_MAX], const char *dir, const char *name)
{
    assert_int_equal(kluis_path(out, KLUIS_PATH_MAX, dir, name, NULL), KLUIS_OK);
}

static void message(char out[64], int chat, int month, int day) { (void)snprintf(out, 64, "bericht %d-%d-%d", chat, month, day); }

static void chat(const char *dir, int n)
{
    char name[64], text[64];
    KLUIS_AUTO_BUF(b, 1 << 16);
    for (int month = 1; month <= MONTHS; month++) {
        for (int day = 1; day <= DAYS; day++) {
            message(text, n, month, day);
            kluis_buf_fmt(&b, "%02d-%02d-2025 10:0%d - %s: %s\n", 10 + day, month, n, day % 2 == 0 ? "Anna" : "Bram", text);
        }
    }
    if (n == 0) { kluis_buf_fmt(&b, "20-%02d-2025 10:00 - Anna: nota.pdf (bestand bijgevoegd)\n", MONTHS); }
    (void)snprintf(name, sizeof name, "WhatsApp Chat with Anna%d.txt", n);
    put(dir, name, &b);
}

static void prepare(void *ctx, const char *dir)
{
    char home[KLUIS_PATH_MAX], chats[KLUIS_PATH_MAX], sms[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    (void)ctx;
    struct pki *pki = pki_new(10);
    in(home, dir, "home");
    in(chats, dir, "chats");
    agent_home_enrol(home, "https://127.0.0.1:9", pki);
    pki_free(pki);
    assert_int_equal(kluis_make_dir(chats, &err), KLUIS_OK);
    for (int i = 0; i < CHATS; i++) { chat(chats, i); }
    KLUIS_AUTO_BUF(file, 1 << 16);
    for (int i = 0; i < 5000; i++) { kluis_buf_fmt(&file, "regel %d\n", i); }
    put(chats, "nota.pdf", &file);
    in(sms, dir, "sms.xml");
    KLUIS_AUTO_BUF(b, 1 << 16);
    kluis_buf_cstr(&b, "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>\n<smses count=\"2\" backup_set=\"eigen\" type=\"full\">\n");
    for (int i = 0; i < 2; i++) {
        kluis_buf_fmt(
            &b,
            "<sms protocol=\"0\" address=\"+31612345678\" date=\"17733100%d0000\" type=\"1\" subject=\"null\" body=\"sms %d\" toa=\"null\""
            " sc_toa=\"null\" service_center=\"null\" read=\"1\" status=\"-1\" locked=\"0\" date_sent=\"0\" sub_id=\"1\" contact_name=\"Sanne\" />\n",
            i, i);
    }
    kluis_buf_cstr(&b, "</smses>\n");
    put(dir, "sms.xml", &b);
    assert_int_equal(agent("source", "add", "--home", home, "whatsapp-text", chats, NULL), 0);
    assert_int_equal(agent("source", "add", "--home", home, "sms", sms, NULL), 0);
}

static int act(void *ctx, const char *dir)
{
    char home[KLUIS_PATH_MAX];
    (void)ctx;
    in(home, dir, "home");
    return agent("archive", "--home", home, "--wait", "0", NULL);
}

/* Every file of packages/ has its row: what a killed pass left is gone. */
static size_t package_files(const char *home)
{
    char path[KLUIS_PATH_MAX];
    size_t n = 0;
    in(path, home, "packages");
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e = NULL; (e = readdir(d)) != NULL;) { n += e->d_name[0] != '.'; }
    (void)closedir(d);
    return n;
}

static void judge(void *ctx, const char *dir, const struct fault_outcome *o)
{
    char home[KLUIS_PATH_MAX], text[64];
    static struct content c;
    (void)ctx;
    in(home, dir, "home");
    /* What stands now is whole, with or without the rest. */
    content_read(home, &c);
    size_t before = c.packages;
    uint8_t last[32];
    memcpy(last, c.last, sizeof last);
    if (o->clean || (!o->died && o->code == 0)) { assert_true(before > 0); }
    /* The next pass takes what is missing and nothing else. */
    assert_int_equal(agent("archive", "--home", home, "--wait", "0", NULL), AWAY);
    content_read(home, &c);
    assert_true(c.packages >= before);
    if (o->clean) { assert_int_equal(c.packages, before); }
    if (c.packages == before) { assert_memory_equal(c.last, last, sizeof last); }
    assert_int_equal(package_files(home), c.packages);
    for (int i = 0; i < CHATS; i++) {
        for (int month = 1; month <= MONTHS; month++) {
            for (int day = 1; day <= DAYS; day++) {
                message(text, i, month, day);
                assert_int_equal(content_times(&c, text), 1);
            }
        }
    }
    assert_int_equal(content_times(&c, "sms 0") + content_times(&c, "sms 1"), 2);
    assert_int_equal(c.n, CHATS * MONTHS * DAYS + 2 + 1);
}

int main(int argc, char **argv)
{
    struct fault_subject s = { .name = "agent archive",
                               .prepare = prepare,
                               .act = act,
                               .judge = judge,
                               .clean_code = AWAY,
                               .minimum = { 200, 200, 100 },
                               .budget = { 300, 300, 200 },
                               .warm = 2,
                               .planted = argc > 1 && strcmp(argv[1], "planted") == 0 };
    return fault_sweep_all(&s);
}
