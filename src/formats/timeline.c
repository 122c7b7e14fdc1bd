#include "formats/timeline.h"

#include <stdio.h>

const char *const phase_name[PHASE_N] = {"forward", "backward", "wait", "tensor", "data", "update", "other"};

void timeline_begin(struct text *out, const struct timeline_about *about) {
    text_add(out, "{\"displayTimeUnit\":\"ms\",\n\"otherData\":{\"format\":\"sailor-trace/1\",\"source\":");
    text_string(out, about->source);
    text_add(out, ",\"step\":%ld,\"ranks\":%d,\"time_s\":", about->step, about->ranks);
    text_number(out, about->time_s);
    text_add(out, ",\"clock_error_s\":");
    text_number(out, about->clock_error_s);
    text_add(out, "},\n\"traceEvents\":[\n{\"ph\":\"M\",\"pid\":0,\"name\":\"process_labels\",\"args\":{"
                  "\"labels\":");
    text_string(out, about->label);
    text_add(out, "}}");
}

void timeline_end(struct text *out) { text_add(out, "\n]}\n"); }

/* ---- names -------------------------------------------------------------------------- */

static void put_name(struct text *out, const char *of, int process, int track, int order, const char *name) {
    text_add(out, ",\n{\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"name\":\"%s_name\",\"args\":{\"name\":", process,
             track, of);
    text_string(out, name);
    text_add(
        out,
        "}},\n{\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"name\":\"%s_sort_index\",\"args\":{\"sort_index\":%d}}",
        process, track, of, order);
}

void timeline_process(struct text *out, int process, int track, int pipeline, int stage, int first, int end) {
    char name[120];
    snprintf(name, sizeof name, "pipeline %d, stage %d: layers %d to %d", pipeline, stage, first, end - 1);
    put_name(out, "process", process, track, process, name);
}

void timeline_track(struct text *out, int process, int track, int order, const char *name) {
    put_name(out, "thread", process, track, order, name);
}

/* ---- events ------------------------------------------------------------------------- */

static const char *what(char text[40], const struct timeline_at *at) {
    const char *name = phase_name[at->phase];
    bool sum = at->phase == PHASE_TENSOR || at->phase == PHASE_DATA;
    if (at->phase == PHASE_FORWARD || at->phase == PHASE_BACKWARD)
        snprintf(text, 40, "%s %d", name, at->item);
    else if (at->phase == PHASE_DATA && at->item >= 0)
        snprintf(text, 40, "%s sum, layer %d", name, at->item);
    else
        snprintf(text, 40, "%s%s", name, sum ? " sum" : "");
    return text;
}

/* Microseconds with three decimals. */
static void put_us(struct text *out, const char *key, long long ns) {
    text_add(out, ",\"%s\":%lld.%03lld", key, ns / 1000, ns % 1000);
}

static void put_event(struct text *out, const struct timeline_at *at, char kind) {
    char text[40];
    text_add(out, ",\n{\"ph\":\"%c\",\"pid\":%d,\"tid\":%d,\"cat\":\"%s\",\"name\":\"%s\"", kind, at->process,
             at->track, phase_name[at->phase], what(text, at));
}

void timeline_span(struct text *out, const struct timeline_at *at, long long from_ns, long long to_ns) {
    if (to_ns <= from_ns) return;
    put_event(out, at, 'X');
    put_us(out, "ts", from_ns);
    put_us(out, "dur", to_ns - from_ns);
    if (at->item >= 0)
        text_add(out, ",\"args\":{\"%s\":%d}", at->phase == PHASE_DATA ? "layer" : "microbatch", at->item);
    text_add(out, "}");
}

void timeline_beside(struct text *out, const struct timeline_at *at, char kind, int rank, long long ns) {
    put_event(out, at, kind);
    text_add(out, ",\"id\":\"%d.%d\"", rank, at->item);
    put_us(out, "ts", ns);
    text_add(out, "}");
}

void timeline_memory(struct text *out, int process, long long ns, double state, double activations,
                     double backward) {
    text_add(out, ",\n{\"ph\":\"C\",\"pid\":%d,\"name\":\"memory\"", process);
    put_us(out, "ts", ns);
    text_add(out, ",\"args\":{\"state\":%.0f,\"activations\":%.0f,\"backward\":%.0f}}", state, activations,
             backward);
}
