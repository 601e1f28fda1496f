// Sums without rounding, so that neither order nor grouping can change them.
#pragma once
#include "api.hpp"

namespace shoal {

// A sum is LIMBS signed 64-bit limbs of 32 bits each; limb 0 starts at 2^-1074, the least float64.
// Canonical: all limbs but the last in [0, 2^32). Room for 2^40 terms below 1e300.
constexpr std::size_t LIMBS = 70;

// Adds each column's sum of w*x and sum of w*x^2. IN/OUT: sums, squares, d x LIMBS each, canonical.
// Products are carried as unevaluated pairs (error-free transformation), so for unit weights the sums are exact
// and otherwise right to about 2^-106 of each term, which is the same for every order.
template <class T>
void add_columns(const Matrix<T> &X, const double *weights, std::int64_t *sums, std::int64_t *squares, int n_threads);

// Adds n numbers to one sum. IN/OUT: limbs, canonical.
void add_values(const double *values, std::size_t n, std::int64_t *limbs);

// Adds `from` to `into`, both canonical, `rows` sums each.
void add_sums(const std::int64_t *from, std::int64_t *into, std::size_t rows);

} // namespace shoal
