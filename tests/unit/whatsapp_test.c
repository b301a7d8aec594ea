/* whatsapp_test.c - the whatsapp-text reader on chats written for this project (invented people). */
#include "whatsapp_support.h"

#define LRM "\xE2\x80\x8E"
#define RLM "\xE2\x80\x8F"
#define NNBSP "\xE2\x80\xAF"
#define THIN "\xE2\x80\x89"
#define NBSP "\xC2\xA0"

static struct chat_read c;

#define READ(text, ...) chat_read(&c, (text), sizeof(text) - 1, 0, __VA_ARGS__, (char *)NULL)
#define HAS(i, part) assert_true(chat_has(&c, (i), (part)))
#define OK(count)                                                                                                                                    \
    do {                                                                                                                                             \
        if (c.rc != KLUIS_OK) { print_message("%s\n", c.err.msg); }                                                                                  \
        assert_int_equal(c.rc, KLUIS_OK);                                                                                                            \
        assert_int_equal(c.n, (count));                                                                                                              \
    } while (0)

static void refused(const char *part)
{
    assert_int_not_equal(c.rc, KLUIS_OK);
    assert_int_equal(kluis_exit_code(c.rc), 1);
    assert_int_equal(c.n, 0);
    assert_null(strchr(c.err.msg, '\n'));
    if (strstr(c.err.msg, part) == NULL) { print_message("%s\n", c.err.msg); }
    assert_non_null(strstr(c.err.msg, part));
    chat_free(&c);
}

/* One message under a header must have this time. */
static void header_means(const char *head, const char *sent)
{
    char text[512];
    int n = snprintf(text, sizeof text, "%sJan: hoi\n%sPiet: dag\n", head, head);
    chat_read(&c, text, (size_t)n, 0, "", (char *)NULL);
    if (c.rc != KLUIS_OK || c.n != 2) { print_message("%s -> %s\n", head, c.err.msg); }
    OK(2);
    HAS(0, sent);
    HAS(0, "\"text\":\"hoi\"");
    chat_free(&c);
}

static void every_region_writes_the_same_moment(void **state)
{
    (void)state;
    static const char *const ios[] = { "[27-03-2022 21:41:35] ",
                                       "[27-03-2022, 21:41:35] ",
                                       "[27/03/2022, 21:41:35] ",
                                       "[3/27/22, 21:41:35] ",
                                       "[3/27/22, 9:41:35 PM] ",
                                       "[3/27/22, 9:41:35" NNBSP "PM] ",
                                       "[27/03/2022, 9:41:35" THIN "p.m.] ",
                                       "[27/3/22, 9:41:35" NBSP "p. m.] ",
                                       "[27.03.22, 21:41:35] ",
                                       "[27.3.2022 klo 21.41.35] ",
                                       "[27.03.2022 21.41.35] ",
                                       "[2022-03-27 21:41:35] ",
                                       "[2022-03-27, 21:41:35] ",
                                       "[2022/03/27 21:41:35] ",
                                       "[2022/3/27 下午9:41:35] ",
                                       "[2022/3/27 午後9:41:35] ",
                                       "[2022. 3. 27. 오후 9:41:35] ",
                                       "[2022. 03. 27. 21:41:35] ",
                                       "[27. 3. 2022 21:41:35] ",
                                       "[27.03.22 г., 21:41:35] ",
                                       "[21:41:35, 3/27/22] ",
                                       "[21:41:35, 27/03/2022] ",
                                       "[" RLM "27" RLM "/3" RLM "/2022، 21:41:35] ",
                                       "[٢٧" RLM "/٣" RLM "/٢٠٢٢ ٩:٤١:٣٥ م] ",
                                       "[۱۴۰۱/۱/۷،" RLM " ۲۱:۴۱:۳۵] ",
                                       "[२७/३/२०२२, २१:४१:३५] ",
                                       "[২৭/৩/২২, ৯:৪১:৩৫ PM] ",
                                       "[27/3/2565 BE, 21:41:35] ",
                                       "[3/27/2565 BE, 9:41:35 PM] ",
                                       "[27/3/2565 21:41:35] ",
                                       "[R4/3/27 21:41:35] ",
                                       "[3/27/4 R, 21:41:35] ",
                                       "[令和4年3月27日 21:41:35] ",
                                       "[民國111/3/27 21:41:35] ",
                                       LRM "[3/27/22, 21:41:35] ",
                                       "\xEF\xBB\xBF[27-03-2022 21:41:35] ",
                                       "[27/03/2022 21 h 41 min 35 s] ",
                                       "[27-03-22 21:41:35] ",
                                       "[27/3/65 21:41:35] " };
    for (size_t i = 0; i < sizeof ios / sizeof *ios; i++) { header_means(ios[i], "2022-03-27T21:41:35+02:00"); }
    static const char *const android[] = {
        "27-03-2022 21:41 - ",    "27-03-2022, 21:41 - ",  "27/03/2022, 21:41 - ",   "3/27/22, 21:41 - ",
        "3/27/22, 9:41 PM - ",    "27/3/22 9:41 p. m. - ", "27.03.22, 21:41 - ",     "27.03.22 21:41 - ",
        "27.3.2022 klo 21.41 - ", "2022-03-27 21:41 - ",   "2022/3/27 下午9:41 - ",  "2022. 3. 27. 오후 9:41 - ",
        "27/03/2022 21:41 - ",    "21:41 27/3/22 - ",      "27/03/2022, 9:41 pm - ", "27/03/2022," NBSP "9:41" NNBSP "pm - ",
        "2022年3月27日 21:41 - ", "27/3/2565 21:41 - "
    };
    for (size_t i = 0; i < sizeof android / sizeof *android; i++) { header_means(android[i], "2022-03-27T21:41+02:00"); }
}

