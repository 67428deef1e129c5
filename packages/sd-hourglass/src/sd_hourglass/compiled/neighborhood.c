/* Neighborhood attention on a processor, forward and backward; built and called by kernel.py.

   Grids have B examples of R x C tokens with H heads of D channels, a multiple of GROUP. The channels of a token lie
   together; where examples, tokens and heads begin is told by strides. A task is a band of rows of queries of one
   head of one example. Tasks share nothing they write, so any thread may run any task, and the result is the same
   to the bit.

   A unit is TILE queries side by side in a row. They see the same rows of keys, and of these a span of columns that
   is a little wider than a window; what lies in the span and outside a query's window gets the weight 0. */
#include "lanes.h"

enum { TILE = 8 };

typedef struct { int64_t example, token, head; } strides_t;
typedef struct {
  int64_t B, R, C, H, D, tall, wide; /* grid and window */
  int64_t band;                      /* rows of queries of a task */
  strides_t query, key, value, out;  /* of the tensors, in numbers; the gradient of out lies where out would */
  strides_t to_query, to_key, to_value; /* of the gradients */
} sizes_t;

INLINE int64_t bands(const sizes_t *z) { return (z->R + z->band - 1) / z->band; }
INLINE int64_t tiles(const sizes_t *z) { return (z->C + TILE - 1) / TILE; }
INLINE int64_t padded(int64_t count) { return (count + GROUP - 1) / GROUP * GROUP; }
/* Columns of keys of a unit, in whole groups. */
INLINE int64_t span(const sizes_t *z) { return padded(smaller(z->C, TILE + z->wide - 1)); }
/* From one channel to the next where keys stand side by side; an odd number of groups, or all would share few lines
   of the cache. */
INLINE int64_t pitch(const sizes_t *z) { return (padded(z->C + span(z)) / GROUP | 1) * GROUP; }
/* First token of the window of position i. */
INLINE int64_t window(int64_t i, int64_t count, int64_t kernel) {
  return larger(0, smaller(i - kernel / 2, count - kernel));
}

/* Where a task stands, and the rows of keys that its queries see. */
typedef struct { int64_t example, head, first, last, top, bottom; } place_t;

INLINE place_t place(int64_t task, const sizes_t *z) {
  place_t p = {.example = task / bands(z) / z->H, .head = task / bands(z) % z->H, .first = task % bands(z) * z->band};
  p.last = smaller(p.first + z->band, z->R);
  p.top = window(p.first, z->R, z->tall);
  p.bottom = window(p.last - 1, z->R, z->tall) + z->tall;
  return p;
}

INLINE int64_t start(strides_t s, const place_t *p, int64_t token) {
  return p->example * s.example + p->head * s.head + token * s.token;
}

static real *numbers(int64_t count) { return aligned_alloc(64, (count * sizeof(real) + 63) / 64 * 64); }

/* Rows of tokens turned so that tokens stand side by side: (rows, D, pitch), with zeros behind the last token. */
INLINE void turn(real *to, const real *from, strides_t s, const place_t *p, const sizes_t *z,
                 const int64_t D) {
  for (int64_t row = p->top; row < p->bottom; row++)
    for (int64_t c = 0; c < pitch(z); c += GROUP) {
      const int64_t count = larger(0, smaller(GROUP, z->C - c));
      const real *tokens = from + start(s, p, row * z->C + c);
      real *panel = to + (row - p->top) * D * pitch(z) + c;
      for (int64_t d = 0; d < D; d++) {
        real side[GROUP] = {0};
        if (count == GROUP)
          for (int64_t i = 0; i < GROUP; i++) side[i] = tokens[i * s.token + d];
        else
          for (int64_t i = 0; i < count; i++) side[i] = tokens[i * s.token + d];
        memcpy(panel + d * pitch(z), side, sizeof side);
      }
    }
}

