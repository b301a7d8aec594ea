/* A package or an export of one, judged whole: container, lists, seal, revocation lists, evidence record.  Nothing but the package of the
 * seed is ever valid here. */
#include "kluis/validation.h"
#include "tests/fuzz/fuzz.h"

static struct kluis_trust trust;
static struct kluis_bytes id;
static struct kluis_lane *lane;

static void end_lane(void) { kluis_lane_free(lane); }

void fuzz_setup(void)
{
    struct kluis_bytes json = fuzz_world("export-trust.json");
    MUST(kluis_seal_warm(NULL) == KLUIS_OK);
    kluis_package_warm();
    MUST(kluis_trust_read(fuzz_str(json.ptr, json.len), fuzz_arena(4 << 20), &trust, NULL) == KLUIS_OK);
    id = fuzz_world("export.id");
    lane = kluis_lane_new(); /* NULL: one processor */
    MUST(atexit(end_lane) == 0);
}

/* A second thread never changes what comes out. */
static void same_with_a_lane(const uint8_t *p, size_t n, const struct kluis_verdict *v)
{
    struct kluis_input_mem mem = { { p, n }, 0 };
    struct kluis_input in = kluis_input_from_mem(&mem);
    struct kluis_package_facts facts;
    struct kluis_err err = { 0 };
    kluis_package_facts_init(&facts);
    kluis_status rc = kluis_export_read(&in, lane, NULL, &facts, &err);
    MUST(rc == KLUIS_OK || rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT);
    MUST((rc == KLUIS_OK) == (v->layer[KLUIS_V_MANIFESTS].state == KLUIS_L_VALID));
    MUST(rc != KLUIS_OK || (memcmp(facts.id, v->facts.id, 32) == 0 && memcmp(facts.records_root, v->facts.records_root, 32) == 0 &&
                            facts.n_records == v->facts.n_records));
    MUST(rc == KLUIS_OK || (facts.failed == v->facts.failed && err.msg[0] != '\0'));
    kluis_package_facts_clear(&facts);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct kluis_input_mem once = { { p, n }, 0 }, twice = once;
    struct kluis_input in = kluis_input_from_mem(&once), again = kluis_input_from_mem(&twice);
    const struct kluis_str none = { NULL, 0 };
    struct kluis_verdict v;
    KLUIS_AUTO_BUF(json, 1 << 20);
    MUST(kluis_validate_twice(&in, &again, none, &trust, NULL, FUZZ_NOW + INT64_C(90) * 86400 * 1000000, &v, NULL) == KLUIS_OK);
    bool sound = v.layer[KLUIS_V_MANIFESTS].state == KLUIS_L_VALID;
    MUST(v.overall != KLUIS_VALID || (sound && id.len == 32 && memcmp(v.facts.id, id.ptr, 32) == 0));
    MUST(v.layer[KLUIS_V_SEAL].state == KLUIS_L_ABSENT || (sound && v.facts.seal.len > 0));
    MUST(v.layer[KLUIS_V_EVIDENCE].state == KLUIS_L_ABSENT || (sound && v.facts.evidence.len > 0 && v.facts.group.len >= 64));
    MUST(v.layer[KLUIS_V_EVIDENCE].state != KLUIS_L_VALID || v.overall == KLUIS_VALID || v.overall == KLUIS_INVALID ||
         v.proven_us != KLUIS_TIME_ABSENT);
    MUST(kluis_verdict_json(&v, &json, NULL) == KLUIS_OK);
    same_with_a_lane(p, n, &v);
    kluis_verdict_clear(&v);
    return 0;
}
