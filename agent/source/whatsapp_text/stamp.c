/* stamp.c - recognises the date and time that begin a message, whatever region wrote them.
 *
 * One tokenizer instead of a list of formats: five or six numbers, and between them runs of separators, spaces
 * and words.  Every run must be made of known parts, or the line is no header.  Which number is day, month and
 * year is not decided here (survey.c decides it on the whole file).  The two commonest headers, in ASCII from end to end, are read by a
 * shorter way to the same result (stamp_plain).
 */
#include "wa.h"

enum { R_SPACE = 1, R_COMMA = 2, R_SLASH = 4, R_DASH = 8, R_DOT = 16, R_COLON = 32, R_CJKDATE = 64, R_WORD = 128 };
struct run {
    unsigned flags;
    uint8_t half, era;
};

/* Words without spaces and dots, ASCII lower case.  half: morning or afternoon; era; neither: a filler such as "klo". */
struct word {
    const char *w;
    uint8_t half, era;
};
static const struct word words[] = {
    { "am", WA_AM, 0 },
    { "pm", WA_PM, 0 },
    { "a", WA_AM, 0 },
    { "p", WA_PM, 0 },
    { "vm", WA_AM, 0 },
    { "nm", WA_PM, 0 },
    { "vorm", WA_AM, 0 },
    { "nachm", WA_PM, 0 },
    { "fm", WA_AM, 0 },
    { "em", WA_PM, 0 },
    { "ap", WA_AM, 0 },
    { "ip", WA_PM, 0 },
    { "fh", WA_AM, 0 },
    { "eh", WA_PM, 0 },
    { "dop", WA_AM, 0 },
    { "odp", WA_PM, 0 },
    { "pop", WA_PM, 0 },
    { "de", WA_AM, 0 },
    { "du", WA_PM, 0 },
    { "pd", WA_AM, 0 },
    { "md", WA_PM, 0 },
    { "pg", WA_AM, 0 },
    { "ptg", WA_PM, 0 },
    { "sa", WA_AM, 0 },
    { "ch", WA_PM, 0 },
    { "\xC3\xB6\xC3\xB6", WA_AM, 0 },
    { "\xC3\xB6s", WA_PM, 0 },
    { "\xC3\x96\xC3\x96", WA_AM, 0 },
    { "\xC3\x96s", WA_PM, 0 },
    { "to", WA_AM, 0 },
    { "tk", WA_PM, 0 },
    { "prie\xC5\xA1piet", WA_AM, 0 },
    { "popiet", WA_PM, 0 },
    { "priek\xC5\xA1p", WA_AM, 0 },
    { "p\xC4\x93"
      "cp",
      WA_PM, 0 },
    { "\xCF\x80\xCE\xBC", WA_AM, 0 },
    { "\xCE\xBC\xCE\xBC", WA_PM, 0 },
    { "\xCE\xA0\xCE\x9C", WA_AM, 0 },
    { "\xCE\x9C\xCE\x9C", WA_PM, 0 },
    { "дп", WA_AM, 0 },
    { "пп", WA_PM, 0 },
    { "ДП", WA_AM, 0 },
    { "ПП", WA_PM, 0 },
    { "пре\xD0\xBE\xD0\xB1", WA_AM, 0 },
    { "проб", WA_AM, 0 },
    { "слоб", WA_PM, 0 },
    { "преподне", WA_AM, 0 },
    { "поподне", WA_PM, 0 },
    { "претпл", WA_AM, 0 },
    { "попл", WA_PM, 0 },
    { "үө", WA_AM, 0 },
    { "үх", WA_PM, 0 },
    { "ص", WA_AM, 0 },
    { "م", WA_PM, 0 },
    { "صباحًا", WA_AM, 0 },
    { "مساءً", WA_PM, 0 },
    { "صباحا", WA_AM, 0 },
    { "مساء", WA_PM, 0 },
    { "قظ", WA_AM, 0 },
    { "بظ", WA_PM, 0 },
    { "قبلازظهر", WA_AM, 0 },
    { "بعدازظهر", WA_PM, 0 },
    { "قبلدوپہر", WA_AM, 0 },
    { "بعددوپہر", WA_PM, 0 },
    { "לפנה\xD7\xB4צ", WA_AM, 0 },
    { "אחה\xD7\xB4צ", WA_PM, 0 },
    { "לפנה\"צ", WA_AM, 0 },
    { "אחה\"צ", WA_PM, 0 },
    { "पूर्वाह्न", WA_AM, 0 },
    { "अपराह्न", WA_PM, 0 },
    { "मपू", WA_AM, 0 },
    { "मउ", WA_PM, 0 },
    { "পূর্বাহ্ণ", WA_AM, 0 },
    { "অপরাহ্ণ", WA_PM, 0 },
    { "ਪੂਦੁ", WA_AM, 0 },
    { "ਬਾਦੁ", WA_PM, 0 },
    { "முற்பகல்", WA_AM, 0 },
    { "பிற்பகல்", WA_PM, 0 },
    { "ಪೂರ್ವಾಹ್ನ", WA_AM, 0 },
    { "ಅಪರಾಹ್ನ", WA_PM, 0 },
    { "පෙව", WA_AM, 0 },
    { "පව", WA_PM, 0 },
    { "ก่อนเที่ยง", WA_AM, 0 },
    { "หลังเที่ยง", WA_PM, 0 },
    { "ກ່ອນທ່ຽງ", WA_AM, 0 },
    { "ຫຼັງທ່ຽງ", WA_PM, 0 },
    { "ព្រឹក", WA_AM, 0 },
    { "ល្ងាច", WA_PM, 0 },
    { "နံနက်", WA_AM, 0 },
    { "ညနေ", WA_PM, 0 },
    { "ጥዋት", WA_AM, 0 },
    { "ከሰዓት", WA_PM, 0 },
    { "午前", WA_AM, 0 },
    { "午後", WA_PM, 0 },
    { "上午", WA_AM, 0 },
    { "下午", WA_PM, 0 },
    { "凌晨", WA_AM, 0 },
    { "清晨", WA_AM, 0 },
    { "早上", WA_AM, 0 },
    { "中午", WA_NOON, 0 },
    { "晚上", WA_PM, 0 },
    { "傍晚", WA_PM, 0 },
    { "午夜", WA_AM, 0 },
    { "오전", WA_AM, 0 },
    { "오후", WA_PM, 0 },
    { "be", 0, WA_ERA_BUDDHIST },
    { "พศ", 0, WA_ERA_BUDDHIST },
    { "ค\xE0\xB8\xA8", 0, WA_ERA_CE },
    { "佛曆", 0, WA_ERA_BUDDHIST },
    { "佛历", 0, WA_ERA_BUDDHIST },
    { "仏暦", 0, WA_ERA_BUDDHIST },
    { "ad", 0, WA_ERA_CE },
    { "ce", 0, WA_ERA_CE },
    { "reiwa", 0, WA_ERA_REIWA },
    { "令和", 0, WA_ERA_REIWA },
    { "heisei", 0, WA_ERA_HEISEI },
    { "平成", 0, WA_ERA_HEISEI },
    { "西暦", 0, WA_ERA_CE },
    { "西元", 0, WA_ERA_CE },
    { "民國", 0, WA_ERA_MINGUO },
    { "民国", 0, WA_ERA_MINGUO },
    { "ه‍ش", 0, WA_ERA_PERSIAN },
    { "هش", 0, WA_ERA_PERSIAN },
    { "ap", 0, WA_ERA_PERSIAN },
    { "ah", 0, WA_ERA_ISLAMIC },
    { "هـ", 0, WA_ERA_ISLAMIC },
    { "ه", 0, WA_ERA_ISLAMIC },
    { "klo", 0, 0 },
    { "kl", 0, 0 },
    { "\xC3\xA0s", 0, 0 },
    { "\xC3\xA0", 0, 0 },
    { "as", 0, 0 },
    { "alas", 0, 0 },
    { "um", 0, 0 },
    { "om", 0, 0 },
    { "at", 0, 0 },
    { "la", 0, 0 },
    { "o", 0, 0 },
    { "ob", 0, 0 },
    { "u", 0, 0 },
    { "v", 0, 0 },
    { "г", 0, 0 },
    { "год", 0, 0 },
    { "р", 0, 0 },
    { "ч", 0, 0 },
    { "в", 0, 0 },
    { "о", 0, 0 },
    { "ж", 0, 0 },
    { "plkst", 0, 0 },
    { "jam", 0, 0 },
    { "pukul", 0, 0 },
    { "lúc", 0, 0 },
    { "k", 0, 0 },
    { "uur", 0, 0 },
    { "uhr", 0, 0 },
    { "s", 0, 0 },
    { "секунд", 0, 0 },
    { "เวลา", 0, 0 },
    { "น", 0, 0 },
    { "في", 0, 0 },
    { "ساعت", 0, 0 },
    { "ה", 0, 0 },
    { "ב", 0, 0 },
    { "בשעה", 0, 0 },
};