static void midnight_and_noon_of_twelve_hour_clocks(void **state)
{
    (void)state;
    header_means("3/27/22, 12:05 AM - ", "2022-03-27T00:05+01:00");
    header_means("3/27/22, 12:05 PM - ", "2022-03-27T12:05+02:00");
    header_means("2022/3/27 凌晨12:05 - ", "2022-03-27T00:05+01:00");
    header_means("2022/3/27 中午1:05 - ", "2022-03-27T13:05+02:00");
    header_means("13/02/2022, 00:08 a. m. - ", "2022-02-13T00:08+01:00");
}

/* The short way for the commonest headers gives what the tokenizer gives, or nothing: over headers made of the parts that occur in them,
 * most of them wrong somewhere. */
static void the_short_way_reads_headers_as_the_tokenizer_does(void **state)
{
    (void)state;
    static const char *const parts[] = { "5", "12", "05", "2024", "24", "20245", "-",  "/", ".",  ":",      ", ",     " ",        " - ", " -", "- ",
                                         "[", "]",  "] ", "10",   "7",  "AM",    "pm", "h", "59", "\u200e", "\u202f", "\xd9\xa3", "\n",  "",   "x" };
    static const int usual[] = { 0, 6, 1, 6, 3, 11, 18, 9, 23, 9, 23, 12 };
    uint64_t seed = 20260101, read = 0;
    for (int round = 0; round < 200000; round++) {
        char head[256];
        size_t n = 0, most = 12;
        if (round % 2 == 1) { head[n++] = '['; }
        for (size_t k = 0; k < most; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            size_t pick = seed >> 33;
            const char *p = pick % 7 == 0 ? parts[pick / 7 % (sizeof parts / sizeof *parts)] : parts[usual[k]];
            if (pick % 5 == 0 && (k == 9 || k == 10)) { continue; } /* no seconds */
            if (round % 2 == 1 && k == 11 && pick % 3 != 0) { p = parts[17]; }
            memcpy(head + n, p, strlen(p));
            n += strlen(p);
        }
        for (size_t cut = n; cut + 4 > n; cut--) {
            struct wa_stamp a, b;
            memset(&a, 0, sizeof a);
            memset(&b, 0, sizeof b);
            bool x = wa_stamp_scan(head, cut, &a), y = wa_stamp_tokens(head, cut, &b);
            if (x != y) { fail_msg("'%.*s' is a header one way and none the other", (int)cut, head); }
            if (!x) { continue; }
            read++;
            bool same = memcmp(a.date, b.date, sizeof a.date) == 0 && memcmp(a.digits, b.digits, sizeof a.digits) == 0 && a.hour == b.hour &&
                        a.minute == b.minute && a.second == b.second && a.half == b.half && a.era == b.era && a.era_first == b.era_first &&
                        a.bracket == b.bracket && a.time_first == b.time_first && a.mark == b.mark && a.slash == b.slash && a.len == b.len;
            if (!same) { fail_msg("'%.*s' is read in two ways", (int)cut, head); }
        }
    }
    assert_true(read > 20000);
}

static void order_is_decided_on_the_whole_file(void **state)
{
    (void)state;
    READ("03/04/2022, 10:00 - Jan: een\n03/05/2022, 10:00 - Jan: twee\n03/13/2022, 10:00 - Jan: drie\n", "");
    OK(3);
    HAS(0, "2022-03-04T");
    chat_free(&c);
    READ("03/04/2022, 10:00 - Jan: een\n13/04/2022, 10:00 - Jan: twee\n", "");
    OK(2);
    HAS(0, "2022-04-03T");
    chat_free(&c);
    /* No part above 12: fewest steps back in time decide. 1 Feb, 2 Feb, 1 March, 2 March. */
    READ("01/02/2022, 10:00 - Jan: a\n02/02/2022, 10:00 - Jan: b\n01/03/2022, 10:00 - Jan: c\n02/03/2022, 10:00 - Jan: d\n", "");
    OK(4);
    HAS(3, "2022-03-02T");
    assert_null(strstr((char *)c.header.data, "undecided"));
    chat_free(&c);
    /* Two digits of year first, as in Quebec. */
    READ("22-02-27 21 h 41 - Jan: a\n22-03-02 21 h 41 - Jan: b\n", "");
    OK(2);
    HAS(0, "\"sent\":\"2022-02-27T21:41+01:00\",\"text\"");
    chat_free(&c);
    /* Dates in attachments' names decide what nothing else does. */
    READ("03/04/2022, 10:00 - Jan: IMG-20220304-WA0001.jpg (bestand bijgevoegd)\n", "");
    OK(1);
    HAS(0, "2022-03-04T");
    chat_free(&c);
}

