/* Block times, memory and whole runs from data sheets: worked out by hand, and published. Runs in the
 * project's root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "formats/devices.h"
#include "formats/runs.h"
#include "sim/forecast.h"
#include "texts.h"

static void near(double a, double b, double relative) {
    if (fabs(a - b) > relative * fabs(b)) fail_msg("%.17g; expected %.17g", a, b);
}

/* Round figures: 100 TFLOP/s, 1 TB/s, 100 GB/s in a node, 10 GB/s a GPU between nodes, nothing lost. */
static const struct device round_gpu = {
    .name = "round",
    .peak_flops = {10e12, 50e12, 100e12, 100e12},
    .memory_Bps = 1e12,
    .cache_bytes = 0,
    .gpus_per_node = 4,
    .node_Bps = 100e9,
    .network_Bps = 10e9,
    .product_efficiency = 1,
    .attention_efficiency = 0.5,
    .memory_efficiency = 1,
    .cache_speedup = 1,
    .launch_s = 1e-5,
    .collective_s = 1e-5,
    .collective_step_s = 1e-6,
    .node_efficiency = 1,
    .network_s = 2e-5,
    .network_efficiency = 1,
};
static const struct framework plain = {.name = "plain",
                                       .block_launches = 10,
                                       .backward_launches = 20,
                                       .lone_head = 1,
                                       .pass_norm = 50,
                                       .whole_bytes = 20,
                                       .split_bytes = 8,
                                       .score_bytes = 9,
                                       .parameter_bytes = 2,
                                       .gradient_bytes = 4,
                                       .optimizer_bytes = 8,
                                       .master_bytes = 4,
                                       .reduced_bytes = 4};
/* GPT-3 175B, by table 2.1 of arXiv 2005.14165 with a padded vocabulary. */
static const struct transformer gpt3 = {.layers = 96,
                                        .hidden = 12288,
                                        .ffn = 49152,
                                        .heads = 96,
                                        .kv_heads = 96,
                                        .head_size = 128,
                                        .vocabulary = 51200,
                                        .sequence = 2048,
                                        .tied = true,
                                        .positions = 2048,
                                        .qkv_biases = true,
                                        .out_biases = true,
                                        .ffn_biases = true};

static void a_product_is_bound_by_units_or_by_memory(void **state) {
    (void)state;
    near(product_time_s(&round_gpu, ELEMENT_BF16, 1000, 1000, 1e6), 2e12 / 100e12, 1e-12);
    near(product_time_s(&round_gpu, ELEMENT_FP32, 1000, 1000, 1e6), 2e12 / 10e12, 1e-12);
    near(product_time_s(&round_gpu, ELEMENT_BF16, 1, 1e4, 1e4), 2 * (1e4 + 1e8 + 1e4) / 1e12, 1e-12);
}

static void a_collective_has_latency_and_volume(void **state) {
    (void)state;
    assert_true(sheet_allreduce_s(&round_gpu, 1e9, 1, 1) == 0);
    near(sheet_allreduce_s(&round_gpu, 1e9, 2, 4), 1e-5 + 1e9 / 100e9, 1e-12);
    near(sheet_allreduce_s(&round_gpu, 1e9, 4, 4), 1e-5 + 2e-6 + 1.5e9 / 100e9, 1e-12);
    /* two nodes, one GPU each: its own network card; all four: four cards */
    near(sheet_allreduce_s(&round_gpu, 1e9, 2, 1), 1e-5 + 4e-5 + 1e9 / 10e9, 1e-12);
    near(sheet_allreduce_s(&round_gpu, 1e9, 8, 4), 1e-5 + 3e-6 + 4e-5 + 1.75e9 / 40e9, 1e-12);
    near(sheet_transfer_s(&round_gpu, 1e8, true), 1e-5 + 1e-3, 1e-12);
    near(sheet_transfer_s(&round_gpu, 1e8, false), 3e-5 + 1e-2, 1e-12);
}

static void a_pass_takes_what_gpu_or_host_take(void **state) {
    (void)state;
    struct framework f = plain;
    struct pass p = {.products_s = 3, .host_s = 4};
    f.pass_norm = 2;
    near(pass_time_s(&p, &f), 5, 1e-12);
    f.pass_norm = 100;
    near(pass_time_s(&p, &f), 4, 1e-9);
}