static const struct word *word_find(const char *w, size_t n)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strlen(words[i].w) == n && memcmp(words[i].w, w, n) == 0) { return &words[i]; }
    }
    return NULL;
}

static bool word_apply(struct run *r, const char *w, size_t n)
{
    const struct word *f = word_find(w, n);
    if (f == NULL) { return false; }
    r->flags |= R_WORD;
    if (f->half != 0) { r->half = f->half; }
    if (f->era != 0) { r->era = f->era; }
    return true;
}

static unsigned separator(uint32_t cp)
{
    switch (cp) {
    case ',':
    case 0x060C:
    case 0x3001:
    case 0xFF0C: return R_COMMA;
    case '/':
    case 0xFF0F: return R_SLASH;
    case '-':
    case 0x2010:
    case 0x2011: return R_DASH;
    case '.':
    case 0xFF0E: return R_DOT;
    case ':':
    case 0xFF1A:
    case 0x2236:
    case 0x66C:
    case 0x6642:
    case 0x65F6:
    case 0x5206:
    case 0x79D2: /* 時 时 分 秒 */
    case 0xC2DC:
    case 0xBD84:
    case 0xCD08: return R_COLON; /* 시 분 초 */
    case 0x5E74:
    case 0x6708:
    case 0x65E5:
    case 0xB144:
    case 0xC6D4:
    case 0xC77C: return R_CJKDATE; /* 年 月 日 년 월 일 */
    default: return 0;
    }
}