static void an_undecided_order_is_flagged_with_both_readings(void **state)
{
    (void)state;
    READ("03-04-2022, 10:00 - Jan: een\n03-04-2022, 11:00 - Piet: twee\n", "");
    OK(2);
    HAS(0, "\"sent\":\"2022-04-03T10:00+02:00\"");
    HAS(0, "\"sent-otherwise\":\"2022-03-04T10:00:00+01:00\"");
    HAS(0, "\"date-order\":\"undecided\"");
    assert_non_null(strstr((char *)c.header.data, "date-order-undecided"));
    chat_free(&c);
    READ("03-04-2022, 10:00 - Jan: een\n", "", "date-order=mdy");
    OK(1);
    HAS(0, "2022-03-04T10:00+01:00");
    assert_null(strstr((char *)c.header.data, "undecided"));
    chat_free(&c);
    READ("03-04-2022, 10:00 - Jan: een\n", "", "date-order=certain");
    refused("date-order");
    READ("05-05-2022, 10:00 - Jan: een\n", "", "date-order=certain");
    OK(1);
    chat_free(&c);
    READ("25-05-2022, 10:00 - Jan: een\n", "", "date-order=mdy");
    refused("declared order mdy");
}

static void a_date_that_exists_in_no_calendar_is_refused_by_line(void **state)
{
    (void)state;
    READ("12-03-2026, 14:32 - Jan: hoi\nregel\n31-02-2026, 14:33 - Jan: kan niet\n", "");
    refused("line 3: a date that exists in no calendar");
    READ("12-03-2026, 14:32 - Jan: hoi\n12-03-2026, 24:61 - Jan: kan niet\n", "");
    refused("line 2: a time that exists on no clock");
    READ("29-02-2023, 14:32 - Jan: geen schrikkeljaar\n", "");
    refused("line 1");
    READ("29-02-2024, 14:32 - Jan: schrikkeljaar\n", "");
    OK(1);
    chat_free(&c);
    READ("12-03-2026, 14:32 - Jan: hoi\n31-02-2026, 14:33 - Jan: tekst\n13-03-2026, 14:34 - Jan: dag\n", "", "bad-date=text");
    OK(2);
    HAS(0, "hoi\\n31-02-2026, 14:33 - Jan: tekst");
    HAS(0, "header-like-text");
    chat_free(&c);
    READ("[27/8/1443, 21:41:35] Jan: hoi\n", "");
    refused("Islamic calendar");
}

static void the_repeated_hour_has_both_readings(void **state)
{
    (void)state;
    READ("[30-10-2022 01:59:59] Jan: voor\n[30-10-2022 02:30:00] Jan: dubbel\n[30-10-2022 03:00:00] Jan: na\n[26-03-2023 02:30:00] Jan: nooit\n", "");
    OK(4);
    HAS(0, "2022-10-30T01:59:59+02:00\",\"text\"");
    HAS(1, "\"sent\":\"2022-10-30T02:30:00+02:00\"");
    HAS(1, "\"sent-otherwise\":\"2022-10-30T02:30:00+01:00\"");
    HAS(1, "\"clock\":\"shown-twice\"");
    HAS(2, "2022-10-30T03:00:00+01:00\",\"text\"");
    HAS(3, "\"clock\":\"never-shown\"");
    HAS(3, "2023-03-26T02:30:00+01:00");
    chat_free(&c);
    READ("01-07-2022 12:00 - Jan: Curacao\n", "", "zone=America/Curacao");
    OK(1);
    HAS(0, "2022-07-01T12:00-04:00");
    chat_free(&c);
    READ("13-07-2050 12:00 - Jan: over vele jaren\n", "");
    HAS(0, "2050-07-13T12:00+02:00");
    chat_free(&c);
    READ("01-07-2022 12:00 - Jan: x\n", "", "zone=../../etc/passwd");
    assert_int_equal(c.rc, KLUIS_E_USAGE);
    chat_free(&c);
    READ("01-07-2022 12:00 - Jan: x\n", "", "zone=Nergens/Oord");
    assert_int_equal(c.rc, KLUIS_E_USAGE);
    chat_free(&c);
}

/* An iPhone chat with everything in it, ours. */
static const char iphone[] =
    "[12-03-2026 14:32:10] Overleg Waterkering: " LRM
    "Berichten en gesprekken worden end-to-end versleuteld. Niemand buiten deze chat kan ze lezen of beluisteren.\r\n"
    "[12-03-2026 14:32:10] Overleg Waterkering: " LRM "Sanne de Wit heeft de groep \u201cOverleg Waterkering\u201d aangemaakt\r\n"
    "[12-03-2026 14:33:02] Sanne de Wit: Goedemiddag\nallemaal, de nota komt eraan: zie bijlage\r\n" LRM
    "[12-03-2026 14:33:40] Sanne de Wit: Nota.pdf \xE2\x80\xA2 " LRM "2 pagina\u2019s " LRM "<bijgevoegd: 00000004-Nota.pdf>\r\n" LRM
    "[12-03-2026 14:34:00] ~" NNBSP "Karim: " LRM "afbeelding weggelaten\r\n" LRM "[12-03-2026 14:34:30] \u202A+31 6 12345678\u202C: kijk hier " LRM
    "<bijgevoegd: 00000006-PHOTO-2026-03-12-14-34-30.jpg>\r\n"
    "[12-03-2026 14:35:00] Sanne de Wit: " LRM "Dit bericht is verwijderd.\r\n"
    "[12-03-2026 14:36:00] Sanne de Wit: Besluit is akkoord " LRM "<Dit bericht is bewerkt>\r\n" LRM "[12-03-2026 14:37:00] Sanne de Wit: " LRM
    "POLL:\nWanneer?\n" LRM "OPTIE: Maandag (" LRM "2 stemmen)\n" LRM "OPTIE: Dinsdag (" LRM "0 stemmen)\r\n"
    "[12-03-2026 14:38:00] ~" NNBSP "Karim: " LRM "Locatie: https://maps.google.com/?q=52.08,4.31\r\n"
    "[12-03-2026 14:39:00] Sanne de Wit: " LRM "Gemiste video-oproep\r\n"
    "[12-03-2026 14:40:00] ~" NNBSP "Karim: " LRM "Wachten op dit bericht\r\n"
    "[12-03-2026 14:41:00] Overleg Waterkering: " LRM "Sanne de Wit heeft Joost toegevoegd\r\n"
    "[12-03-2026 14:42:00] Overleg Waterkering: " LRM "Je hebt het onderwerp gewijzigd naar \u201cDijk\u201d\r\n"
    "[12-03-2026 14:43:00] Sanne de Wit: " LRM "Onbekende regel in een andere taal\r\n" LRM
    "[12-03-2026 14:44:00] \u202A+31 6 12345678\u202C: Begroting.xlsx " LRM "document weggelaten\r\n"
    "[12-03-2026 14:45:00] \u202A+31 6 12345678\u202C: \xF0\x9F\x91\x8D\r\n";

