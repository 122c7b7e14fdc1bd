/* config.json of Hugging Face's transformers: parameters are as published with the models, and impossible
 * values are refused. Runs in the project's root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "formats/devices.h"
#include "formats/inputs.h"
#include "formats/shape.h"
#include "import/config.h"
#include "texts.h"

static const struct {
    const char *name;
    double params; /* sum(p.numel() for p in model.parameters()) */
    const char *text;
} published[] = {
    {"gpt2", 124439808.0,
     "{\"model_type\": \"gpt2\", \"n_embd\": 768, \"n_layer\": 12, \"n_head\": 12, \"n_positions\": 1024, "
     "\"vocab_size\": 50257, \"n_inner\": null, \"activation_function\": \"gelu_new\"}"},
    {"gpt2-xl", 1557611200.0,
     "{\"model_type\": \"gpt2\", \"n_embd\": 1600, \"n_layer\": 48, \"n_head\": 25, \"n_positions\": 1024, "
     "\"vocab_size\": 50257}"},
    {"gpt-neo-125m", 125198592.0,
     "{\"model_type\": \"gpt_neo\", \"hidden_size\": 768, \"num_layers\": 12, \"num_heads\": 12, "
     "\"max_position_embeddings\": 2048, \"vocab_size\": 50257, \"intermediate_size\": null}"},
    {"gpt-neo-1.3b", 1315575808.0,
     "{\"model_type\": \"gpt_neo\", \"hidden_size\": 2048, \"num_layers\": 24, \"num_heads\": 16, "
     "\"max_position_embeddings\": 2048, \"vocab_size\": 50257, \"intermediate_size\": null}"},
    {"opt-125m", 125239296.0,
     "{\"model_type\": \"opt\", \"hidden_size\": 768, \"ffn_dim\": 3072, \"num_hidden_layers\": 12, "
     "\"num_attention_heads\": 12, \"max_position_embeddings\": 2048, \"vocab_size\": 50272, "
     "\"word_embed_proj_dim\": 768, \"do_layer_norm_before\": true}"},
    {"opt-350m-hf", 331196416.0,
     "{\"model_type\": \"opt\", \"hidden_size\": 1024, \"ffn_dim\": 4096, \"num_hidden_layers\": 24, "
     "\"num_attention_heads\": 16, \"max_position_embeddings\": 2048, \"vocab_size\": 50272, "
     "\"word_embed_proj_dim\": 512, \"do_layer_norm_before\": false}"},
    {"llama-2-7b", 6738415616.0,
     "{\"model_type\": \"llama\", \"hidden_size\": 4096, \"intermediate_size\": 11008, "
     "\"num_hidden_layers\": 32, \"num_attention_heads\": 32, \"vocab_size\": 32000, "
     "\"max_position_embeddings\": 4096}"},
    {"llama-3.1-8b", 8030261248.0,
     "{\"model_type\": \"llama\", \"hidden_size\": 4096, \"intermediate_size\": 14336, "
     "\"num_hidden_layers\": 32, \"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"vocab_size\": "
     "128256, \"max_position_embeddings\": 131072, \"hidden_act\": \"silu\", \"tie_word_embeddings\": false, "
     "\"attention_bias\": false, \"mlp_bias\": false}"},
    {"llama-3.1-70b", 70553706496.0,
     "{\"model_type\": \"llama\", \"hidden_size\": 8192, \"intermediate_size\": 28672, "
     "\"num_hidden_layers\": 80, \"num_attention_heads\": 64, \"num_key_value_heads\": 8, \"vocab_size\": "
     "128256, \"max_position_embeddings\": 131072, \"hidden_act\": \"silu\", \"tie_word_embeddings\": "
     "false}"},
    {"llama-3.2-1b", 1235814400.0,
     "{\"model_type\": \"llama\", \"hidden_size\": 2048, \"intermediate_size\": 8192, \"num_hidden_layers\": "
     "16, \"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"head_dim\": 64, \"vocab_size\": 128256, "
     "\"max_position_embeddings\": 131072, \"tie_word_embeddings\": true}"},
    {"mistral-7b", 7241732096.0,
     "{\"model_type\": \"mistral\", \"hidden_size\": 4096, \"intermediate_size\": 14336, "
     "\"num_hidden_layers\": 32, \"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"vocab_size\": "
     "32000, \"max_position_embeddings\": 32768, \"sliding_window\": 4096}"},
    {"qwen2.5-7b", 7615616512.0,
     "{\"model_type\": \"qwen2\", \"hidden_size\": 3584, \"intermediate_size\": 18944, "
     "\"num_hidden_layers\": 28, \"num_attention_heads\": 28, \"num_key_value_heads\": 4, \"vocab_size\": "
     "152064, \"max_position_embeddings\": 131072, \"tie_word_embeddings\": false, \"hidden_act\": "
     "\"silu\"}"},
    {"qwen2.5-0.5b", 494032768.0,
     "{\"model_type\": \"qwen2\", \"hidden_size\": 896, \"intermediate_size\": 4864, \"num_hidden_layers\": "
     "24, \"num_attention_heads\": 14, \"num_key_value_heads\": 2, \"vocab_size\": 151936, "
     "\"max_position_embeddings\": 32768, \"tie_word_embeddings\": true}"},
    {"qwen3-8b", 8190735360.0,
     "{\"model_type\": \"qwen3\", \"hidden_size\": 4096, \"intermediate_size\": 12288, "
     "\"num_hidden_layers\": 36, \"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"head_dim\": 128, "
     "\"vocab_size\": 151936, \"max_position_embeddings\": 40960, \"tie_word_embeddings\": false, "
     "\"attention_bias\": false}"},
    {"qwen3-0.6b", 596049920.0,
     "{\"model_type\": \"qwen3\", \"hidden_size\": 1024, \"intermediate_size\": 3072, \"num_hidden_layers\": "
     "28, \"num_attention_heads\": 16, \"num_key_value_heads\": 8, \"head_dim\": 128, \"vocab_size\": "
     "151936, \"max_position_embeddings\": 40960, \"tie_word_embeddings\": true}"},
    {"gemma-2b", 2506172416.0,
     "{\"model_type\": \"gemma\", \"hidden_size\": 2048, \"intermediate_size\": 16384, "
     "\"num_hidden_layers\": 18, \"num_attention_heads\": 8, \"num_key_value_heads\": 1, \"head_dim\": 256, "
     "\"vocab_size\": 256000, \"max_position_embeddings\": 8192}"},
    {"gemma-7b", 8537680896.0,
     "{\"model_type\": \"gemma\", \"hidden_size\": 3072, \"intermediate_size\": 24576, "
     "\"num_hidden_layers\": 28, \"num_attention_heads\": 16, \"num_key_value_heads\": 16, \"head_dim\": "
     "256, \"vocab_size\": 256000, \"max_position_embeddings\": 8192}"},
    {"phi-2", 2779683840.0,
     "{\"model_type\": \"phi\", \"hidden_size\": 2560, \"intermediate_size\": 10240, \"num_hidden_layers\": "
     "32, \"num_attention_heads\": 32, \"vocab_size\": 51200, \"max_position_embeddings\": 2048}"},
    {"mixtral-8x7b", 46702792704.0,
     "{\"model_type\": \"mixtral\", \"hidden_size\": 4096, \"intermediate_size\": 14336, "
     "\"num_hidden_layers\": 32, \"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"vocab_size\": "
     "32000, \"max_position_embeddings\": 32768, \"num_local_experts\": 8, \"num_experts_per_tok\": 2, "
     "\"hidden_act\": \"silu\", \"tie_word_embeddings\": false}"},
};