/* 1 sequence of 8 tokens, hidden 4, 2 heads, feed-forward 16: 8 x 12, 8 x 4, 8 x 16 and 8 x 4 outputs. */
static void a_block_adds_up(void **state) {
    (void)state;
    struct transformer x = {.layers = 1,
                            .hidden = 4,
                            .ffn = 16,
                            .heads = 2,
                            .kv_heads = 2,
                            .head_size = 2,
                            .vocabulary = 32,
                            .sequence = 8};
    struct shard s = {.tp = 1, .cp = 1, .micro_batch = 1, .element = ELEMENT_BF16, .gpus_per_node = 4};
    struct pass forward, backward;
    block_time(&round_gpu, &plain, &x, &s, &forward, &backward);
    double moved = 2.0 * (8 * 12 + 12 * 4 + 8 * 4 + 8 * 4 + 4 * 4 + 8 * 4 + 8 * 16 + 16 * 4 + 8 * 4 + 8 * 4 +
                          4 * 16 + 8 * 16); /* so small that memory is the bottleneck */
    near(forward.products_s, moved / 1e12, 1e-12);
    near(forward.attention_s, 2 * 2.0 * (8 * 8 * 2) / 1e12, 1e-12); /* scores, written and read */
    near(forward.bytes_s, (8.0 * (20 * 4 + 8 * 4 + 4 * 16) + 9.0 * 8 * 8 * 2) / 1e12, 1e-12);
    near(forward.host_s, 1e-4, 1e-12);
    assert_true(forward.collectives_s == 0);
    near(backward.products_s, 2 * forward.products_s, 1e-12);
    s.recompute = RECOMPUTE_FULL;
    block_time(&round_gpu, &plain, &x, &s, &forward, &backward);
    near(backward.products_s, 3 * forward.products_s, 1e-12);
    near(backward.host_s, 3e-4, 1e-12);
    s.recompute = RECOMPUTE_SELECTIVE;
    block_time(&round_gpu, &plain, &x, &s, &forward, &backward);
    near(backward.products_s, 2 * forward.products_s, 1e-12);
    near(backward.attention_s, 3 * forward.attention_s, 1e-12);
    x.head_size = 200; /* wide heads: products decide */
    block_time(&round_gpu, &plain, &x, &s, &forward, &backward);
    near(forward.attention_s, 4.0 * 8 * 8 * 400 / 50e12, 1e-12);
    struct framework fused = plain;
    fused.flash_attention = true;
    block_time(&round_gpu, &fused, &x, &s, &forward, &backward);
    near(forward.attention_s, 2.0 * 8 * 8 * 400 / 50e12, 1e-12);
}

/* 175 billion: 96 x (12 h^2 + 13 h) + (V + s) h + 2 h. */
/* Tensor cores take transposed matrices at full rate in 16 bit only. */
static void products_go_back_more_slowly_in_tf32(void **state) {
    (void)state;
    struct device d = round_gpu;
    struct shard s = {.tp = 1, .cp = 1, .element = ELEMENT_BF16, .micro_batch = 1, .gpus_per_node = 8};
    struct pass forward, backward;
    d.tf32_backward = 0.5;
    block_time(&d, &plain, &gpt3, &s, &forward, &backward);
    near(backward.products_s, 2 * forward.products_s, 1e-12);
    s.element = ELEMENT_TF32;
    block_time(&d, &plain, &gpt3, &s, &forward, &backward);
    near(backward.products_s, 4 * forward.products_s, 1e-12);
    near(backward.attention_s, 4 * forward.attention_s, 1e-12);
    near(backward.bytes_s, 2 * forward.bytes_s, 1e-12);
    head_time(&d, &plain, &gpt3, &s, &forward, &backward);
    near(backward.products_s, 4 * forward.products_s, 1e-12);
}

static void parameters_are_those_of_the_paper(void **state) {
    (void)state;
    double h = gpt3.hidden;
    near(block_params(&gpt3, 1), 12 * h * h + 13 * h, 1e-15);
    near(embedding_params(&gpt3, 1), (51200 + 2048) * h, 1e-15);
    near(head_params(&gpt3, 1), 2 * h, 1e-15);
    near(96 * block_params(&gpt3, 1) + embedding_params(&gpt3, 1) + head_params(&gpt3, 1), 174.6e9, 1e-3);
    near(block_params(&gpt3, 8), (12 * h * h + 7 * h) / 8 + 6 * h, 1e-15);
}

/* Table 2 of arXiv 2205.05198, in units of s b h. */
static void activations_are_those_of_the_paper(void **state) {
    (void)state;
    struct shard s = {.tp = 1, .cp = 1, .micro_batch = 4, .element = ELEMENT_FP16, .gpus_per_node = 8};
    double sbh = 2048.0 * 4 * 12288, scores = 5.0 * 96 * 2048 / 12288;
    near(block_kept_bytes(&plain, &gpt3, &s) / sbh, 34 + scores, 1e-12);
    s.tp = 8;
    near(block_kept_bytes(&plain, &gpt3, &s) / sbh, 10 + 24 / 8.0 + scores / 8, 1e-12);
    s.sequence_parallel = true;
    near(block_kept_bytes(&plain, &gpt3, &s) / sbh, 34 / 8.0 + scores / 8, 1e-12);
    s.recompute = RECOMPUTE_SELECTIVE;
    near(block_kept_bytes(&plain, &gpt3, &s) / sbh, 34 / 8.0, 1e-12);
    s.sequence_parallel = false;
    s.recompute = RECOMPUTE_FULL;
    near(block_kept_bytes(&plain, &gpt3, &s) / sbh, 2, 1e-12);
}