/* A run of separators and words.  `between`: numbers on both sides, where a lone "h" separates hours. */
static bool run_parse(const char *p, size_t n, bool between, struct run *r)
{
    memset(r, 0, sizeof *r);
    if (n == 1) {
        switch (p[0]) {
        case '/': r->flags = R_SLASH; return true;
        case ':': r->flags = R_COLON; return true;
        case '-': r->flags = R_DASH; return true;
        case '.': r->flags = R_DOT; return true;
        case ' ': r->flags = R_SPACE; return true;
        default: break;
        }
    } else if (n == 2 && p[0] == ',' && p[1] == ' ') {
        r->flags = R_COMMA | R_SPACE;
        return true;
    } else if (n == 0) {
        return !between;
    }
    if (n > 48) { return false; }
    char word[64], joined[64];
    size_t w = 0, j = 0, n_words = 0;
    bool unknown = false, upper_h = false;
    for (size_t i = 0; i <= n;) {
        uint32_t cp = ' ';
        size_t k = i < n ? wa_cp(p + i, n - i, &cp) : 1;
        if (k == 0) { return false; }
        if (i < n && wa_is_mark(cp)) {
            i += k;
            continue;
        }
        unsigned sep = i < n ? separator(cp) : 0;
        bool space = wa_is_space(cp);
        if (sep == R_DOT && w > 0) {
            i += k;
            continue;
        } /* "a.", "kl." */
        if (sep != 0 || space) {
            if (w > 0) {
                n_words++;
                if (w == 1 && word[0] == 'h' && between) {
                    if (upper_h) {
                        r->era = WA_ERA_HEISEI;
                    } else {
                        r->flags |= R_COLON;
                    }
                } else if (w == 1 && word[0] == 'h' && upper_h) {
                    r->era = WA_ERA_HEISEI;
                } else if (w == 1 && word[0] == 'r') {
                    r->era = WA_ERA_REIWA;
                } else if (w == 3 && memcmp(word, "min", 3) == 0 && between) {
                    r->flags |= R_COLON;
                } else if (!word_apply(r, word, w)) {
                    unknown = true;
                }
                w = 0;
            }
            if (i < n) { r->flags |= sep != 0 ? sep : R_SPACE; }
            i += k;
            continue;
        }
        if (w + k > sizeof word || j + k > sizeof joined) { return false; }
        if (k == 1) {
            if (!((cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') || cp == '"')) { return false; }
            upper_h = cp == 'H';
            if (cp <= 'Z' && cp >= 'A') { cp += 32; }
            word[w++] = (char)cp;
            joined[j++] = (char)cp;
        } else {
            memcpy(word + w, p + i, k);
            memcpy(joined + j, p + i, k);
            w += k;
            j += k;
        }
        i += k;
    }
    if (n_words > 1) { /* "a. m.", "пре подне" */
        struct run together = { r->flags, 0, 0 };
        if (word_apply(&together, joined, j)) {
            *r = together;
            return true;
        }
    }
    return !unknown;
}

/* Reads one number; false: none, or longer than a year. 元 is the first year of an era. */
static bool number(const char *p, size_t n, size_t *at, int *value, uint8_t *digits)
{
    size_t i = *at;
    int v = 0, count = 0;
    while (i < n) {
        uint32_t cp;
        size_t k = wa_cp(p + i, n - i, &cp);
        int d = k == 0 ? -1 : wa_digit(cp);
        if (d < 0 && k == 3 && cp == 0x5143 && count == 0) {
            *at = i + k;
            *value = 1;
            *digits = 1;
            return true;
        }
        if (d < 0) { break; }
        if (++count > 4) { return false; }
        v = v * 10 + d;
        i += k;
    }
    if (count == 0) { return false; }
    *at = i;
    *value = v;
    *digits = (uint8_t)count;
    return true;
}

static bool digit_at(const char *p, size_t n)
{
    if (n > 0 && (unsigned char)p[0] < 0x80) { return p[0] >= '0' && p[0] <= '9'; }
    uint32_t cp;
    size_t k = wa_cp(p, n, &cp);
    return k > 0 && (wa_digit(cp) >= 0 || cp == 0x5143);
}

/* " - " ends an Android header. Returns its length with the spaces around it, or 0. */
static size_t dash_end(const char *p, size_t n)
{
    size_t i = 0;
    uint32_t cp;
    size_t k = wa_cp(p, n, &cp);
    if (k == 0 || !wa_is_space(cp)) { return 0; }
    i += k;
    while ((k = wa_cp(p + i, n - i, &cp)) > 0 && wa_is_mark(cp)) { i += k; }
    if (k == 0 || (cp != '-' && cp != 0x2013 && cp != 0x2014)) { return 0; }
    i += k;
    if (i < n && p[i] == ' ') { return i + 1; }
    if (i == n || p[i] == '\n' || p[i] == '\r') { return i; }
    k = wa_cp(p + i, n - i, &cp);
    return k > 0 && wa_is_space(cp) ? i + k : 0;
}

struct scan {
    int v[8];
    uint8_t d[8];
    struct run r[9];
    int n;
};

static bool assign(const struct scan *c, struct wa_stamp *o)
{
    int n = c->n, t = -1, tn = 0;
    for (int k = 1; k < n; k++) {
        if (c->r[k].flags & R_COLON) {
            t = k - 1;
            tn = 2;
            if (k + 1 < n && (c->r[k + 1].flags & R_COLON)) { tn = 3; }
            break;
        }
    }
    if (t < 0) { /* 14.05 and 14.05.33 */
        tn = n - 3;
        t = 3;
        const struct run *gap = &c->r[3], *early = &c->r[tn];
        if (n == 5 && ((early->flags & R_COMMA) || ((early->flags & R_SPACE) && !(gap->flags & (R_SPACE | R_COMMA))))) { t = 0; }
        if (n == 6 && (c->d[5] == 4 || c->d[3] == 4 || (c->r[1].flags & R_DOT && c->r[4].flags & (R_SLASH | R_DASH)))) { t = 0; }
        if (!((t == 0 ? c->r[1] : c->r[4]).flags & R_DOT)) { return false; }
    }
    if (n != tn + 3 || (t != 0 && t != 3)) { return false; }
    int d = t == 0 ? tn : 0;
    const unsigned datesep = R_SLASH | R_DASH | R_DOT | R_CJKDATE | R_SPACE;
    for (int k = 1; k <= 2; k++) {
        unsigned f = c->r[d + k].flags;
        if ((f & (R_COLON | R_COMMA)) || !(f & datesep)) { return false; }
    }
    /* Between date and time something must stand that is no date separator alone. */
    if (!(c->r[t == 0 ? tn : 3].flags & (R_SPACE | R_COMMA | R_WORD | R_CJKDATE))) { return false; }
    for (int k = 0; k < 3; k++) {
        o->date[k] = c->v[d + k];
        o->digits[k] = c->d[d + k];
    }
    for (int k = 0; k < tn; k++) {
        if (c->d[t + k] > 2) { return false; }
    }
    o->hour = c->v[t];
    o->minute = c->v[t + 1];
    o->second = tn == 3 ? c->v[t + 2] : -1;
    o->time_first = t == 0;
    o->slash = (c->r[d + 1].flags & R_SLASH) != 0;
    o->half = WA_HALF_NONE;
    o->era = WA_ERA_NONE;
    for (int k = 0; k <= n; k++) {
        if (c->r[k].half != 0) { o->half = c->r[k].half; }
        if (c->r[k].era != 0) { o->era = c->r[k].era; }
    }
    o->era_first = c->r[d].era != 0 && (d == 0 || c->r[d].era != 0);
    return true;
}

/* One to `most` ASCII digits. */
static bool plain_number(const char *p, size_t n, size_t *at, size_t most, int *value, uint8_t *digits)
{
    size_t from = *at, i = from;
    int v = 0;
    while (i < n && i - from <= most && p[i] >= '0' && p[i] <= '9') { v = v * 10 + (p[i++] - '0'); }
    if (i == from || i - from > most) { return false; }
    *at = i;
    *value = v;
    *digits = (uint8_t)(i - from);
    return true;
}

/* "5-1-2024 10:00 - " and "[05/01/2024, 10:00:59] ": what most phones write.  false says nothing: the tokenizer looks again. */
static bool stamp_plain(const char *p, size_t n, struct wa_stamp *o)
{
    size_t i = 0, limit = n < WA_STAMP_MAX ? n : WA_STAMP_MAX;
    uint8_t width;
    o->bracket = n > 0 && p[0] == '[';
    if (o->bracket) { i++; }
    char sep = 0;
    for (int k = 0; k < 3; k++) {
        if (k > 0) {
            if (i >= limit || (p[i] != '-' && p[i] != '/' && p[i] != '.') || (k == 2 && p[i] != sep)) { return false; }
            sep = p[i++];
        }
        if (!plain_number(p, limit, &i, 4, &o->date[k], &o->digits[k])) { return false; }
    }
    if (i < limit && p[i] == ',') { i++; }
    if (i >= limit || p[i++] != ' ' || !plain_number(p, limit, &i, 2, &o->hour, &width)) { return false; }
    if (i >= limit || p[i++] != ':' || !plain_number(p, limit, &i, 2, &o->minute, &width)) { return false; }
    o->second = -1;
    if (i < limit && p[i] == ':') {
        i++;
        if (!plain_number(p, limit, &i, 2, &o->second, &width)) { return false; }
    }
    if (o->bracket) {
        if (i >= limit || p[i++] != ']') { return false; }
        while (i < n && p[i] == ' ') { i++; }
    } else {
        if (limit - i < 3 || p[i] != ' ' || p[i + 1] != '-' || p[i + 2] != ' ') { return false; }
        i += 3;
    }
    o->half = WA_HALF_NONE;
    o->era = WA_ERA_NONE;
    o->era_first = o->time_first = o->mark = false;
    o->slash = sep == '/';
    o->len = i;
    return true;
}

bool wa_stamp_scan(const char *p, size_t n, struct wa_stamp *o) { return stamp_plain(p, n, o) || wa_stamp_tokens(p, n, o); }

bool wa_stamp_tokens(const char *p, size_t n, struct wa_stamp *o)
{
    size_t i = 0;
    o->mark = false;
    while (i < n && (unsigned char)p[i] >= 0x80) {
        uint32_t cp;
        size_t k = wa_cp(p + i, n - i, &cp);
        if (k == 0 || !wa_is_mark(cp)) { break; }
        if (cp != 0xFEFF) { o->mark = true; }
        i += k;
    }
    if (i >= n) { return false; }
    o->bracket = p[i] == '[';
    if (o->bracket) {
        i++;
    } else if ((unsigned char)p[i] < 0x80 && !(p[i] >= '0' && p[i] <= '9')) {
        if (!((p[i] == 'R' || p[i] == 'H') && i + 1 < n && p[i + 1] >= '0' && p[i + 1] <= '9')) { return false; }
    }
    size_t limit = n < WA_STAMP_MAX ? n : WA_STAMP_MAX;
    struct scan c;
    c.n = 0;
    for (;;) {
        size_t from = i, ends = 0;
        while (i < limit && !digit_at(p + i, limit - i)) {
            if (p[i] == '\n') { return false; }
            if (o->bracket ? p[i] == ']' : c.n >= 5 && (ends = dash_end(p + i, n - i)) > 0) { break; }
            uint32_t cp;
            size_t k = wa_cp(p + i, limit - i, &cp);
            if (k == 0 || i - from > 48) { return false; }
            i += k;
        }
        if (i >= limit) { return false; }
        bool end = o->bracket ? p[i] == ']' : ends > 0;
        if (!run_parse(p + from, i - from, !end && c.n > 0, &c.r[c.n])) { return false; }
        if (end) {
            if (c.n < 5) { return false; }
            i += o->bracket ? 1 : ends;
            break;
        }
        if (c.n == 6 || !number(p, limit, &i, &c.v[c.n], &c.d[c.n])) { return false; }
        c.n++;
    }
    if (!assign(&c, o)) { return false; }
    while (o->bracket && i < n && p[i] == ' ') { i++; }
    o->len = i;
    return true;
}
