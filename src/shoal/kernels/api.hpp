// The contract between the Python face and the instruction-set variants.
#pragma once
#include <cstddef>
#include <cstdint>

namespace shoal {

// A matrix of n rows and d columns, of any strides (counted in elements).
template <class T> struct Matrix {
    const T *data;
    std::ptrdiff_t row_stride, col_stride;
    std::size_t n, d;
};

// IN: data, centres (k x d, C order). OUT: labels, squared distances, and on request (non-null) the second
// squared distance and the weighted totals of the rows of each centre.
template <class T> struct NearestTask {
    Matrix<T> X;
    const T *centres;
    std::size_t k;
    std::int32_t *labels;
    T *distances;
    T *second;             // null: not wanted
    const double *weights; // null: every row counts 1
    double *sums;          // k x d, null: no totals
    double *counts;        // k
    double *inertia;       // 1
    int n_threads;
};

// Greedy k-means++ on weighted rows. uniforms: k x candidates numbers in [0, 1).
// OUT: k row indices; closest (n) squared distances to the chosen rows.
template <class T> struct SeedTask {
    Matrix<T> X;
    const double *weights;
    std::size_t k, candidates;
    const double *uniforms;
    std::int64_t *chosen;
    double *closest;
    int n_threads;
};

// Totals of up to TILE_ROWS numbers in each of TILE_COLUMNS columns, as integers; see exact_tile.hpp.
constexpr std::size_t TILE_COLUMNS = 16, TILE_ROWS = 512;
struct TileTotals {
    std::int32_t least[TILE_COLUMNS], most[TILE_COLUMNS];                         // exponents; least > most: only zeros
    std::int64_t sum[TILE_COLUMNS];                                               // in units of 2^(least - 150)
    std::int64_t high[TILE_COLUMNS], cross[TILE_COLUMNS], low[TILE_COLUMNS];      // squares: high 2^54 + cross 2^28 + low,
                                                                                  // in units of 2^(2 least - 300)
};

struct Variant {
    const char *name;
    void (*nearest_f32)(const NearestTask<float> &);
    void (*nearest_f64)(const NearestTask<double> &);
    // Squared distances of rows stored one per lane to one candidate; see seeding.cpp.
    void (*panel_distances_f32)(const float *panel, std::size_t lanes, std::size_t d, const float *c, float *out);
    void (*panel_distances_f64)(const double *panel, std::size_t lanes, std::size_t d, const double *c, double *out);
    // False where the exponents of a column lie too far apart, or it would not be quick; then only these are told.
    bool (*tile_totals)(const float *x, std::ptrdiff_t row_stride, std::size_t rows, TileTotals &out);
};

const Variant *portable_variant();
const Variant *avx2_variant();   // null where not compiled in
const Variant *avx512_variant(); // null where not compiled in

const Variant &current_variant();
bool select_variant(const char *name); // false: unknown or not supported by this processor
bool variant_supported(const char *name);

template <class T> void seed(const SeedTask<T> &);

} // namespace shoal
