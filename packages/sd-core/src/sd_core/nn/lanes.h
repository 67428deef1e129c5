/* Numbers side by side: vectors of gcc and clang, the product that everything here is made of, and 2^x.
   Built for float, or with -DDOUBLE for double. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef DOUBLE
typedef double real;
typedef int64_t whole;
#define ROUNDER 0x1.8p52 /* added and subtracted, it rounds to whole numbers; its low bits then hold the number */
#define MANTISSA 52
#define LOWEST -1021
#else
typedef float real;
typedef int32_t whole;
#define ROUNDER 0x1.8p23f
#define MANTISSA 23
#define LOWEST -125
#endif

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif

typedef real vec __attribute__((vector_size(BYTES)));
typedef whole bits __attribute__((vector_size(BYTES)));
enum { LANES = BYTES / sizeof(real), GROUP = 16, VECS = GROUP / LANES, ROWS = 4 };
#define INLINE static inline __attribute__((always_inline))
#define LOG2_E ((real)1.4426950408889634)

/* Compilers would rather read a number again with every product; registers are faster. */
#if defined(__x86_64__)
#define KEEP(v) __asm__("" : "+x"(v))
#else
#define KEEP(v) (void)(v)
#endif

INLINE vec spread(real x) { return x - (vec){0}; }
INLINE vec choose(bits mask, vec yes, vec no) { return (vec)((mask & (bits)yes) | (~mask & (bits)no)); }
INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

INLINE vec load(const real *from) {
  vec v;
  memcpy(&v, from, sizeof v);
  return v;
}

INLINE void store(real *to, vec v) { memcpy(to, &v, sizeof v); }

INLINE real sum_of(vec v) {
  real sum = 0;
  for (int i = 0; i < LANES; i++) sum += v[i];
  return sum;
}

/* acc[r][j] += sum over i of a[r * a_row + i * a_step] * b[i * b_step + j], for ROWS rows and a GROUP of j. */
INLINE void products(const real *a, int64_t a_row, int64_t a_step, const real *b, int64_t b_step, int64_t count,
                     vec acc[ROWS][VECS]) {
  for (int64_t i = 0; i < count; i++) {
    vec right[VECS];
    for (int v = 0; v < VECS; v++) {
      vec kept = load(b + i * b_step + v * LANES);
      KEEP(kept);
      right[v] = kept;
    }
    for (int r = 0; r < ROWS; r++) {
      const vec left = spread(a[r * a_row + i * a_step]);
      for (int v = 0; v < VECS; v++) acc[r][v] += left * right[v];
    }
  }
}

/* 2^x of numbers x <= 126: whole part into the exponent, the rest by a Chebyshev interpolant on [-1/2, 1/2]. */
INLINE vec exp2_of_numbers(vec x) {
#ifdef DOUBLE
  static const real c[] = {0.99999999999999999693, 0.69314718055994530925, 0.24022650695910159567,
                           0.055504108664821627039, 0.0096181291075872566681, 0.0013333558146406470697,
                           0.00015403530463724354209, 0.000015252733841556772589, 1.3215432535912376166e-6,
                           1.0178057087733941105e-7, 7.0741942972885210056e-9, 4.455817908336064493e-10};
#else
  static const real c[] = {1.0f, 0.69314720670283259577f, 0.24022650922288758071f, 0.055503272266703020589f,
                           0.0096180566785246380754f, 0.001340042817761583794f, 0.00015461444698569129083f};
#endif
  const int degree = sizeof c / sizeof *c - 1;
  const vec low = choose(x < LOWEST, spread(LOWEST), x);
  vec rounded = low + ROUNDER, rest = low - (rounded - ROUNDER), sum = spread(c[degree]);
  for (int i = degree - 1; i >= 0; i--) sum = sum * rest + c[i];
  return (vec)((bits)sum + ((bits)rounded << MANTISSA));
}

/* The same of anything: what is no number stays none. */
INLINE vec exp2_vec(vec x) { return choose(x == x, exp2_of_numbers(x), x); }
