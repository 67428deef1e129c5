/* Selective scan on a processor, channels side by side in vector lanes; built by building.py for float or double.

   Z batch, K directions, L positions, C channels, N states, S = ceil(L / CHUNK) chunks. Row-major tensors:
   u, delta, y (Z, K, L, C); A (K, C, N); B, C (Z, K, L, N); D, bias (K, C); states (Z, K, S, N, C).
   A task is one BLOCK of channels of one sequence. Tasks share nothing, so any thread may run any task and
   the result is the same to the bit; what is summed over channels is written once per block and added up later. */
#include "lanes.h"

#ifdef DOUBLE
#define LOG_TERMS 17
#else
#define LOG_TERMS 8
#endif

#define LN_2 ((real)0.6931471805599453)
#define SOFTPLUS_IS_LINEAR 20
enum { TILES = BLOCK / LANES };

typedef struct { int64_t Z, K, L, C, N; } sizes_t;

/* Up to a vector of numbers, where the channels of a block end before a tile does. */
INLINE vec load_some(const real *from, int64_t count) {
  vec v = {0};
  if (count >= LANES) return load(from);
  memcpy(&v, from, count * sizeof(real));
  return v;
}

INLINE void store_some(real *to, vec v, int64_t count) {
  if (count >= LANES) store(to, v);
  else memcpy(to, &v, count * sizeof(real));
}

/* softplus(x) and its derivative, as PyTorch defines them: linear above SOFTPLUS_IS_LINEAR.
   log(1 + z) = 2 atanh(z / (2 + z)), and for z in [0, 1] the argument of atanh is at most 1/3. */
INLINE vec softplus(vec x, vec *slope) {
  bits positive = x > 0, linear = x > SOFTPLUS_IS_LINEAR;
  vec z = exp2_of_numbers(choose(positive, -x, x) * LOG2_E), s = z / (2 + z), s2 = s * s;
  vec sum = spread((real)1 / (2 * LOG_TERMS - 1));
  for (int i = LOG_TERMS - 2; i >= 0; i--) sum = sum * s2 + (real)1 / (2 * i + 1);
  *slope = choose(linear, spread(1), choose(positive, spread(1), z) / (1 + z));
  return choose(linear, x, choose(positive, x, spread(0)) + 2 * s * sum);
}

/* Decay of each state of one tile in powers of two, (N, LANES). */
INLINE void load_decay(vec *decay, const real *A, int64_t count, int64_t N) {
  for (int64_t n = 0; n < N; n++) {
    vec v = {0};
    for (int64_t j = 0; j < count && j < LANES; j++) v[j] = A[j * N + n] * LOG2_E;
    decay[n] = v;
  }
}

INLINE int64_t blocks(const sizes_t *z) { return (z->C + BLOCK - 1) / BLOCK; }

static vec *vectors(int64_t count) { return aligned_alloc(64, (count * sizeof(vec) + 63) / 64 * 64); }

