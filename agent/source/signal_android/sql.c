/* sql.c - the shapes of the statements that Signal writes into a backup.
 *
 * Nothing of the file's SQL is ever run: a table is a name and columns, from which one of ours is made; a row is a name and a number of values.
 */
#include "agent/source/signal_android/backup.h"

struct at {
    const char *p, *end;
};

static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool word_char(char c) { return letter(c) || (c >= '0' && c <= '9'); }

static void blanks(struct at *a)
{
    while (a->p < a->end && (*a->p == ' ' || *a->p == '\n' || *a->p == '\r' || *a->p == '\t')) { a->p++; }
}

/* A keyword in any case, not the beginning of a longer word. */
static bool keyword(struct at *a, const char *word)
{
    const char *p = a->p;
    blanks(a);
    const char *q = a->p;
    for (; *word != '\0'; word++, q++) {
        if (q == a->end || (*q & ~0x20) != *word) {
            a->p = p;
            return false;
        }
    }
    if (q < a->end && word_char(*q)) {
        a->p = p;
        return false;
    }
    a->p = q;
    return true;
}

static bool mark(struct at *a, char c)
{
    blanks(a);
    if (a->p == a->end || *a->p != c) { return false; }
    a->p++;
    return true;
}

/* A name, plain or quoted, of letters, digits and '_'. */
static bool name(struct at *a, char out[SA_NAME_MAX])
{
    static const char open[] = "\"`'[", close[] = "\"`']";
    blanks(a);
    const char *quote = a->p < a->end && *a->p != '\0' ? strchr(open, *a->p) : NULL;
    if (quote != NULL) { a->p++; }
    size_t n = 0;
    while (a->p < a->end && word_char(*a->p) && n < SA_NAME_MAX - 1) { out[n++] = *a->p++; }
    out[n] = '\0';
    if (quote != NULL) {
        if (a->p == a->end || *a->p != close[quote - open]) { return false; }
        a->p++;
        if (a->p < a->end && *a->p == close[quote - open]) { return false; } /* a quote inside the name */
    } else if (a->p < a->end && word_char(*a->p)) {
        return false; /* longer than a name of ours */
    }
    return n > 0 && letter(out[0]);
}

/* To the ',' or ')' that ends a column's definition; quotes and parentheses inside it are passed over. */
static bool rest_of_column(struct at *a)
{
    for (int depth = 0; a->p < a->end; a->p++) {
        const char c = *a->p;
        if (c == '\'' || c == '"' || c == '`') {
            a->p = memchr(a->p + 1, c, (size_t)(a->end - a->p - 1));
            if (a->p == NULL) {
                a->p = a->end;
                return false;
            }
        } else if (c == '(') {
            depth++;
        } else if (c == ')' && depth > 0) {
            depth--;
        } else if (depth == 0 && (c == ',' || c == ')')) {
            return true;
        }
    }
    return false;
}

static bool constraint(struct at a)
{
    return keyword(&a, "CONSTRAINT") || keyword(&a, "UNIQUE") || keyword(&a, "PRIMARY") || keyword(&a, "FOREIGN") || keyword(&a, "CHECK");
}

static bool columns(struct at *a, struct sa_statement *out)
{
    if (!mark(a, '(')) { return false; }
    for (;;) {
        if (!constraint(*a)) {
            if (out->n == SA_COLUMNS_MAX || !name(a, out->column[out->n])) { return false; }
            for (unsigned i = 0; i < out->n; i++) {
                if (strcmp(out->column[i], out->column[out->n]) == 0) { return false; }
            }
            out->n++;
        }
        if (!rest_of_column(a)) { return false; }
        if (*a->p++ == ')') { break; }
    }
    (void)mark(a, ';');
    blanks(a);
    return a->p == a->end && out->n > 0;
}

static bool marks(struct at *a, struct sa_statement *out)
{
    if (!mark(a, '(')) { return false; }
    do {
        if (out->n++ == SA_COLUMNS_MAX || !mark(a, '?')) { return false; }
    } while (mark(a, ','));
    const bool closed = mark(a, ')');
    (void)mark(a, ';');
    blanks(a);
    return closed && a->p == a->end;
}

static enum sa_sql create(struct at *a, struct sa_statement *out)
{
    (void)(keyword(a, "TEMP") || keyword(a, "UNIQUE"));
    if (keyword(a, "INDEX") || keyword(a, "TRIGGER") || keyword(a, "VIEW") || keyword(a, "VIRTUAL")) { return SA_SQL_INDEX; }
    if (!keyword(a, "TABLE")) { return SA_SQL_OTHER; }
    if (keyword(a, "IF") && !(keyword(a, "NOT") && keyword(a, "EXISTS"))) { return SA_SQL_OTHER; }
    return name(a, out->name) && columns(a, out) ? SA_SQL_TABLE : SA_SQL_OTHER;
}

void sa_sql_read(struct kluis_str sql, struct sa_statement *out)
{
    struct at a = { sql.ptr, sql.ptr + sql.len };
    out->kind = SA_SQL_OTHER;
    out->name[0] = '\0';
    out->n = 0;
    if (keyword(&a, "CREATE")) {
        out->kind = create(&a, out);
    } else if (keyword(&a, "INSERT") && keyword(&a, "INTO") && name(&a, out->name) && keyword(&a, "VALUES") && marks(&a, out)) {
        out->kind = SA_SQL_INSERT;
    }
}