static struct run_setup gpt3_run(int pp, int dp, int vp, int batch) {
    return (struct run_setup){
        .model = gpt3,
        .shard = {.tp = 4, .cp = 1, .micro_batch = 1, .element = ELEMENT_FP16, .gpus_per_node = 4},
        .pp = pp,
        .dp = dp,
        .vp = vp,
        .global_batch = batch};
}

static void blocks_are_dealt_out(void **state) {
    (void)state;
    struct run_setup r = gpt3_run(10, 1, 1, 8); /* 96 = 10 x 9 + 6: the middle stages hold one more */
    int sum = 0;
    for (int i = 0; i < 10; i++) sum += run_stage_blocks(&r, i);
    assert_int_equal(sum, 96);
    assert_int_equal(run_stage_blocks(&r, 0), 9);
    assert_int_equal(run_stage_blocks(&r, 9), 9);
    assert_int_equal(run_stage_blocks(&r, 5), 10);
    r.global_batch = 9;
    r.dp = 2;
    assert_int_equal(run_microbatches(&r), 5); /* the last one is not full */
}

static void state_is_shared_out_by_zero(void **state) {
    (void)state;
    struct run_setup r = gpt3_run(1, 4, 1, 64);
    struct memory_parts whole = run_stage_memory(&plain, &r, 0);
    double params = 96 * block_params(&gpt3, 4) + embedding_params(&gpt3, 4) + head_params(&gpt3, 4);
    near(whole.parameters + whole.gradients + whole.optimizer + whole.master, 18 * params, 1e-12);
    r.zero = 1;
    struct memory_parts shared = run_stage_memory(&plain, &r, 0);
    near(shared.parameters + shared.gradients + shared.optimizer + shared.master, (6 + 12.0 / 4) * params,
         1e-12);
}

static void more_stages_wait_more_and_virtual_ones_less(void **state) {
    (void)state;
    struct run_setup r = gpt3_run(8, 1, 1, 64);
    struct forecast plain_run = run_forecast(&round_gpu, &plain, &r);
    near(plain_run.compute_s + plain_run.bubble_s + plain_run.sync_s + plain_run.update_s,
         plain_run.iteration_time_s, 1e-15);
    r.vp = 3;
    struct framework hidden = plain;
    hidden.hides_transfers = true;
    assert_true(run_forecast(&round_gpu, &hidden, &r).bubble_s < plain_run.bubble_s);
    /* the first of P stages holds L (1 + (P - 1) / (P v)) blocks of activations */
    struct memory_parts m = run_stage_memory(&plain, &r, 0);
    near(m.activations, 96 * (1 + 7.0 / 24) * block_kept_bytes(&plain, &gpt3, &r.shard), 1e-12);
}

static void shipped_sheets_are_sound(void **state) {
    (void)state;
    static const char *const gpus[] = {"V100-16", "A100-40",  "A100-80",  "H100-80",   "H200-141",
                                       "GH-96",   "B200-180", "L4-24",    "L40S-48",   "A10G-24",
                                       "T4-16",   "RTX-3090", "RTX-4090", "MI300X-192"};
    struct arena a = {0};
    struct err e;
    struct device d;
    struct framework f;
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++) {
        if (devices_sheet("devices.json", slurp("inputs/devices.json"), gpus[i], "t", &d, &a, &e))
            fail_msg("%s", e.text);
        assert_true(d.memory_bytes >= 11e9 && d.memory_Bps > 1e11 && d.source[0]);
    }
    assert_int_equal(devices_sheet("d", slurp("inputs/devices.json"), "A100-41", "t:1", &d, &a, &e), 1);
    check_error(&e, "t:1: no data sheet", "A100-40, A100-80");
    if (frameworks_find("f", slurp("inputs/frameworks.json"), "megatron-core", "t", &f, &a, &e))
        fail_msg("%s", e.text);
    assert_true(f.parameter_bytes + f.gradient_bytes + f.optimizer_bytes + f.master_bytes == 18);
    assert_int_equal(frameworks_find("f", slurp("inputs/frameworks.json"), "jax", "t:2", &f, &a, &e), -1);
    check_error(&e, "t:2: no framework", "megatron-core");
    arena_free(&a);
}

