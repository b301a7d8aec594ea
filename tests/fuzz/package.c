/* A package's bytes as they come: zip profile, digests, manifests, records, sidecars.  What is accepted has one spelling: from the list of its files
 * alone the same container is made again around its (compressed) contents. */
#include "lib/package/read.h"
#include "tests/fuzz/package_sink.h"

static void same_container(const uint8_t *p, size_t n)
{
    struct kluis_input_mem m = { { p, n }, 0 };
    struct kluis_input in = kluis_input_from_mem(&m);
    struct kluis_package_facts facts;
    struct package_shape shape;
    kluis_package_facts_init(&facts);
    MUST(package_read_shape(&in, &shape, &facts, NULL) == KLUIS_OK);
    KLUIS_AUTO_BUF(again, 2 * n + 1);
    uint8_t head[FORM_CENTRAL > FORM_LOCAL ? FORM_CENTRAL : FORM_LOCAL];
    for (size_t i = 0; i < shape.entries.n; i++) {
        const struct form_entry *e = &shape.entries.list[i];
        MUST(again.len == e->offset);
        form_local(head, e, shape.clock);
        kluis_buf_add(&again, head, FORM_LOCAL);
        kluis_buf_add(&again, e->name, strlen(e->name));
        MUST(again.len <= n && e->packed <= n - again.len);
        kluis_buf_add(&again, p + again.len, e->packed);
    }
    const size_t directory = again.len;
    for (size_t i = 0; i < shape.entries.n; i++) {
        const struct form_entry *e = &shape.entries.list[i];
        form_central(head, e, shape.clock);
        kluis_buf_add(&again, head, FORM_CENTRAL);
        kluis_buf_add(&again, e->name, strlen(e->name));
    }
    form_end(head, shape.entries.n, (uint32_t)(again.len - directory), (uint32_t)directory);
    kluis_buf_add(&again, head, FORM_END);
    MUST(again.status == KLUIS_OK && again.len == n && memcmp(again.data, p, n) == 0);
    kluis_free(shape.entries.list);
    kluis_arena_free(shape.arena);
    kluis_package_facts_clear(&facts);
}

void fuzz_setup(void)
{
    struct kluis_bytes sound = fuzz_world("package.asice");
    kluis_package_warm();
    MUST(package_read_memory(sound.ptr, sound.len) == KLUIS_OK);
    same_container(sound.ptr, sound.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (package_read_memory(p, n) == KLUIS_OK) { same_container(p, n); }
    return 0;
}