/* A unit: its row, its columns of queries, its columns of keys, its first row of keys. */
typedef struct { int64_t row, column, count, left, width, above; } unit_t;

INLINE unit_t unit(int64_t row, int64_t tile, const sizes_t *z) {
  unit_t u = {.row = row, .column = tile * TILE, .above = window(row, z->R, z->tall)};
  u.count = smaller(TILE, z->C - u.column);
  u.left = window(u.column, z->C, z->wide);
  u.width = window(u.column + u.count - 1, z->C, z->wide) + z->wide - u.left;
  return u;
}

/* Tokens of a unit in order (TILE, D), zeros where there are none. */
INLINE void take(real *to, const real *from, strides_t s, const place_t *p, const unit_t *u, const sizes_t *z) {
  for (int64_t q = 0; q < TILE; q++) {
    if (q < u->count) memcpy(to + q * z->D, from + start(s, p, u->row * z->C + u->column + q), z->D * sizeof(real));
    else memset(to + q * z->D, 0, z->D * sizeof(real));
  }
}

/* Products (TILE, tall, span) of the unit's tokens with turned keys or values. */
INLINE void compare(real *to, const real *tokens, const real *turned, const place_t *p, const unit_t *u,
                    const sizes_t *z, const int64_t D) {
  const int64_t seen = z->tall * span(z);
  for (int64_t row = 0; row < z->tall; row++)
    for (int64_t c = 0; c < span(z); c += GROUP)
      for (int64_t q = 0; q < TILE; q += ROWS) {
        const real *panel = turned + (u->above - p->top + row) * D * pitch(z) + u->left + c;
        vec acc[ROWS][VECS] = {{{0}}};
        products(tokens + q * D, D, 1, panel, pitch(z), D, acc);
        for (int r = 0; r < ROWS; r++)
          for (int v = 0; v < VECS; v++) store(to + (q + r) * seen + row * span(z) + c + v * LANES, acc[r][v]);
      }
}

/* Sums of tokens that the unit sees by weights (TILE, tall, span), to the unit's places. */
INLINE void mix(real *to, strides_t s, const real *weights, const real *tokens, strides_t t, const place_t *p,
                const unit_t *u, const sizes_t *z, const int64_t D) {
  const int64_t seen = z->tall * span(z);
  for (int64_t d = 0; d < D; d += GROUP)
    for (int64_t q = 0; q < TILE; q += ROWS) {
      vec acc[ROWS][VECS] = {{{0}}};
      for (int64_t row = 0; row < z->tall; row++)
        products(weights + q * seen + row * span(z), seen, 1,
                 tokens + start(t, p, (u->above + row) * z->C + u->left) + d, t.token, u->width, acc);
      for (int r = 0; r < ROWS && q + r < u->count; r++)
        for (int v = 0; v < VECS; v++)
          store(to + start(s, p, u->row * z->C + u->column + q + r) + d + v * LANES, acc[r][v]);
    }
}

/* Adds to tokens (rows, C + ROWS, D) what each sends back to: tokens (TILE, D) by weights (TILE, tall, span). */
INLINE void spread_back(real *to, const real *weights, const real *tokens, const place_t *p, const unit_t *u,
                        const sizes_t *z, const int64_t D) {
  const int64_t seen = z->tall * span(z);
  for (int64_t row = 0; row < z->tall; row++)
    for (int64_t k = 0; k < u->width; k += ROWS)
      for (int64_t d = 0; d < D; d += GROUP) {
        real *at = to + ((u->above - p->top + row) * (z->C + ROWS) + u->left + k) * D + d;
        vec acc[ROWS][VECS];
        for (int r = 0; r < ROWS; r++)
          for (int v = 0; v < VECS; v++) acc[r][v] = load(at + r * D + v * LANES);
        products(weights + row * span(z) + k, 1, seen, tokens + d, D, TILE, acc);
        for (int r = 0; r < ROWS; r++)
          for (int v = 0; v < VECS; v++) store(at + r * D + v * LANES, acc[r][v]);
      }
}

