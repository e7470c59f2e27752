/* Warploom's C interface: compile a spec once, run it on your arrays as often as you like.
 *
 * Every function may be called from any thread; two calls on one program run one after the other.
 * A function that returns int returns 0 when it did what it says, else the exit code that the
 * command `warploom` would have: 1 the input is wrong, 2 the schedule is illegal or unsupported,
 * 3 the device or the environment failed. warploom_error() then has the message. */
#ifndef WARPLOOM_H
#define WARPLOOM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A compiled program. */
typedef struct warploom_program warploom_program;

/* How a spec becomes a program; start from {sizeof(warploom_options)}: what is zero is left to
 * Warploom. Strings are UTF-8. */
typedef struct warploom_options {
  size_t struct_size;    /* sizeof(warploom_options) */
  const char *sizes;     /* "m=4096,n=4096,k=4096": every size that the spec leaves open */
  const char *dtypes;    /* types of the inputs in order, "bf16,bf16", or one for all; "f32" */
  const char *acc;       /* how sums add, "f32" or "f32 keeps 13 over 128" */
  const char *out_dtype; /* the output's type */
  const char *schedule;  /* the text of a schedule script; automatic where there is none */
  const char *device;    /* "cpu", "cuda" or "cuda:1"; the first GPU, else "cpu" */
  const char *cache;     /* folder of code that was compiled before; "" for none; else the user's cache,
                          * or none where WARPLOOM_NO_CACHE is set in the environment */
} warploom_options;

/* An array that a program takes. The pointers live as long as the program. */
typedef struct warploom_array {
  const char *name;
  const char *dtype;    /* such as "bf16" */
  size_t rank;
  const int64_t *shape; /* extents; elements are dense and row-major */
  size_t bytes;         /* of all elements */
  int written;          /* 0: read alone, 1: written, perhaps after it was read */
} warploom_array;

/* The version of this library, such as "0.1.0". */
const char *warploom_version(void);

/* What went wrong in this thread's last call that failed; valid until its next call. */
const char *warploom_error(void);

/* Compiles a spec: an einsum ("mk,kn->mn"), a formula ("C[m,n] += A[m,k] * B[k,n]"), the path of a
 * .nest file, or the text of one (it has a line break). `options` may be NULL. */
int warploom_compile(const char *spec, const warploom_options *options,
                     warploom_program **program);

/* How many arrays a run takes, and which: those of the spec, in the order of its text. */
size_t warploom_arrays(const warploom_program *program);
int warploom_describe(const warploom_program *program, size_t index, warploom_array *array);

/* The script of the schedule that was compiled; lives as long as the program. */
const char *warploom_schedule(const warploom_program *program);

/* Runs it on arrays at these addresses. On a GPU: device addresses that are multiples of 16, in the
 * primary context (which PyTorch and the CUDA runtime use), and a CUstream (cudaStream_t), NULL for
 * the default one; it does not wait for the end, until when the arrays must stay as they are. On
 * the processor: `stream` is NULL, and the run has ended on return. */
int warploom_run(warploom_program *program, void *const *arrays, size_t count, void *stream);

/* Frees a program, after its last run has ended. NULL is allowed. */
void warploom_free(warploom_program *program);

#ifdef __cplusplus
}
#endif

#endif
