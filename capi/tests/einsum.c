/* A product through the C interface, and what it says to wrong calls. */
#include "warploom.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what)                                                                                \
  do {                                                                                             \
    if (!(what)) {                                                                                 \
      printf("%s:%d: %s; %s\n", __FILE__, __LINE__, #what, warploom_error());                      \
      return 1;                                                                                    \
    }                                                                                              \
  } while (0)

enum { M = 33, N = 17, K = 65 };
static float a[M * K], b[K * N], c[M * N + 1];

static int product(float *out) {
  warploom_options options = {sizeof options};
  options.sizes = "m=33,n=17,k=65";
  options.device = "cpu";
  warploom_program *program = NULL;
  CHECK(warploom_compile("mk,kn->mn", &options, &program) == 0);
  CHECK(warploom_arrays(program) == 3);
  warploom_array array;
  CHECK(warploom_describe(program, 2, &array) == 0);
  CHECK(strcmp(array.dtype, "f32") == 0 && array.rank == 2 && array.written == 1);
  CHECK(array.shape[0] == M && array.shape[1] == N && array.bytes == sizeof(float) * M * N);
  CHECK(warploom_describe(program, 1, &array) == 0);
  CHECK(strcmp(array.name, "B") == 0 && array.written == 0);
  CHECK(warploom_describe(program, 3, &array) == 1);
  CHECK(strlen(warploom_schedule(program)) > 0);
  void *arrays[3] = {a, b, out};
  for (int run = 0; run < 2; ++run) {
    memset(out, 0xff, sizeof(float) * M * N);
    CHECK(warploom_run(program, arrays, 3, NULL) == 0);
    for (int m = 0; m < M; ++m) {
      for (int n = 0; n < N; ++n) {
        float sum = 0;
        for (int k = 0; k < K; ++k) sum += a[m * K + k] * b[k * N + n];
        CHECK(out[m * N + n] == sum); /* small integers: every order gives this */
      }
    }
  }
  CHECK(warploom_run(program, arrays, 2, NULL) == 1);
  arrays[2] = a;
  CHECK(warploom_run(program, arrays, 3, NULL) == 1 && strstr(warploom_error(), "E1117"));
  arrays[2] = NULL;
  CHECK(warploom_run(program, arrays, 3, NULL) == 1 && strstr(warploom_error(), "NULL"));
  arrays[2] = out;
  CHECK(warploom_run(program, arrays, 3, arrays) == 1 && strstr(warploom_error(), "stream"));
  warploom_free(program);
  return 0;
}

static int refused(void) {
  warploom_program *program = (warploom_program *)a;
  CHECK(warploom_compile("mk,kn->mx", NULL, &program) == 1 && program == NULL);
  CHECK(strstr(warploom_error(), "error[E") && strstr(warploom_error(), "mk,kn->mx"));
  CHECK(warploom_compile(NULL, NULL, &program) == 1);
  CHECK(warploom_compile("mk,kn->mn", NULL, NULL) == 1);
  warploom_options options = {sizeof options};
  options.device = "cpu";
  CHECK(warploom_compile("mk,kn->mn", &options, &program) == 1); /* no sizes */
  options.sizes = "m=8,n=8,k=8";
  options.dtypes = "f32,floatish";
  CHECK(warploom_compile("mk,kn->mn", &options, &program) == 1);
  CHECK(strstr(warploom_error(), "floatish"));
  options.dtypes = NULL;
  options.schedule = "reorder S1.k, S1.q";
  CHECK(warploom_compile("mk,kn->mn", &options, &program) != 0);
  options.schedule = NULL;
  options.device = "cuda:4096";
  CHECK(warploom_compile("mk,kn->mn", &options, &program) == 3);
  options.device = "cpu";
  options.sizes = "m=\xff";
  CHECK(warploom_compile("mk,kn->mn", &options, &program) == 1);
  options.struct_size = 4096;
  CHECK(warploom_compile("mk,kn->mn", &options, &program) == 1);
  CHECK(strstr(warploom_error(), "struct_size"));
  CHECK(warploom_run(NULL, NULL, 0, NULL) == 1);
  CHECK(warploom_arrays(NULL) == 0 && warploom_schedule(NULL) == NULL);
  warploom_free(NULL);
  return 0;
}

int main(void) {
  for (int i = 0; i < M * K; ++i) a[i] = (float)(i * 7 % 9 - 4);
  for (int i = 0; i < K * N; ++i) b[i] = (float)(i * 5 % 7 - 3);
  printf("warploom %s\n", warploom_version());
  /* at an address of any alignment */
  return product(c) || product(c + 1) || refused();
}