INLINE int forward_task(int64_t task, const sizes_t *z, real *const *tensors, const int64_t N) {
  const int64_t L = z->L, C = z->C, sequence = task / blocks(z), k = sequence % z->K, S = (L + CHUNK - 1) / CHUNK;
  const real *u = tensors[0] + sequence * L * C, *delta = tensors[1] + sequence * L * C;
  const real *B = tensors[3] + sequence * L * N, *Cs = tensors[4] + sequence * L * N;
  real *y = tensors[7] + sequence * L * C, *states = tensors[8] + sequence * S * N * C;
  vec *h = vectors(2 * N), *decay = h + N;
  if (!h) return 1;
  const int64_t first = task % blocks(z) * BLOCK, last = smaller(first + BLOCK, C);
  for (int64_t c = first; c < last; c += LANES) {
    const int64_t count = last - c;
    const vec D = load_some(tensors[5] + k * C + c, count), bias = load_some(tensors[6] + k * C + c, count);
    load_decay(decay, tensors[2] + (k * C + c) * N, count, N);
    memset(h, 0, N * sizeof(vec));
    for (int64_t t0 = 0; t0 < L; t0 += CHUNK) {
      const int64_t length = smaller(CHUNK, L - t0);
      vec step[CHUNK], slope;
      for (int64_t n = 0; n < N; n++) store_some(states + (t0 / CHUNK * N + n) * C + c, h[n], count);
      for (int64_t t = 0; t < length; t++)
        step[t] = softplus(load_some(delta + (t0 + t) * C + c, count) + bias, &slope);
      for (int64_t t = 0; t < length; t++) {
        const vec input = load_some(u + (t0 + t) * C + c, count), drive = step[t] * input;
        vec sum = D * input;
        for (int64_t n = 0; n < N; n++) {
          h[n] = exp2_of_numbers(step[t] * decay[n]) * h[n] + drive * B[(t0 + t) * N + n];
          sum += h[n] * Cs[(t0 + t) * N + n];
        }
        store_some(y + (t0 + t) * C + c, sum, count);
      }
    }
  }
  free(h);
  return 0;
}

/* What the backward pass of one task keeps; q, dA, dD, dbias per tile, the rest for the chunk at hand. */
typedef struct {
  vec *decay, *q, *dA, *dD, *dbias, *history, *factor, *step, *slope, *input, *dB, *dC;
} memory_t;

INLINE vec *divide(memory_t *m, const int64_t N) {
  vec *p = vectors(TILES * (3 * N + 2) + CHUNK * (4 * N + 3) + N), *start = p;
  if (!p) return 0;
  m->decay = p, p += TILES * N;
  m->q = p, p += TILES * N;
  m->dA = p, p += TILES * N;
  m->dD = p, p += TILES;
  m->dbias = p, p += TILES;
  m->history = p, p += (CHUNK + 1) * N;
  m->factor = p, p += CHUNK * N;
  m->dB = p, p += CHUNK * N;
  m->dC = p, p += CHUNK * N;
  m->step = p, p += CHUNK;
  m->slope = p, p += CHUNK;
  m->input = p;
  memset(start, 0, (char *)p - (char *)start);
  return start;
}

/* States of a chunk, from the one it starts with. */
INLINE void replay(memory_t *m, const vec *decay, const real *B, int64_t length, const int64_t N) {
  for (int64_t t = 0; t < length; t++) {
    const vec step = m->step[t], drive = step * m->input[t];
    for (int64_t n = 0; n < N; n++) {
      m->factor[t * N + n] = exp2_of_numbers(step * decay[n]);
      m->history[(t + 1) * N + n] = m->factor[t * N + n] * m->history[t * N + n] + drive * B[n + t * N];
    }
  }
}

/* One position, from the gradient of its output: adds to q, dA, dB and dC; through_drive and through_decay get the
   gradients of step * u and of the logarithm (to base 2) of the decay. */
INLINE void step_back(memory_t *m, int64_t tile, int64_t t, vec dy, const real *B, const real *C, vec *through_drive,
                      vec *through_decay, const int64_t N) {
  const vec step = m->step[t], drive = step * m->input[t], *decay = m->decay + tile * N;
  const vec *before = m->history + t * N, *after = before + N, *factor = m->factor + t * N;
  vec *q = m->q + tile * N, *dA = m->dA + tile * N, *dB = m->dB + t * N, *dC = m->dC + t * N;
  vec sum_drive = {0}, sum_decay = {0};
  for (int64_t n = 0; n < N; n++) {
    const vec g = dy * C[n] + q[n], back = g * factor[n], w = back * before[n];
    q[n] = back;
    sum_drive += g * B[n];
    sum_decay += w * decay[n];
    dA[n] += w * step;
    dB[n] += g * drive;
    dC[n] += after[n] * dy;
  }
  *through_drive = sum_drive;
  *through_decay = sum_decay * LN_2;
}

INLINE void sum_lanes(real *to, vec *from, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i] = sum_of(from[i]);
  memset(from, 0, count * sizeof(vec));
}

