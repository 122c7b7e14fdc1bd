/* Replays a corpus through a fuzz harness without libFuzzer: this main() hands every file named on the
 * command line, or every file of tests/fuzz/corpus/NAME for a program called fuzz_NAME.replay, to
 * LLVMFuzzerTestOneInput(), and prints TAP. A harness that crashes or trips a sanitizer ends the program
 * before the plan line. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int n_done;

static int replay(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return 1;
    }
    size_t size = 0, room = 1 << 16;
    uint8_t *data = malloc(room);
    while (data) {
        size += fread(data + size, 1, room - size, f);
        if (size < room) break;
        room *= 2;
        uint8_t *more = realloc(data, room);
        if (!more) free(data);
        data = more;
    }
    fclose(f);
    if (!data) {
        fprintf(stderr, "%s: out of memory\n", path);
        return 1;
    }
    /* an exact copy, so that reading one byte too far is noticed */
    uint8_t *exact = malloc(size ? size : 1);
    if (exact) memcpy(exact, data, size);
    free(data);
    if (!exact) return 1;
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    printf("ok %d - %s\n", ++n_done, path);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv) {
    int failed = 0;
    for (int i = 1; i < argc; i++) failed |= replay(argv[i]);
    if (argc == 1) {
        const char *name = strstr(argv[0], "fuzz_");
        char dir[200], path[500];
        for (const char *s = name; s && (s = strstr(s + 1, "fuzz_"));) name = s;
        if (!name) return fprintf(stderr, "expected a program name fuzz_NAME.replay, or files\n"), 2;
        name += strlen("fuzz_");
        snprintf(dir, sizeof dir, "tests/fuzz/corpus/%.*s", (int)strcspn(name, "."), name);
        DIR *d = opendir(dir);
        if (!d) return perror(dir), 1;
        for (struct dirent *e; (e = readdir(d));) {
            if (e->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
            failed |= replay(path);
        }
        closedir(d);
    }
    printf("1..%d\n", n_done + failed);
    return failed;
}
