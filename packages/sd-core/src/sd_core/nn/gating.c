/* The gate of a gated feed-forward layer, GELU, and its derivative, one pass each way; built and called by gating.py.

   Tokens of D channels, a multiple of GROUP; `both` is up beside gate, 2 D channels. A task is `piece` tokens. Single
   precision only: the error of `normal`, 7.5e-8, is that of a float. */
#include "lanes.h"

typedef struct { int64_t tokens, D, piece; } sizes_t;

/* The share of a normal distribution below x, and its density there: Abramowitz & Stegun 1964, 7.1.26, whose error
   function of |x| / sqrt(2) needs the same exponential as the density. */
INLINE void normal(vec x, vec *below, vec *density) {
  const vec size = choose(x < 0, -x, x), bell = exp2_vec(x * x * (LOG2_E / -2));
  const vec t = 1 / (1 + size * 0.23164190f);
  const vec sum = 0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f)));
  const vec beyond = t * sum * bell / 2;
  *below = choose(x < 0, beyond, 1 - beyond);
  *density = bell * 0.39894228f;
}

/* tensors: both; then up gelu(gate). Returns 0. */
int forward(int64_t task, const sizes_t *sizes, double unused, real *const *tensors) {
  const sizes_t z = *sizes;
  (void)unused;
  for (int64_t token = task * z.piece; token < smaller((task + 1) * z.piece, z.tokens); token++) {
    const real *up = tensors[0] + token * 2 * z.D, *gate = up + z.D;
    real *product = tensors[1] + token * z.D;
    for (int64_t d = 0; d < z.D; d += LANES) {
      const vec g = load(gate + d);
      vec below, density;
      normal(g, &below, &density);
      store(product + d, load(up + d) * g * below);
    }
  }
  return 0;
}

/* tensors: gradient of the product, both; then gradients of both, and the product. Returns 0. */
int backward(int64_t task, const sizes_t *sizes, double unused, real *const *tensors) {
  const sizes_t z = *sizes;
  (void)unused;
  for (int64_t token = task * z.piece; token < smaller((task + 1) * z.piece, z.tokens); token++) {
    const real *told = tensors[0] + token * z.D, *up = tensors[1] + token * 2 * z.D, *gate = up + z.D;
    real *to_up = tensors[2] + token * 2 * z.D, *to_gate = to_up + z.D, *product = tensors[3] + token * z.D;
    for (int64_t d = 0; d < z.D; d += LANES) {
      const vec g = load(gate + d), u = load(up + d), t = load(told + d);
      vec below, density;
      normal(g, &below, &density);
      store(to_up + d, t * g * below);
      store(to_gate + d, t * u * (below + g * density));
      store(product + d, u * g * below);
    }
  }
  return 0;
}