static void an_iphone_chat_reads_whole(void **state)
{
    (void)state;
    READ(iphone, "");
    OK(17);
    assert_int_equal(c.raw.len, sizeof iphone - 1);
    assert_memory_equal(c.raw.data, iphone, c.raw.len);
    assert_non_null(strstr((char *)c.header.data, "\"name\":\"Overleg Waterkering\",\"type\":\"group\""));
    assert_non_null(
        strstr((char *)c.header.data,
               "\"parties\":[{\"name\":\"Sanne de Wit\"},{\"name\":\"Karim\"},{\"name\":\"+31 6 12345678\",\"number\":\"+31612345678\"}]"));
    assert_non_null(strstr((char *)c.header.data, "\"zone\":\"assumed\",\"zone_name\":\"Europe/Amsterdam\",\"precision\":\"second\""));
    HAS(0, "\"event\":\"encryption-notice\"");
    HAS(1, "\"event\":\"group-created\"");
    HAS(1, "\"author\":0");
    HAS(2, "\"text\":\"Goedemiddag\\nallemaal, de nota komt eraan: zie bijlage\"");
    HAS(3, "\"name\":\"00000004-Nota.pdf\",\"type\":\"application/pdf\",\"loss\":\"missing\"");
    assert_null(memmem(chat_line(&c, 3).ptr, chat_line(&c, 3).len, "\"text\"", 6));
    HAS(4, "\"attachments\":[{\"loss\":\"omitted\"}]");
    HAS(4, "\"author-unsaved\":1");
    HAS(4, "\"media\":\"image\"");
    HAS(5, "\"text\":\"kijk hier\"");
    HAS(5, "00000006-PHOTO-2026-03-12-14-34-30.jpg");
    HAS(6, "\"kind\":\"deletion\",\"author\":0");
    HAS(6, "original-unknown");
    HAS(7, "\"text\":\"Besluit is akkoord\"");
    HAS(7, "\"edited\":1");
    HAS(8, "\"kind\":\"poll\"");
    HAS(8, "\"text\":\"Wanneer?\"");
    HAS(8, "\"options\":[\"Maandag\",\"Dinsdag\"]");
    HAS(8, "\"votes-01\":2,\"votes-02\":0");
    HAS(9, "\"location\":\"52.08,4.31\"");
    HAS(10, "\"kind\":\"call\"");
    HAS(10, "\"value\":\"video\",\"event\":\"missed\"");
    HAS(11, "\"kind\":\"gap\"");
    HAS(11, "waiting-for-message");
    HAS(12, "\"event\":\"member-added\"");
    HAS(12, "\"member\":\"Joost\"");
    HAS(13, "\"event\":\"subject-changed\"");
    HAS(13, "\"actor\":\"self\",\"after\":\"Dijk\"");
    HAS(14, "\"kind\":\"event\",\"author\":0");
    HAS(14, "\"event\":\"system\"");
    HAS(15, "\"name\":\"Begroting.xlsx\"");
    HAS(15, "\"loss\":\"omitted\"");
    chat_free(&c);
}

static const char android[] =
    "12-03-2026 14:30 - Berichten en oproepen worden end-to-end versleuteld. Niemand buiten deze chat kan ze lezen of beluisteren. Tik voor meer "
    "informatie.\n"
    "12-03-2026 14:30 - Je hebt de groep \"Kabinet: intern\" aangemaakt\n"
    "12-03-2026 14:31 - Femke Bos heeft het onderwerp gewijzigd van \"Kabinet: intern\" naar \"Kabinet\"\n"
    "12-03-2026 14:32 - Femke Bos: Goedemorgen\nheren en dames\n\nvergadering: 10 uur\n"
    "12-03-2026 14:33 - Femke Bos: IMG-20260312-WA0001.jpg (bestand bijgevoegd)\nDe dijk vandaag\n"
    "12-03-2026 14:34 - Omar: <Media weggelaten>\n"
    "12-03-2026 14:35 - Omar: Dit bericht is verwijderd\n"
    "12-03-2026 14:36 - Omar: Je hebt dit bericht verwijderd\n"
    "12-03-2026 14:37 - Omar: null\n"
    "12-03-2026 14:38 - Omar: locatie: https://maps.google.com/?q=52.1,4.3\n"
    "12-03-2026 14:39 - Femke Bos: Akkoord <Dit bericht is bewerkt>\n"
    "12-03-2026 14:40 - Omar: Gemiste spraakoproep\n"
    "12-03-2026 14:41 - Femke Bos heeft de groep verlaten\n"
    "12-03-2026 14:42 - +31 6 87654321 is deelnemer geworden via de uitnodigingslink van deze groep\n"
    "12-03-2026 14:43 - Je beveiligingscode voor Omar is gewijzigd. Tik voor meer informatie.\n"
    "12-03-2026 14:44 - Je hebt berichten met vervaldatum ingeschakeld. Nieuwe berichten verdwijnen na 7 dagen uit deze chat.\n"
    "12-03-2026 14:45 - Femke Bos heeft de groepsomschrijving gewijzigd\n"
    "12-03-2026 14:46 - Je bent nu beheerder\n"
    "12-03-2026 14:47 - Femke Bos heeft een bericht vastgezet\n"
    "12-03-2026 14:48 - Omar: <diepe zucht>\n"
    "12-03-2026 14:49 - Omar: Rapport.docx (concept)\n";

