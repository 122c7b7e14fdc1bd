/* What `sailor site` reads. The first byte says which: s nodes of Slurm, t its topology (with nodes), n
 * output of nccl-tests, x NCCL's topology, k a catalog of SkyPilot, g one of gpuhunt. What comes out is a
 * site file. */
#include "formats/inputs_priv.h"
#include "fuzz.h"
#include "import/draft.h"

static const char devices[] =
    "{\"format\":\"sailor-devices/1\",\"devices\":[{\"names\":[\"H100-80\",\"NVIDIA "
    "H100*\"],\"tflops\":{\"fp32\":67},"
    "\"source\":\"x\",\"sheet\":{\"memory_GiB\":80,\"memory_GBps\":3350,\"cache_MB\":50,\"gpus_per_node\":8,"
    "\"node_GBps\":450,\"network_GBps\":50,\"achieved\":{\"product\":0.7,\"attention\":0.5,\"memory\":0.8,"
    "\"cache_speedup\":2,\"node\":0.8,\"network\":0.6,\"hidden_collectives\":0},\"latency_us\":{\"launch\":"
    "20,"
    "\"collective\":100,\"collective_step\":20,\"network\":20},\"source\":\"x\"}}]}";

static const char nodes[] =
    "NodeName=a1 Gres=gpu:h100:8 State=IDLE\nNodeName=a2 Gres=gpu:h100:8 State=IDLE\n";

static int read_one(struct draft *d, char kind, const char *text, struct err *e) {
    switch (kind) {
    case 's':
        return draft_slurm(d, "input", text, e);
    case 't':
        return draft_topology(d, "input", text, e) || draft_slurm(d, "nodes", nodes, e);
    case 'n':
        return draft_slurm(d, "nodes", nodes, e) || draft_nccl_tests(d, "input", text, e);
    case 'x':
        return draft_nccl_topology(d, "input", text, e);
    case 'k':
        return draft_skypilot(d, "input", text, e);
    case 'g':
        return draft_gpuhunt(d, "input", text, e);
    default:
        return err_set(e, EXIT_INPUT, "no such kind");
    }
}

static void check_site(const struct text *t, struct arena *a) {
    struct err e = {0};
    struct site s = {0};
    cJSON *tree = json_parse("site", t->s, t->n, &e);
    REQUIRE(tree);
    struct json_at root = json_root("site", tree);
    REQUIRE(inputs_site(&root, NULL, "site", &s, a, &e) == 0);
    cJSON_Delete(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct draft_wishes ask = {.level = -1, .collective = "all_reduce"};
    struct arena a = {0};
    struct err e = {0};
    struct draft d;
    struct text t = {0};
    if (!size) return 0;
    REQUIRE(draft_begin(&d, &ask, "devices", devices, &a, &e) == 0);
    if (read_one(&d, (char)data[0], fuzz_text(data + 1, size - 1, &a), &e) || draft_text(&d, "site", &t, &e))
        fuzz_error(&e);
    else {
        draft_note_gaps(&d);
        check_site(&t, &a);
    }
    draft_free(&d);
    text_free(&t);
    arena_free(&a);
    return 0;
}