static void parameters_are_those_of_the_models(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        struct arena a = {0};
        struct err e;
        struct config c;
        if (config_read("c.json", published[i].text, &c, &a, &e))
            fail_msg("%s: %s", published[i].name, e.text);
        if (shape_params(&c.shape) != published[i].params)
            fail_msg("%s: %.0f parameters; expected %.0f", published[i].name, shape_params(&c.shape),
                     published[i].params);
        arena_free(&a);
    }
}

/* 12.9 billion of 46.7, as its authors say. */
static void a_token_passes_two_of_eight_experts(void **state) {
    (void)state;
    struct arena a = {0};
    struct err e;
    struct workload w;
    if (model_load("mixtral-8x7b", NULL, &w, &a, &e)) fail_msg("%s", e.text);
    const struct transformer *x = &w.model->shape->transformer;
    assert_true(shape_params(x) == 46702792704.0);
    assert_true(shape_active_params(x) == 46702792704.0 - 32 * 6 * 3.0 * 4096 * 14336);
    assert_non_null(strstr(w.model->source, "every replica holds all experts"));
    arena_free(&a);
}

/* The shipped files: layers add up to the model, at every degree, up to what is not divided. */
static void shipped_models_add_up(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double params;
        int degrees;
    } shipped[] = {{"llama-3.1-8b", 8030261248.0, 4},
                   {"llama-3.1-70b", 70553706496.0, 4},
                   {"qwen2.5-7b", 7615616512.0, 3},
                   {"mixtral-8x7b", 46702792704.0, 4}};
    for (size_t i = 0; i < sizeof shipped / sizeof *shipped; i++) {
        struct arena a = {0};
        struct err e;
        struct workload w;
        int degrees = 0;
        if (model_load(shipped[i].name, NULL, &w, &a, &e)) fail_msg("%s", e.text);
        for (int ti = 0; ti < TP_N; ti++) {
            double sum = 0;
            if (!w.model->params[ti]) continue;
            degrees++;
            for (int l = 0; l < w.model->n_layer; l++) sum += w.model->params[ti][l];
            assert_true(sum * (1 << ti) >= shipped[i].params && sum * (1 << ti) < 1.001 * shipped[i].params);
            if (!ti) assert_true(sum == shipped[i].params);
        }
        assert_int_equal(degrees, shipped[i].degrees);
        arena_free(&a);
    }
}