static const char header[] =
    "source,model,layers,hidden,ffn,heads,kv_heads,vocabulary,sequence,activation,gpu,"
    "gpus_per_node,dtype,framework,tp,pp,dp,cp,vp,sequence_parallel,micro_batch,"
    "global_batch,recompute,zero,iteration_time_s,peak_allocated_bytes\n";
static const char row[] =
    "\"a, b\",m,32,4096,14336,32,8,128256,8192,swiglu,H100-80,8,bf16,megatron-core,2,4,8,2,"
    "2,1,1,256,none,1,13.0,\n";

static void a_table_of_runs_is_read(void **state) {
    (void)state;
    struct arena a = {0};
    struct err e;
    struct measured_run *r;
    int n;
    const char *text = arena_printf(&a, "%s%s\n%s", header, row, row);
    assert_true(runs_is_table(text, strlen(text)));
    assert_false(runs_is_table("{\"plans\": []}", 13));
    if (runs_read("t.csv", text, &r, &n, &a, &e)) fail_msg("%s", e.text);
    assert_int_equal(n, 2);
    assert_int_equal(r[1].line, 4);
    assert_string_equal(r[0].gpu, "H100-80");
    const struct run_setup *s = &r[0].setup;
    assert_int_equal(s->model.head_size, 128);
    assert_true(s->model.gated && !s->model.tied && s->shard.sequence_parallel);
    assert_int_equal(s->shard.element, ELEMENT_BF16);
    assert_int_equal(s->pp * 1000 + s->dp * 100 + s->shard.cp * 10 + s->vp, 4822);
    assert_true(r[0].time_s == 13 && isnan(r[0].peak_bytes));
    /* vTrain's own columns say less than ours */
    text = "gpus,global_batch,micro_batch,hidden,heads,layers,sequence,tp,dp,pp,iteration_ms\n"
           "4,16,4,2048,16,24,1024,1,2,2,410.5\n";
    assert_true(runs_is_table(text, strlen(text)));
    if (runs_read("v.csv", text, &r, &n, &a, &e)) fail_msg("%s", e.text);
    near(r[0].time_s, 0.4105, 1e-12);
    assert_string_equal(r[0].framework, "megatron-deepspeed");
    assert_int_equal(r[0].setup.model.ffn, 8192);
    arena_free(&a);
}

static void bad_tables_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *start, *word;
    } bad[] = {
        {"hidden", "hiden", "t.csv:1: ", "did you mean hidden?"},
        {"micro_batch,", "", "t.csv:2: ", "expected 25"},
        {"4096", "4096.5", "t.csv:2: hidden", "whole number"},
        {"4096", "x", "t.csv:2: hidden", "\"x\""},
        {"4096", "", "t.csv:2: hidden", "whole number"},
        {"swiglu", "swigloo", "t.csv:2: activation", "swiglu"},
        {"bf16", "fp8", "t.csv:2: dtype", "bf16"},
        {"13.0", "-1", "t.csv:2: iteration_time_s", "above 0"},
        {"13.0", "nan", "t.csv:2: iteration_time_s", "above 0"},
        {"none", "some", "t.csv:2: recompute", "selective"},
        {",32,8,", ",30,8,", "t.csv:2: heads", "divisor"},
        {",m,32,", ",m,3,", "t.csv:2: fewer layers", "stages"},
        {"\"a, b\"", "\"a, b", "t.csv:2: ", "columns"},
        {"ffn", "heads", "t.csv:1: ", "twice"},
    };
    struct err e;
    struct measured_run *r;
    int n;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct arena a = {0};
        const char *text = arena_printf(&a, "%s%s", header, row);
        e = (struct err){0};
        if (!runs_read("t.csv", with(text, bad[i].from, bad[i].to), &r, &n, &a, &e))
            fail_msg("accepted: %s", bad[i].to);
        check_error(&e, bad[i].start, bad[i].word);
        arena_free(&a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_product_is_bound_by_units_or_by_memory),
        cmocka_unit_test(a_collective_has_latency_and_volume),
        cmocka_unit_test(a_pass_takes_what_gpu_or_host_take),
        cmocka_unit_test(a_block_adds_up),
        cmocka_unit_test(products_go_back_more_slowly_in_tf32),
        cmocka_unit_test(parameters_are_those_of_the_paper),
        cmocka_unit_test(activations_are_those_of_the_paper),
        cmocka_unit_test(blocks_are_dealt_out),
        cmocka_unit_test(state_is_shared_out_by_zero),
        cmocka_unit_test(more_stages_wait_more_and_virtual_ones_less),
        cmocka_unit_test(shipped_sheets_are_sound),
        cmocka_unit_test(a_table_of_runs_is_read),
        cmocka_unit_test(bad_tables_are_refused),
    };
    return cmocka_run_group_tests(tests, texts_begin, texts_end);
}