static void an_android_chat_reads_whole(void **state)
{
    (void)state;
    READ(android, "Kabinet");
    OK(21);
    assert_memory_equal(c.raw.data, android, sizeof android - 1);
    assert_non_null(strstr((char *)c.header.data, "\"precision\":\"minute\""));
    assert_non_null(strstr((char *)c.header.data, "\"self\":1"));
    static const char *const event[] = { "encryption-notice", "group-created", "subject-changed" };
    for (size_t i = 0; i < 3; i++) { HAS(i, event[i]); }
    HAS(1, "\"after\":\"Kabinet: intern\"");
    HAS(1, "\"author\":1");
    HAS(2, "\"author\":0");
    HAS(2, "\"before\":\"Kabinet: intern\"");
    HAS(3, "\"text\":\"Goedemorgen\\nheren en dames\\n\\nvergadering: 10 uur\"");
    HAS(4, "\"text\":\"De dijk vandaag\"");
    HAS(4, "\"name\":\"IMG-20260312-WA0001.jpg\"");
    HAS(5, "\"loss\":\"omitted\"");
    HAS(6, "\"kind\":\"deletion\"");
    HAS(7, "\"kind\":\"deletion\"");
    HAS(8, "content-unknown");
    HAS(9, "\"location\":\"52.1,4.3\"");
    HAS(10, "\"text\":\"Akkoord\"");
    HAS(10, "\"edited\":1");
    HAS(11, "\"kind\":\"call\"");
    HAS(11, "\"value\":\"audio\"");
    HAS(12, "member-left");
    HAS(13, "joined-by-link");
    HAS(13, "\"member\":\"+31 6 87654321\"");
    HAS(14, "security-code-changed");
    HAS(15, "timer-changed");
    HAS(16, "description-changed");
    HAS(17, "admin-changed");
    HAS(18, "message-pinned");
    HAS(19, "\"text\":\"<diepe zucht>\"}");
    HAS(20, "\"text\":\"Rapport.docx (concept)\"}");
    chat_free(&c);
}

static void english_system_lines_have_names(void **state)
{
    (void)state;
    static const struct {
        const char *line, *event;
    } lines[] = { { "Alice created group \"Board\"", "group-created" },
                  { "Alice added you", "member-added" },
                  { "Bob left", "member-left" },
                  { "You removed Bob", "member-removed" },
                  { "Bob joined using this group's invite link", "joined-by-link" },
                  { "Alice changed the subject from \"A\" to \"B\"", "subject-changed" },
                  { "Alice changed this group's icon", "icon-changed" },
                  { "Alice changed the group description", "description-changed" },
                  { "Alice changed this group's settings to allow only admins to edit", "settings-changed" },
                  { "You're now an admin", "admin-changed" },
                  { "You\u2019re now an admin", "admin-changed" },
                  { "You turned off disappearing messages. Tap to change.", "timer-changed" },
                  { "Your security code with Bob changed. Tap to learn more.", "security-code-changed" },
                  { "Bob changed their phone number to a new number. Tap to message or add the new number.", "number-changed" },
                  { "Alice pinned a message", "message-pinned" },
                  { "Messages and calls are end-to-end encrypted. Tap to learn more.", "encryption-notice" },
                  { "Something nobody has seen before", "\"system\"" } };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[512];
        int n = snprintf(text, sizeof text, "13/03/2026, 10:00 - Alice: hi\n13/03/2026, 10:01 - %s\n", lines[i].line);
        chat_read(&c, text, (size_t)n, 0, "", (char *)NULL);
        OK(2);
        HAS(1, "\"kind\":\"event\"");
        HAS(1, lines[i].event);
        chat_free(&c);
    }
}