/* Llama-3.1-8B, 8192 tokens: 4 h and 2 q, 2 kv, 3 ffn elements a token; 2 tensor-parallel GPUs share the last
 * three; full recomputation keeps the block's input. */
static void activations_are_counted(void **state) {
    (void)state;
    struct arena a = {0};
    struct err e;
    struct workload w;
    if (model_load("llama-3.1-8b", NULL, &w, &a, &e)) fail_msg("%s", e.text);
    double s = 8192, h = 4096;
    assert_true(w.model->act_mem[0][1] == s * (4 * h + 2 * h + 2 * 1024 + 3 * 14336));
    assert_true(w.model->act_mem[1][1] == s * (4 * h + (2 * h + 2 * 1024 + 3 * 14336) / 2));
    assert_true(shape_kept(w.model->shape, RECOMPUTE_FULL, 1) == s * h);
    assert_true(w.model->act_out[7] == s * h);
    arena_free(&a);
}

static void a_profile_is_estimated(void **state) {
    (void)state;
    struct arena a = {0};
    struct err e;
    struct workload w;
    const char *text;
    if (model_load("llama-3.1-8b", NULL, &w, &a, &e)) fail_msg("%s", e.text);
    if (profile_estimate(w.model, "H100-80", "bf16", NULL, NULL, NULL, &text, &a, &e)) fail_msg("%s", e.text);
    assert_non_null(strstr(text, "\"estimated\": true"));
    assert_int_equal(profile_estimate(w.model, "V100-16", "bf16", NULL, NULL, NULL, &text, &a, &e), 1);
    check_error(&e, "GPU V100-16", "bf16");
    assert_int_equal(profile_estimate(w.model, "Z80", "bf16", NULL, NULL, NULL, &text, &a, &e), 1);
    check_error(&e, "model llama-3.1-8b", "no data sheet");
    if (model_load("opt-350m", NULL, &w, &a, &e)) fail_msg("%s", e.text);
    assert_int_equal(profile_estimate(w.model, "H100-80", "bf16", NULL, NULL, NULL, &text, &a, &e), -1);
    check_error(&e, "model opt-350m", "sailor model");
    arena_free(&a);
}