INLINE int backward_task(int64_t task, const sizes_t *z, real *const *tensors, const int64_t N) {
  const int64_t L = z->L, C = z->C, sequence = task / blocks(z), k = sequence % z->K, S = (L + CHUNK - 1) / CHUNK;
  const int64_t first = task % blocks(z) * BLOCK, last = smaller(first + BLOCK, C);
  const int64_t at = sequence * L * C, part = (task % blocks(z) * z->Z * z->K + sequence) * L * N;
  const real *dy = tensors[0] + at, *u = tensors[1] + at, *delta = tensors[2] + at;
  const real *B = tensors[4] + sequence * L * N, *Cs = tensors[5] + sequence * L * N;
  const real *states = tensors[8] + sequence * S * N * C;
  real *du = tensors[9] + at, *ddelta = tensors[10] + at, *dA = tensors[11] + sequence * C * N;
  real *dB = tensors[12] + part, *dC = tensors[13] + part;
  memory_t m;
  vec *start = divide(&m, N);
  if (!start) return 1;
  for (int64_t c = first, i = 0; c < last; c += LANES, i++)
    load_decay(m.decay + i * N, tensors[3] + (k * C + c) * N, last - c, N);
  for (int64_t s = S - 1; s >= 0; s--) {
    const int64_t t0 = s * CHUNK, length = smaller(CHUNK, L - t0);
    for (int64_t c = first, i = 0; c < last; c += LANES, i++) {
      const int64_t count = last - c;
      const vec D = load_some(tensors[6] + k * C + c, count), bias = load_some(tensors[7] + k * C + c, count);
      for (int64_t n = 0; n < N; n++) m.history[n] = load_some(states + (s * N + n) * C + c, count);
      for (int64_t t = 0; t < length; t++) {
        m.input[t] = load_some(u + (t0 + t) * C + c, count);
        m.step[t] = softplus(load_some(delta + (t0 + t) * C + c, count) + bias, &m.slope[t]);
      }
      replay(&m, m.decay + i * N, B + t0 * N, length, N);
      for (int64_t t = length - 1; t >= 0; t--) {
        const vec g = load_some(dy + (t0 + t) * C + c, count);
        vec drive, decay;
        step_back(&m, i, t, g, B + (t0 + t) * N, Cs + (t0 + t) * N, &drive, &decay, N);
        const vec raw = (decay + m.input[t] * drive) * m.slope[t];
        store_some(du + (t0 + t) * C + c, m.step[t] * drive + D * g, count);
        store_some(ddelta + (t0 + t) * C + c, raw, count);
        m.dbias[i] += raw;
        m.dD[i] += g * m.input[t];
      }
    }
    sum_lanes(dB + t0 * N, m.dB, length * N);
    sum_lanes(dC + t0 * N, m.dC, length * N);
  }
  for (int64_t c = first; c < last; c++) {
    const int64_t i = (c - first) / LANES, j = (c - first) % LANES;
    for (int64_t n = 0; n < N; n++) dA[c * N + n] = m.dA[i * N + n][j];
    tensors[14][sequence * C + c] = m.dD[i][j];
    tensors[15][sequence * C + c] = m.dbias[i][j];
  }
  free(start);
  return 0;
}

/* tensors: u, delta, A, B, C, D, bias; then y, states. Returns 0, or 1 where memory is short. */
int forward(int64_t task, const sizes_t *z, real *const *tensors) {
  return z->N == 16 ? forward_task(task, z, tensors, 16) : forward_task(task, z, tensors, z->N);
}

/* tensors: dy, then the seven inputs and states; then du, ddelta, dA (Z, K, C, N), dB and dC (blocks, Z, K, L, N),
   dD and dbias (Z, K, C). Returns 0, or 1 where memory is short. */
int backward(int64_t task, const sizes_t *z, real *const *tensors) {
  return z->N == 16 ? backward_task(task, z, tensors, 16) : backward_task(task, z, tensors, z->N);
}