/* Lanes of a row of keys that a query sees, from lane c on. */
INLINE bits visible(int64_t query, int64_t c, const unit_t *u, const sizes_t *z) {
  const int64_t from = window(smaller(u->column + query, z->C - 1), z->C, z->wide) - u->left - c;
  bits lane;
  for (int i = 0; i < LANES; i++) lane[i] = i;
  return (lane >= (whole)from) & (lane < (whole)(from + z->wide));
}

/* Softmax of the scores of one query, in place; exactly 0 for what it does not see. */
INLINE void softmax(real *scores, int64_t query, real scale, const unit_t *u, const sizes_t *z) {
  const int64_t seen = z->tall * span(z);
  vec most = spread(-__builtin_inf()), total = {0};
  for (int64_t c = 0; c < span(z); c += LANES) {
    const bits mask = visible(query, c, u, z);
    for (int64_t i = c; i < seen; i += span(z)) {
      const vec s = choose(mask, load(scores + i) * (scale * LOG2_E), spread(-__builtin_inf()));
      most = choose(s > most, s, most);
      store(scores + i, s);
    }
  }
  real top = most[0];
  for (int i = 1; i < LANES; i++) top = most[i] > top ? most[i] : top;
  for (int64_t c = 0; c < span(z); c += LANES) {
    const bits mask = visible(query, c, u, z);
    for (int64_t i = c; i < seen; i += span(z)) {
      const vec weight = (vec)(mask & (bits)exp2_vec(load(scores + i) - top));
      total += weight;
      store(scores + i, weight);
    }
  }
  const real share = 1 / sum_of(total);
  for (int64_t i = 0; i < seen; i += LANES) store(scores + i, load(scores + i) * share);
}

INLINE int forward_task(int64_t task, const sizes_t *sizes, real scale, real *const *tensors, const int64_t D) {
  const sizes_t own = *sizes, *z = &own; /* what is stored cannot lie in it, as far as the compiler knows */
  const place_t p = place(task, z);
  const int64_t seen = z->tall * span(z);
  real *turned = numbers((p.bottom - p.top) * D * pitch(z) + TILE * (D + seen));
  if (!turned) return 1;
  real *asked = turned + (p.bottom - p.top) * D * pitch(z), *scratch = asked + TILE * D;
  turn(turned, tensors[1], z->key, &p, z, D);
  for (int64_t row = p.first; row < p.last; row++)
    for (int64_t tile = 0; tile < tiles(z); tile++) {
      const unit_t u = unit(row, tile, z);
      const int64_t number = ((p.example * z->H + p.head) * z->R + row) * tiles(z) + tile;
      real *weights = tensors[4] ? tensors[4] + number * TILE * seen : scratch;
      take(asked, tensors[0], z->query, &p, &u, z);
      compare(weights, asked, turned, &p, &u, z, D);
      for (int64_t q = 0; q < TILE; q++) softmax(weights + q * seen, q, scale, &u, z);
      mix(tensors[3], z->out, weights, tensors[2], z->value, &p, &u, z, D);
    }
  free(turned);
  return 0;
}

/* From the gradients of the weights of one query to those of its scores, in place. */
INLINE void softmax_back(real *gradients, const real *weights, real scale, int64_t seen) {
  vec total = {0};
  for (int64_t i = 0; i < seen; i += LANES) total += load(gradients + i) * load(weights + i);
  const real mean = sum_of(total);
  for (int64_t i = 0; i < seen; i += LANES)
    store(gradients + i, (load(gradients + i) - mean) * load(weights + i) * scale);
}