static void pieces_and_line_ends_change_nothing(void **state)
{
    (void)state;
    const struct {
        const char *p;
        size_t n;
    } chats[] = { { iphone, sizeof iphone - 1 }, { android, sizeof android - 1 } };
    for (size_t k = 0; k < 2; k++) {
        chat_read(&c, chats[k].p, chats[k].n, 0, "x", (char *)NULL);
        assert_int_equal(c.rc, KLUIS_OK);
        for (size_t step = 1; step <= 7; step++) {
            struct chat_read d;
            chat_read(&d, chats[k].p, chats[k].n, step, "x", (char *)NULL);
            assert_int_equal(d.rc, KLUIS_OK);
            assert_int_equal(d.lines.len, c.lines.len);
            assert_memory_equal(d.lines.data, c.lines.data, c.lines.len);
            assert_memory_equal(d.raw.data, c.raw.data, c.raw.len);
            chat_free(&d);
        }
        /* All LF, then all CR LF: the same records, another raw form. */
        KLUIS_AUTO_BUF(lf, 1 << 20);
        KLUIS_AUTO_BUF(crlf, 1 << 20);
        for (size_t i = 0; i < chats[k].n; i++) {
            char ch = chats[k].p[i];
            if (ch == '\r') { continue; }
            if (ch == '\n') { kluis_buf_byte(&crlf, '\r'); }
            kluis_buf_byte(&lf, (uint8_t)ch);
            kluis_buf_byte(&crlf, (uint8_t)ch);
        }
        const struct kluis_buf *variants[] = { &lf, &crlf };
        for (size_t v = 0; v < 2; v++) {
            struct chat_read d;
            chat_read(&d, (const char *)variants[v]->data, variants[v]->len, v, "x", (char *)NULL);
            assert_int_equal(d.lines.len, c.lines.len);
            assert_memory_equal(d.lines.data, c.lines.data, c.lines.len);
            chat_free(&d);
        }
        chat_free(&c);
    }
}

static void forged_headers_are_kept_and_flagged(void **state)
{
    (void)state;
    READ("13-03-2026, 14:32 - Jan: hoi\nnep\n13-03-2026, 14:20 - Minister: ik ga akkoord\n13-03-2026, 14:33 - Piet: ok\n13-03-2026, 14:34 - Jan: "
         "ja\n13-03-2026, 14:35 - Piet: nee\n",
         "");
    OK(5);
    HAS(1, "\"suspect\":\"out-of-order,sender-seen-once\"");
    HAS(3, "\"text\":\"ja\"}");
    chat_free(&c);
    READ("[13-03-2026 14:32:00] Jan: hoi\r\n[13-03-2026 14:33:00] Piet: a\n[13-03-2026 14:33:00] Jan: nep\r\n[13-03-2026 14:34:00] Jan: "
         "b\r\n[13-03-2026 14:35:00] Piet: c\r\n"
         "[13-03-2026 14:36:00] Piet: d\r\n[13-03-2026 14:36:00] Piet: e\r\n",
         "");
    OK(7);
    HAS(2, "\"suspect\":\"inside-message\"");
    HAS(3, "\"text\":\"b\"}");
    chat_free(&c);
    /* Another phone's layout inside a message is text. */
    READ("13-03-2026, 14:32 - Jan: citaat:\n[11-03-2026 09:00:00] Piet: oud\n13-03-2026, 14:33 - Piet: ok\n", "");
    OK(2);
    HAS(0, "citaat:\\n[11-03-2026 09:00:00] Piet: oud");
    chat_free(&c);
}

static void what_is_no_chat_is_refused_in_one_line(void **state)
{
    (void)state;
    READ("", "");
    refused("is empty");
    READ("Beste mensen,\n\nHierbij de notulen van 12-03-2026.\n", "");
    refused("not a WhatsApp chat export");
    READ("datum;naam\n12-03-2026;Jan\n", "");
    refused("not a WhatsApp chat export");
    READ("12-03-2026 10:00:00 INFO server started\n", "");
    refused("not a WhatsApp chat export");
    char *big = kluis_malloc(3 << 20);
    memset(big, 'a', 3 << 20);
    memcpy(big, "12-03-2026, 14:32 - Jan: ", 25);
    chat_read(&c, big, 3 << 20, 0, "", (char *)NULL);
    assert_int_equal(c.rc, KLUIS_E_LIMIT);
    refused("more than 1 MiB");
    for (size_t i = 25; i < 4000; i++) { big[i] = i % 200 == 0 ? '\n' : (char)(i * 37); } /* a header before what is no text */
    chat_read(&c, big, 4000, 0, "", (char *)NULL);
    refused("bytes are no UTF-8 text");
    memset(big, 0, 3 << 20);
    chat_read(&c, big, 3 << 20, 0, "", (char *)NULL);
    refused("not a WhatsApp chat export");
    kluis_free(big);
}

/* With a byte order mark and without, either way round: said, not guessed at. */
static void utf16_is_refused_by_name(void **state)
{
    (void)state;
    static const char utf8[] = "12-03-2026, 14:32 - Jan: hoi\n12-03-2026, 14:33 - Jan: dag\n";
    for (int way = 0; way < 4; way++) {
        char text[2 * sizeof utf8];
        size_t n = 0;
        bool big = way % 2 == 1;
        if (way < 2) {
            text[n++] = big ? '\xFE' : '\xFF';
            text[n++] = big ? '\xFF' : '\xFE';
        }
        for (size_t i = 0; i < sizeof utf8 - 1; i++) {
            text[n++] = big ? '\0' : utf8[i];
            text[n++] = big ? utf8[i] : '\0';
        }
        for (size_t step = 0; step < 2; step++) {
            chat_read(&c, text, n, step, "", (char *)NULL);
            refused("is UTF-16 text");
        }
    }
}

