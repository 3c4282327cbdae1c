/* Add + max of crossed scores as a careful C programmer writes it, the yardstick of kernels/crossed.py.
 *
 * Winners of p[a][j] + q[b][j] over j: the maxima of a block of ROWS x ROWS pairs stay in vector
 * registers while a tile of targets passes. Only the best tile of a pair is remembered; its place
 * is sought again at the end. Padded targets are -inf in q. The smallest index wins among equals.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__AVX512F__)
#include <immintrin.h>
enum { WIDTH = 16, ROWS = 4, COLUMNS = 4 };
#define LARGER(a, b) (Vector) _mm512_max_ps((__m512)(a), (__m512)(b))
#define ABOVE(v, x) _mm512_cmp_ps_mask((__m512)(v), _mm512_set1_ps(x), _CMP_GT_OQ)
#elif defined(__AVX__)
#include <immintrin.h>
enum { WIDTH = 8, ROWS = 2, COLUMNS = 4 };
#define LARGER(a, b) (Vector) _mm256_max_ps((__m256)(a), (__m256)(b))
#define ABOVE(v, x) _mm256_movemask_ps(_mm256_cmp_ps((__m256)(v), _mm256_set1_ps(x), _CMP_GT_OQ))
#else
enum { WIDTH = 4, ROWS = 4, COLUMNS = 4 };
#define LARGER(a, b) larger(a, b)
#define ABOVE(v, x) (widest(v) > (x))
#endif
typedef float Vector __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

#if defined(__AVX512F__) /* or else GCC loads a vector again for every sum */
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__AVX__)
#define IN_REGISTER(v) __asm__("" : "+x"(v))
#else
#define IN_REGISTER(v)
#endif

#if !defined(__AVX__)
/* The larger of two vectors lane by lane, which the compiler makes one instruction. */
static inline Vector larger(Vector a, Vector b) {
    for (int lane = 0; lane < WIDTH; lane++) a[lane] = a[lane] > b[lane] ? a[lane] : b[lane];
    return a;
}
#endif

/* The widest lane of a vector. */
static float widest(Vector v) {
    float top = v[0];
    for (int lane = 1; lane < WIDTH; lane++) top = v[lane] > top ? v[lane] : top;
    return top;
}

/* The first place of a tile where p + q is a score that is there. */
static int32_t place(const float *restrict p, const float *restrict q, float score) {
    for (int32_t at = 0;; at += WIDTH) {
        int equal = 0;
        for (int lane = 0; lane < WIDTH; lane++) equal |= p[at + lane] + q[at + lane] == score;
        for (int32_t j = at; equal; j++)
            if (p[j] + q[j] == score) return j;
    }
}

/* Update scores and winners (rows x rows) by p[a][j] + q[b][j], target j being start + j. Rows are a
 * multiple of 4, the length one of the tile, the tile one of 16. */
void cross(const float *restrict p, const float *restrict q, int64_t rows, int64_t length,
           int64_t tile, int64_t start, float *restrict best, int32_t *restrict winner) {
    for (int64_t a = 0; a < rows; a += ROWS)
        for (int64_t b = 0; b < rows; b += COLUMNS) {
            float score[ROWS][COLUMNS];
            int64_t where[ROWS][COLUMNS];
            for (int i = 0; i < ROWS; i++)
                for (int j = 0; j < COLUMNS; j++)
                    score[i][j] = best[(a + i) * rows + b + j], where[i][j] = -1;
            for (int64_t low = 0; low < length; low += tile) {
                Vector top[ROWS][COLUMNS];
                for (int i = 0; i < ROWS; i++)
                    for (int j = 0; j < COLUMNS; j++) top[i][j] = (Vector){0} - INFINITY;
                for (int64_t at = low; at < low + tile; at += WIDTH) {
                    Vector left[ROWS], right[COLUMNS];
                    for (int i = 0; i < ROWS; i++) {
                        left[i] = *(const Vector *)(p + (a + i) * length + at);
                        IN_REGISTER(left[i]);
                    }
                    for (int j = 0; j < COLUMNS; j++) {
                        right[j] = *(const Vector *)(q + (b + j) * length + at);
                        IN_REGISTER(right[j]);
                    }
                    for (int i = 0; i < ROWS; i++)
                        for (int j = 0; j < COLUMNS; j++)
                            top[i][j] = LARGER(left[i] + right[j], top[i][j]);
                }
                for (int i = 0; i < ROWS; i++)
                    for (int j = 0; j < COLUMNS; j++)
                        if (ABOVE(top[i][j], score[i][j])) /* seldom */
                            score[i][j] = widest(top[i][j]), where[i][j] = low;
            }
            for (int i = 0; i < ROWS; i++)
                for (int j = 0; j < COLUMNS; j++) {
                    int64_t low = where[i][j], to = (a + i) * rows + b + j;
                    if (low < 0) continue;
                    best[to] = score[i][j];
                    winner[to] = (int32_t)(start + low) +
                                 place(p + (a + i) * length + low, q + (b + j) * length + low,
                                       score[i][j]);
                }
        }
}
