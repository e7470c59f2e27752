/* A kernel in C as a contestant: sets a problem up once, then runs it once per line on standard
 * input. It is linked with the kernel, whose `call` takes all buffers.
 *
 * First line: the number of buffers; then a line for each: its bytes, and the path of its contents
 * or `-`; the answer is the compiler. Every line `go` restores the contents, runs the kernel and
 * answers with its seconds; `save K PATH` writes buffer K to a file and answers `saved`.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST 64

void call(void **buffers);

static void fail(const char *what)
{
    fprintf(stderr, "c_peer: %s\n", what);
    exit(1);
}

/* Memory for a buffer: the contents of a file, else bytes of ones (NaN). */
static void *filled(size_t bytes, const char *path)
{
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    if (!memory)
        fail("no memory");
    memset(memory, 0xff, bytes);
    if (strcmp(path, "-") != 0) {
        FILE *file = fopen(path, "rb");
        if (!file || fread(memory, 1, bytes, file) != bytes)
            fail("cannot read the contents of a buffer");
        fclose(file);
    }
    return memory;
}

int main(void)
{
    size_t count, bytes[MOST];
    void *buffers[MOST], *initial[MOST];
    char line[4200], path[4096];
    if (!fgets(line, sizeof line, stdin) || sscanf(line, "%zu", &count) != 1 || count > MOST)
        fail("no number of buffers");
    for (size_t k = 0; k < count; k++) {
        if (!fgets(line, sizeof line, stdin) || sscanf(line, "%zu %4095s", &bytes[k], path) != 2)
            fail("no such buffer");
        buffers[k] = filled(bytes[k], path);
        initial[k] = strcmp(path, "-") != 0 ? filled(bytes[k], path) : NULL;
    }
    printf("gcc %s\n", __VERSION__);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        size_t k;
        if (sscanf(line, "save %zu %4095s", &k, path) == 2) {
            FILE *file = fopen(path, "wb");
            if (k >= count || !file || fwrite(buffers[k], 1, bytes[k], file) != bytes[k])
                fail("cannot write a buffer");
            fclose(file);
            puts("saved");
        } else {
            struct timespec start, end;
            for (k = 0; k < count; k++)
                if (initial[k])
                    memcpy(buffers[k], initial[k], bytes[k]);
            clock_gettime(CLOCK_MONOTONIC, &start);
            call(buffers);
            clock_gettime(CLOCK_MONOTONIC, &end);
            printf("%.9f\n", (double)(end.tv_sec - start.tv_sec)
                                 + 1e-9 * (double)(end.tv_nsec - start.tv_nsec));
        }
        fflush(stdout);
    }
    return 0;
}