static void bytes_that_are_no_text_are_kept(void **state)
{
    (void)state;
    READ("12-03-2026, 14:32 - Jan: caf\xE9 \xFF\n13-03-2026, 14:33 - Jan: goed\n", "");
    OK(2);
    HAS(0, "\"text\":\"caf\xEF\xBF\xBD \xEF\xBF\xBD\",\"text_raw\":\"Y2Fm6SD/\"");
    HAS(1, "\"text\":\"goed\"}");
    chat_free(&c);
}

static void a_full_export_without_beginning_has_a_gap(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(b, 8 << 20);
    for (int i = 0; i < 40000; i++) { kluis_buf_fmt(&b, "%02d-03-2024 10:00 - %s: bericht %d\n", 1 + i / 2000, i % 2 ? "Jan" : "Piet", i); }
    chat_read(&c, (const char *)b.data, b.len, 0, "Jan", (char *)NULL);
    OK(40001);
    HAS(0, "\"kind\":\"gap\"");
    HAS(0, "history-truncated");
    chat_free(&c);
    chat_read(&c, (const char *)b.data, b.len / 2, 0, "Jan", (char *)NULL);
    assert_int_equal(c.n_kind[KLUIS_GAP], 0);
    chat_free(&c);
}

static void the_conversation_keeps_its_id(void **state)
{
    (void)state;
    static const char *const names[] = { "WhatsApp Chat with Femke Bos.txt",    "WhatsApp-chat met Femke Bos.txt",
                                         "WhatsApp Chat - Femke Bos.zip",       "Chat de WhatsApp con Femke Bos.txt",
                                         "WhatsApp-Chat mit Femke Bos (2).txt", "/home/x/WhatsApp_Chat_with_Femke_Bos.txt" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[256];
        wa_chat_name(names[i], name, sizeof name);
        assert_string_equal(name, "Femke Bos");
    }
    char name[256];
    wa_chat_name("_chat.txt", name, sizeof name);
    assert_string_equal(name, "");
    struct chat_read d;
    READ("12-03-2026, 14:32 - Femke Bos: a\n", "Femke Bos");
    chat_read(&d, "[13-03-2026 14:32:01] Femke Bos: b\n", 35, 0, "Femke Bos", (char *)NULL);
    assert_memory_equal(c.header.data, d.header.data, 90);
    chat_free(&c);
    chat_free(&d);
    READ("12-03-2026, 14:32 - Femke Bos: a\n", "Femke Bos", "conversation=zaak-7", "self=Femke Bos");
    assert_non_null(strstr((char *)c.header.data, "\"id\":\"zaak-7\""));
    assert_non_null(strstr((char *)c.header.data, "\"self\":0"));
    chat_free(&c);
    READ("12-03-2026, 14:32 - Femke Bos: a\n", "", "onbekend=1");
    assert_int_equal(c.rc, KLUIS_E_USAGE);
    chat_free(&c);
}

static bool told_unnamed(void) { return c.skipped.len > 0 && memmem(c.skipped.data, c.skipped.len, "nothing names it", 16) != NULL; }

/* An export whose chat nothing names is told so once, with what to do; a name in the file's name, or one given, is enough. */
static void a_chat_that_nothing_names_is_said_to_be_one(void **state)
{
    (void)state;
    READ("12-03-2026, 14:32 - Femke Bos: a\n13-03-2026, 14:32 - Jan: b\n", "");
    OK(2);
    assert_true(told_unnamed());
    const char *first = memmem(c.skipped.data, c.skipped.len, "conversation=ID", 15);
    assert_non_null(first);
    size_t after = (size_t)((const char *)c.skipped.data + c.skipped.len - first) - 15;
    assert_null(memmem(first + 15, after, "nothing names it", 16));
    chat_free(&c);
    READ("12-03-2026, 14:32 - Femke Bos: a\n13-03-2026, 14:32 - Jan: b\n", "", "conversation=zaak-7");
    OK(2);
    assert_false(told_unnamed());
    chat_free(&c);
    READ("12-03-2026, 14:32 - Femke Bos: a\n13-03-2026, 14:32 - Jan: b\n", "Femke Bos");
    OK(2);
    assert_false(told_unnamed());
    chat_free(&c);
}

/* Every phrase of the table, in an iPhone's and an Android's line, is read as what it says; and about sixty languages have both the marker of
 * a deleted message and that of left-out media. */
