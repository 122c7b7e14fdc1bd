/* Models, sites, profiles and jobs as a result file stores them. The first byte says which part of a good job
 * the rest replaces: j(ob), m(odel), s(ite), p(rofile), (plat)f(orm), or w: the whole. */
#include "formats/inputs.h"
#include "fuzz.h"
#include "io/file.h"

static const char job[] =
    "{\"format\":\"sailor-job/"
    "1\",\"model\":\"m\",\"site\":\"s\",\"global_batch_size\":8,\"pools\":[{\"gpus\":[{\"zone\":"
    "\"a\",\"gpu\":\"g\",\"count\":4}]}]}";

static const char platform[] =
    "[{\"gpu\":\"g\",\"memory_Bps\":1e12,\"context_bytes\":1e9,\"staging_s_per_B\":1e-11,\"eager_bytes\":1e6,"
    "\"launch_bound\":0.9}]";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct arena fixed; /* read once, never freed */
    static char *model, *site, *profile;
    struct arena a = {0};
    struct err e = {0};
    struct job out;
    if (!model) {
        REQUIRE((model = file_read_text(FUZZ_INPUTS "/models/m.json", NULL, &fixed, &e)));
        REQUIRE((site = file_read_text(FUZZ_INPUTS "/sites/s.json", NULL, &fixed, &e)));
        REQUIRE((profile = file_read_text(FUZZ_INPUTS "/profiles/m/g.json", NULL, &fixed, &e)));
    }
    if (size == 0) return 0;
    char *text = fuzz_text(data + 1, size - 1, &a), part = (char)data[0];
    if (part != 'w')
        text = arena_printf(&a, "{\"job\":%s,\"model\":%s,\"site\":%s,\"profiles\":[%s],\"platform\":%s}",
                            part == 'j' ? text : job, part == 'm' ? text : model, part == 's' ? text : site,
                            part == 'p' ? text : profile, part == 'f' ? text : platform);
    if (job_from_json(text, &out, &a, &e)) fuzz_error(&e);
    arena_free(&a);
    return 0;
}
