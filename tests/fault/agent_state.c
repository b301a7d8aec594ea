/* tests/fault/agent_state.c - see agent_state.h. */
#include "tests/fault/agent_state.h"
#include "tests/support/agent_home.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

enum { CHATS = 3, MONTHS = 4, DAYS = 3 };

static void put(const char *dir, const char *name, const struct kluis_buf *text)
{
    char path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    assert_int_equal(kluis_path(path, sizeof path, dir, name, &err), KLUIS_OK);
    assert_int_equal(kluis_write_file(path, text->data, text->len, 0600, &err), KLUIS_OK);
}

void in_dir(char out[KLUIS_PATH_MAX], const char *dir, const char *name)
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

void state_sources(const char *dir)
{
    char home[KLUIS_PATH_MAX], chats[KLUIS_PATH_MAX], sms[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    in_dir(home, dir, "home");
    in_dir(chats, dir, "chats");
    assert_int_equal(kluis_make_dir(chats, &err), KLUIS_OK);
    for (int i = 0; i < CHATS; i++) { chat(chats, i); }
    KLUIS_AUTO_BUF(file, 1 << 16);
    for (int i = 0; i < 5000; i++) { kluis_buf_fmt(&file, "regel %d\n", i); }
    put(chats, "nota.pdf", &file);
    in_dir(sms, dir, "sms.xml");
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

void state_enrolled(const char *dir)
{
    char home[KLUIS_PATH_MAX];
    struct pki *pki = pki_new(10);
    in_dir(home, dir, "home");
    agent_home_enrol(home, "https://127.0.0.1:9", pki);
    pki_free(pki);
}

int state_pass(KLUIS_UNUSED void *ctx, const char *dir)
{
    char home[KLUIS_PATH_MAX];
    in_dir(home, dir, "home");
    return agent("archive", "--home", home, "--wait", "0", NULL);
}

void state_is_whole(const struct content *c)
{
    char text[64];
    for (int i = 0; i < CHATS; i++) {
        for (int month = 1; month <= MONTHS; month++) {
            for (int day = 1; day <= DAYS; day++) {
                message(text, i, month, day);
                assert_int_equal(content_times(c, text), 1);
            }
        }
    }
    assert_int_equal(content_times(c, "sms 0") + content_times(c, "sms 1"), 2);
    assert_int_equal(c->n, CHATS * MONTHS * DAYS + 2 + 1);
}

size_t state_files(const char *dir, const char *name, const char *end)
{
    char path[KLUIS_PATH_MAX];
    size_t n = 0;
    in_dir(path, dir, name);
    DIR *d = opendir(path);
    for (struct dirent *e = NULL; d != NULL && (e = readdir(d)) != NULL;) {
        size_t len = strlen(e->d_name), tail = strlen(end);
        n += e->d_name[0] != '.' && len >= tail && strcmp(e->d_name + len - tail, end) == 0;
    }
    if (d != NULL) { (void)closedir(d); }
    return n;
}

/* Reads a key's file without leaving it in any buffer but this one; 0: there is none. */
static size_t key_file(const char *dir, const char *name, uint8_t *out, size_t room)
{
    char path[KLUIS_PATH_MAX];
    in_dir(path, dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, room);
    if (fd >= 0) { (void)close(fd); }
    return n < 0 ? 0 : (size_t)n;
}

/* Of a P-256 key in PKCS #8 (RFC 5208, RFC 5915) the private number stands at byte 36; in its PEM text most of it is the second line. */
enum { PEM_MAX = 512, LINE_2 = 28 + 64 + 1, NUMBER_AT = 36, BASE64 = 184 };
static size_t private_number(const char *dir, const char *what, uint8_t *out)
{
    char name[HOME_KEY_NAME], path[128];
    uint8_t pem[PEM_MAX], der[PEM_MAX];
    char text[BASE64];
    size_t n = 0, len = 0;
    home_key_name(what, AGENT_DEVICE, name);
    (void)snprintf(path, sizeof path, "home/keys/%s.key", name);
    size_t got = key_file(dir, path, pem, sizeof pem);
    if (got > LINE_2 + FAULT_SECRET) {
        memcpy(out, pem + LINE_2, FAULT_SECRET);
        for (size_t i = 28; i < got && pem[i] != '-' && len < sizeof text; i++) {
            if (pem[i] != '\n') { text[len++] = (char)pem[i]; }
        }
        size_t der_len = 0;
        if (!kluis_unbase64((struct kluis_str){ text, len }, der, sizeof der, &der_len) || der_len < NUMBER_AT + FAULT_SECRET) { abort(); }
        memcpy(out + FAULT_SECRET, der + NUMBER_AT, FAULT_SECRET);
        n = 2;
    }
    kluis_wipe(pem, sizeof pem);
    kluis_wipe(der, sizeof der);
    kluis_wipe(text, sizeof text);
    return n;
}

size_t state_secrets(void *ctx, const char *dir, uint8_t *out, size_t room)
{
    (void)ctx;
    if (room < 5) { abort(); }
    size_t n = key_file(dir, "home/keys/home.key", out, FAULT_SECRET) == FAULT_SECRET ? 1 : 0;
    n += private_number(dir, "device", out + n * FAULT_SECRET);
    return n + private_number(dir, "login", out + n * FAULT_SECRET);
}