static void every_language_has_its_markers(void **state)
{
    (void)state;
    const char *deleted[128], *omitted[128];
    size_t n_deleted = 0, n_omitted = 0;
    for (size_t i = 0; i < wa_phrase_n_rows; i++) {
        const struct wa_phrase_row *row = &wa_phrase_rows[i];
        bool ios_only = row->says == WA_OMITTED && row->word != NULL;
        const char **list = row->says == WA_DELETED ? deleted : row->says == WA_OMITTED ? omitted : NULL;
        size_t *n = row->says == WA_DELETED ? &n_deleted : &n_omitted, k = 0;
        while (list != NULL && k < *n && strcmp(list[k], row->language) != 0) { k++; }
        if (list != NULL && k == *n) { list[(*n)++] = row->language; }
        assert_true(n_deleted < 128 && n_omitted < 128);
        for (const char *p = row->texts; *p != 0;) {
            size_t len = strcspn(p, "|");
            char line[1024];
            const char *want = row->says == WA_DELETED                                ? "\"kind\":\"deletion\""
                               : row->says == WA_CALL                                 ? "\"kind\":\"call\""
                               : row->says == WA_VIEW_ONCE || row->says == WA_WAITING ? "\"kind\":\"gap\""
                               : row->says == WA_LOCATION                             ? "\"location\":\"live\""
                               : row->says == WA_OMITTED                              ? "\"loss\":\"omitted\""
                               : row->says == WA_EDITED                               ? "\"edited\":1"
                               : row->says == WA_ATTACHED                             ? "\"attachments\":[{\"name\":\"a.b\""
                                                                                      : "content-unknown";
            for (int phone = ios_only ? 1 : 0; phone < 2; phone++) {
                const char *mark = phone == 1 ? LRM : "", *before = "", *after = "";
                if (row->says == WA_EDITED) {
                    before = phone == 1 ? "tekst " LRM "<" : "tekst <";
                    after = ">";
                    mark = "";
                } else if (row->says == WA_ATTACHED) {
                    before = phone == 1 ? "<" : "a.b (";
                    after = phone == 1 ? ": a.b>" : ")";
                }
                int w = snprintf(line, sizeof line, "%sFemke: %s%s%.*s%s\n", phone == 1 ? "[12-03-2026 14:40:00] " : "12-03-2026 14:40 - ", mark,
                                 before, (int)len, p, after);
                chat_read(&c, line, (size_t)w, 0, "Femke", (char *)NULL);
                if (c.n != 1 || !chat_has(&c, 0, want)) { fail_msg("%s, phone %d: %s", row->language, phone, line); }
                chat_free(&c);
            }
            p += len + (p[len] == '|');
        }
    }
    assert_true(n_deleted >= 58);
    assert_true(n_omitted >= 55);
}

static void the_app_is_not_taken_for_the_user(void **state)
{
    (void)state;
    /* Words that mean something only inside <> or (), and an iPhone's words on an Android, are what somebody typed. */
    READ("12-03-2026 14:40 - Femke: bijgevoegd\n12-03-2026 14:41 - Femke: Dit bericht is bewerkt\n"
         "12-03-2026 14:42 - Femke: afbeelding weggelaten\n12-03-2026 14:43 - Femke: ei kuvaa\n",
         "Femke");
    OK(4);
    static const char *const typed[] = { "bijgevoegd", "Dit bericht is bewerkt", "afbeelding weggelaten", "ei kuvaa" };
    for (size_t i = 0; i < 4; i++) {
        char text[64];
        snprintf(text, sizeof text, "\"text\":\"%s\"", typed[i]);
        HAS(i, text);
    }
    assert_int_equal(c.n_kind[KLUIS_MESSAGE], 4);
    chat_free(&c);
    READ(LRM "[12-03-2026 14:40:00] Femke: kijk " LRM "<bijgevoegd: 00000006-PHOTO-2026-03-12-14-34-30.jpg> " LRM "<Dit bericht is bewerkt>\n",
         "Femke");
    OK(1);
    HAS(0, "\"edited\":1");
    HAS(0, "\"name\":\"00000006-PHOTO-2026-03-12-14-34-30.jpg\"");
    HAS(0, "\"text\":\"kijk\"");
    chat_free(&c);
    READ("[12-03-2026 14:40:00] Femke: ei kuvaa\n", "Femke");
    OK(1);
    HAS(0, "\"text\":\"ei kuvaa\"");
    chat_free(&c);
}

static void chat_privacy_is_an_event(void **state)
{
    (void)state;
    READ("12-03-2026 14:40 - Femke turned on advanced chat privacy.\n12-03-2026 14:41 - Je hebt geavanceerde chatprivacy uitgeschakeld.\n"
         "12-03-2026 14:42 - Femke: dag\n",
         "Femke");
    OK(3);
    HAS(0, "\"event\":\"chat-privacy-changed\"");
    HAS(1, "\"event\":\"chat-privacy-changed\"");
    chat_free(&c);
}

static int set_up(void **state)
{
    (void)state;
    struct kluis_err err = { .code = KLUIS_OK };
    return kluis_base_init(&err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_region_writes_the_same_moment),
        cmocka_unit_test(midnight_and_noon_of_twelve_hour_clocks),
        cmocka_unit_test(the_short_way_reads_headers_as_the_tokenizer_does),
        cmocka_unit_test(order_is_decided_on_the_whole_file),
        cmocka_unit_test(an_undecided_order_is_flagged_with_both_readings),
        cmocka_unit_test(a_date_that_exists_in_no_calendar_is_refused_by_line),
        cmocka_unit_test(the_repeated_hour_has_both_readings),
        cmocka_unit_test(an_iphone_chat_reads_whole),
        cmocka_unit_test(an_android_chat_reads_whole),
        cmocka_unit_test(english_system_lines_have_names),
        cmocka_unit_test(pieces_and_line_ends_change_nothing),
        cmocka_unit_test(forged_headers_are_kept_and_flagged),
        cmocka_unit_test(what_is_no_chat_is_refused_in_one_line),
        cmocka_unit_test(utf16_is_refused_by_name),
        cmocka_unit_test(bytes_that_are_no_text_are_kept),
        cmocka_unit_test(a_full_export_without_beginning_has_a_gap),
        cmocka_unit_test(the_conversation_keeps_its_id),
        cmocka_unit_test(a_chat_that_nothing_names_is_said_to_be_one),
        cmocka_unit_test(every_language_has_its_markers),
        cmocka_unit_test(the_app_is_not_taken_for_the_user),
        cmocka_unit_test(chat_privacy_is_an_event),
    };
    return cmocka_run_group_tests_name("whatsapp-text", tests, set_up, NULL);
}