static void bad_configs_are_refused(void **state) {
    (void)state;
    static const char good[] = "{\"model_type\": \"llama\", \"hidden_size\": 64, \"intermediate_size\": 128, "
                               "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, "
                               "\"num_key_value_heads\": 2, \"vocab_size\": 100}";
    static const struct {
        const char *from, *to, *word;
    } bad[] = {
        {"llama", "falcon", "expected one of gpt2, gpt_neo, opt, llama"},
        {"\"model_type\": \"llama\", ", "", "/model_type"},
        {"\"hidden_size\": 64, ", "", "/hidden_size"},
        {": 64", ": -64", "/hidden_size"},
        {": 64", ": 6.5", "/hidden_size"},
        {": 64", ": \"64\"", "/hidden_size"},
        {": 64", ": 66", "/num_attention_heads"},
        {": 2, \"vocab", ": 3, \"vocab", "/num_key_value_heads"},
        {"_layers\": 2", "_layers\": 2000", "/num_hidden_layers"},
        {"{", "{\"rope_scaling\": {\"factor\": 2}, ", "/rope_scaling/type"},
        {"{", "{\"rope_scaling\": {\"rope_type\": \"llama3\"}, ", "/rope_scaling/factor"},
        {"{", "{\"rope_theta\": \"x\", ", "/rope_theta"},
        {"{", "{\"rms_norm_eps\": -1, ", "/rms_norm_eps"},
        {"{", "[{", "c.json"},
    };
    struct config c;
    struct arena a = {0};
    struct err e;
    assert_int_equal(config_read("c.json", good, &c, &a, &e), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        e = (struct err){0};
        if (!config_read("c.json", with(good, bad[i].from, bad[i].to), &c, &a, &e))
            fail_msg("accepted: %s", bad[i].to);
        check_error(&e, "c.json", bad[i].word);
    }
    arena_free(&a);
}

/* What the trainer needs to know besides sizes goes into the model file. */
static void words_for_the_trainer(void **state) {
    (void)state;
    static const char sizes[] = "\"hidden_size\": 64, \"intermediate_size\": 128, \"ffn_dim\": 128, "
                                "\"num_hidden_layers\": 2, \"num_layers\": 2, \"num_heads\": 4, "
                                "\"num_attention_heads\": 4, \"vocab_size\": 100";
    static const struct {
        const char *more, *written;
    } cases[] = {
        {"\"model_type\": \"opt\"", "\"position_offset\": 2"},
        {"\"model_type\": \"gpt_neo\"",
         "\"biases_added\": \"all but qkv\", \"kv_heads\": 4, \"head\": \"final norm and the embedding\", "
         "\"attention_scaled\": false, \"window\": 256, \"window_of_blocks\": \"odd\""},
        {"\"model_type\": \"gpt_neo\", \"attention_types\": [[[\"global\"], 2]]",
         "\"window_of_blocks\": \"other\""},
        {"\"model_type\": \"mistral\"", "\"window\": 4096"},
        {"\"model_type\": \"mistral\", \"sliding_window\": null",
         "\"norm_epsilon\": 1e-06, \"rope_theta\": 10000\n"},
        {"\"model_type\": \"qwen2\", \"use_sliding_window\": true", "\"window_of_blocks\": \"later\""},
        {"\"model_type\": \"llama\", \"head_dim\": 32", "\"head_size\": 32"},
        {"\"model_type\": \"llama\", \"rope_theta\": 5e5, \"rope_scaling\": {\"rope_type\": \"llama3\", "
         "\"factor\": 8, "
         "\"low_freq_factor\": 1, \"high_freq_factor\": 4, \"original_max_position_embeddings\": 8192}",
         "\"rope_theta\": 500000,\n    \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
         "\"low_freq_factor\": 1, "
         "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 8192}"},
        {"\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}",
         "\"rope_scaling\": {\"rope_type\": \"linear\"}"}};
    struct arena a = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config c;
        struct err e;
        struct text t = {0};
        if (config_read("c.json", arena_printf(&a, "{%s, %s}", sizes, cases[i].more), &c, &a, &e))
            fail_msg("%s", e.text);
        struct model_shape s = {.transformer = c.shape};
        s.transformer.sequence = 16;
        shape_write_model(&t, "m", &c.words, "test", &s);
        if (!strstr(t.s, cases[i].written))
            fail_msg("%s: expected %s in %s", cases[i].more, cases[i].written, t.s);
        text_free(&t);
    }
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_for_the_trainer),
        cmocka_unit_test(parameters_are_those_of_the_models),
        cmocka_unit_test(a_token_passes_two_of_eight_experts),
        cmocka_unit_test(shipped_models_add_up),
        cmocka_unit_test(activations_are_counted),
        cmocka_unit_test(a_profile_is_estimated),
        cmocka_unit_test(bad_configs_are_refused),
    };
    return cmocka_run_group_tests(tests, texts_begin, texts_end);
}
