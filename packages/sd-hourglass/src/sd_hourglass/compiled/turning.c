/* Queries and keys brought to length one and turned, values set beside them; built and called by turning.py.

   B examples of T tokens of three times H heads of D channels: queries, keys, values. The turn of a token and head is
   told by tables (T, H, D), the sine negative in its first half. A task is a piece of the tokens of an example; what
   is summed over tokens is written once per task and added up later. */
#include <math.h>

#include "lanes.h"

typedef struct { int64_t B, T, H, D, piece; } sizes_t;
typedef struct { int64_t first, last, offset; } place_t; /* tokens of all examples, and what to take off for tables */

INLINE place_t place(int64_t task, const sizes_t *z) {
  const int64_t pieces = (z->T + z->piece - 1) / z->piece, before = task / pieces * z->T;
  const int64_t first = task % pieces * z->piece;
  return (place_t){before + first, before + smaller(first + z->piece, z->T), before};
}

INLINE real inverse_length(const real *x, int64_t D, double epsilon) {
  vec squares = {0};
  for (int64_t d = 0; d < D; d += LANES) squares += load(x + d) * load(x + d);
  return 1 / sqrt(sum_of(squares) + epsilon);
}

/* tensors: queries, keys and values (B, T, 3, H, D), scale (H), cos, sin; then queries, keys, values (B, T, H, D).
   Returns 0. */
int forward(int64_t task, const sizes_t *sizes, double epsilon, real *const *tensors) {
  const sizes_t z = *sizes;
  const place_t p = place(task, &z);
  const int64_t width = z.H * z.D, half = z.D / 2;
  for (int64_t token = p.first; token < p.last; token++) {
    for (int64_t which = 0; which < 2; which++)
      for (int64_t head = 0; head < z.H; head++) {
        const real *x = tensors[0] + (token * 3 + which) * width + head * z.D;
        const real *cos = tensors[2] + (token - p.offset) * width + head * z.D;
        const real *sin = tensors[3] + (token - p.offset) * width + head * z.D;
        real *y = tensors[4 + which] + token * width + head * z.D;
        const real share = inverse_length(x, z.D, epsilon) * (which ? 1 : tensors[1][head]);
        for (int64_t d = 0; d < half; d += LANES) {
          const vec one = load(x + d), other = load(x + d + half);
          store(y + d, (one * load(cos + d) + other * load(sin + d)) * share);
          store(y + d + half, (other * load(cos + d + half) + one * load(sin + d + half)) * share);
        }
      }
    memcpy(tensors[6] + token * width, tensors[0] + (token * 3 + 2) * width, width * sizeof(real));
  }
  return 0;
}

/* With h the gradient turned back, dx = f / |x| (h - x (x . h) / |x|^2), and df = (x . h) / |x| summed over tokens.
   tensors: gradients of queries, keys, values; the inputs; then gradients of the first input, and parts of that of
   scale (tasks, H). Returns 0. */
int backward(int64_t task, const sizes_t *sizes, double epsilon, real *const *tensors) {
  const sizes_t z = *sizes;
  const place_t p = place(task, &z);
  const int64_t width = z.H * z.D, half = z.D / 2;
  real *to_scale = tensors[8] + task * z.H;
  memset(to_scale, 0, z.H * sizeof(real));
  for (int64_t token = p.first; token < p.last; token++) {
    for (int64_t which = 0; which < 2; which++)
      for (int64_t head = 0; head < z.H; head++) {
        const real *told = tensors[which] + token * width + head * z.D;
        const real *x = tensors[3] + (token * 3 + which) * width + head * z.D;
        const real *cos = tensors[5] + (token - p.offset) * width + head * z.D;
        const real *sin = tensors[6] + (token - p.offset) * width + head * z.D;
        real *to = tensors[7] + (token * 3 + which) * width + head * z.D;
        const real inverse = inverse_length(x, z.D, epsilon);
        vec sum = {0};
        for (int64_t d = 0; d < half; d += LANES) {
          const vec one = load(told + d), other = load(told + d + half);
          const vec back = one * load(cos + d) + other * load(sin + d + half);
          const vec back_other = other * load(cos + d + half) + one * load(sin + d);
          sum += back * load(x + d) + back_other * load(x + d + half);
          store(to + d, back);
          store(to + d + half, back_other);
        }
        const real along = sum_of(sum) * inverse, share = inverse * (which ? 1 : tensors[4][head]);
        for (int64_t d = 0; d < z.D; d += LANES)
          store(to + d, (load(to + d) - load(x + d) * (along * inverse)) * share);
        if (!which) to_scale[head] += along;
      }
    memcpy(tensors[7] + (token * 3 + 2) * width, tensors[2] + token * width, width * sizeof(real));
  }
  return 0;
}