INLINE int backward_task(int64_t task, const sizes_t *sizes, real scale, real *const *tensors, const int64_t D) {
  const sizes_t own = *sizes, *z = &own; /* what is stored cannot lie in it, as far as the compiler knows */
  const place_t p = place(task, z);
  const int64_t seen = z->tall * span(z), rows = p.bottom - p.top;
  const int64_t most = smaller(z->R, z->band + z->tall - 1) * (z->C + ROWS) * D;
  real *turned = numbers(rows * D * pitch(z) + TILE * (2 * D + seen));
  if (!turned) return 1;
  real *asked = turned + rows * D * pitch(z), *told = asked + TILE * D, *scores = told + TILE * D;
  real *to_keys = tensors[6] + 2 * task * most, *to_values = to_keys + most;
  memset(to_keys, 0, 2 * most * sizeof(real));
  turn(turned, tensors[3], z->value, &p, z, D);
  for (int64_t row = p.first; row < p.last; row++)
    for (int64_t tile = 0; tile < tiles(z); tile++) {
      const unit_t u = unit(row, tile, z);
      const int64_t number = ((p.example * z->H + p.head) * z->R + row) * tiles(z) + tile;
      const real *weights = tensors[4] + number * TILE * seen;
      take(asked, tensors[1], z->query, &p, &u, z);
      take(told, tensors[0], z->out, &p, &u, z);
      compare(scores, told, turned, &p, &u, z, D);
      for (int64_t q = 0; q < TILE; q++) softmax_back(scores + q * seen, weights + q * seen, scale, seen);
      mix(tensors[5], z->to_query, scores, tensors[2], z->key, &p, &u, z, D);
      spread_back(to_keys, scores, asked, &p, &u, z, D);
      spread_back(to_values, weights, told, &p, &u, z, D);
    }
  free(turned);
  return 0;
}

/* Sums over bands, in their order, of what they send back to the keys and values of a head of an example. */
INLINE void collect_one(int64_t which, real *to, strides_t s, const sizes_t *z, const real *parts, place_t *p) {
  const int64_t most = smaller(z->R, z->band + z->tall - 1) * (z->C + ROWS) * z->D, D = z->D;
  for (int64_t row = 0; row < z->R; row++)
    for (int64_t c = 0; c < z->C; c++) {
      real *token = to + start(s, p, row * z->C + c);
      int begun = 0;
      for (int64_t band = 0; band < bands(z); band++) {
        const int64_t task = (p->example * z->H + p->head) * bands(z) + band;
        const place_t b = place(task, z);
        if (row < b.top || row >= b.bottom) continue;
        const real *part = parts + (2 * task + which) * most + ((row - b.top) * (z->C + ROWS) + c) * D;
        for (int64_t d = 0; d < D; d++) token[d] = begun ? token[d] + part[d] : part[d];
        begun = 1;
      }
    }
}

/* tensors: query, key, value; then out, and weights (B, H, R, tiles, TILE, tall * span) or none.
   Returns 0, or 1 where memory is short. */
int forward(int64_t task, const sizes_t *z, double scale, real *const *tensors) {
  return z->D == 64 ? forward_task(task, z, scale, tensors, 64) : forward_task(task, z, scale, tensors, z->D);
}

/* tensors: gradient of out, query, key, value, weights; then gradient of query, and parts of those of key and value
   (tasks, 2, rows, C + ROWS, D). Returns 0, or 1 where memory is short. */
int backward(int64_t task, const sizes_t *z, double scale, real *const *tensors) {
  return z->D == 64 ? backward_task(task, z, scale, tensors, 64) : backward_task(task, z, scale, tensors, z->D);
}

/* tensors: parts; then gradients of key and value. A task is a head of an example. Returns 0. */
int collect(int64_t task, const sizes_t *z, double scale, real *const *tensors) {
  place_t p = {.example = task / z->H, .head = task % z->H};
  (void)scale;
  collect_one(0, tensors[1], z->to_key, z, tensors[0], &p);
  collect_one(1, tensors[2], z->to_value, z, tensors[0], &p);
  return 0;
}
