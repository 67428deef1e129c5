/* RMS norm with a gain per example, one pass each way; built and called by rms.py.

   B examples of T tokens of D channels, a multiple of GROUP. A task is a piece of the tokens of an example; what is
   summed over tokens is written once per task and added up later. */
#include <math.h>

#include "lanes.h"

typedef struct { int64_t B, T, D, piece; } sizes_t;
typedef struct { int64_t example, first, last; } place_t;

INLINE place_t place(int64_t task, const sizes_t *z) {
  const int64_t pieces = (z->T + z->piece - 1) / z->piece, example = task / pieces;
  const int64_t first = task % pieces * z->piece;
  return (place_t){example, example * z->T + first, example * z->T + smaller(first + z->piece, z->T)};
}

/* tensors: x, gain (B, D); then y and 1 / rms (B, T). Returns 0. */
int forward(int64_t task, const sizes_t *sizes, double epsilon, real *const *tensors) {
  const sizes_t z = *sizes;
  const place_t p = place(task, &z);
  const real *gain = tensors[1] + p.example * z.D;
  for (int64_t token = p.first; token < p.last; token++) {
    const real *x = tensors[0] + token * z.D;
    real *y = tensors[2] + token * z.D;
    vec squares = {0};
    for (int64_t d = 0; d < z.D; d += LANES) squares += load(x + d) * load(x + d);
    const real inverse = 1 / sqrt(sum_of(squares) / z.D + epsilon);
    for (int64_t d = 0; d < z.D; d += LANES) store(y + d, load(x + d) * inverse * load(gain + d));
    tensors[3][token] = inverse;
  }
  return 0;
}

/* tensors: gradient of y, x, gain, 1 / rms; then gradient of x, and parts of that of gain (tasks, D). Returns 0. */
int backward(int64_t task, const sizes_t *sizes, double epsilon, real *const *tensors) {
  const sizes_t z = *sizes;
  const place_t p = place(task, &z);
  const real *gain = tensors[2] + p.example * z.D;
  real *to_gain = tensors[5] + task * z.D;
  (void)epsilon;
  memset(to_gain, 0, z.D * sizeof(real));
  for (int64_t token = p.first; token < p.last; token++) {
    const real *told = tensors[0] + token * z.D, *x = tensors[1] + token * z.D, inverse = tensors[3][token];
    real *to_x = tensors[4] + token * z.D;
    vec along = {0};
    for (int64_t d = 0; d < z.D; d += LANES) {
      const vec product = load(told + d) * load(x + d);
      along += product * load(gain + d);
      store(to_gain + d, load(to_gain + d) + product * inverse);
    }
    const real share = sum_of(along) * inverse * inverse / z.D;
    for (int64_t d = 0; d < z.D; d += LANES)
      store(to_x + d, (load(told + d) * load(gain + d) - load(x + d) * share) * inverse);
  }
  return 0;
}
