// Row identities, and the importance and priority of rows for the sample.
#pragma once
#include <cstddef>
#include <cstdint>

namespace shoal {

// id = hash of (key of the source, row number in it). OUT: ids (n).
void row_ids(std::uint64_t key, const std::int64_t *rows, std::size_t n, std::uint64_t *ids);

// IN: each row's nearest rough centre and squared distance, weights (null: 1), the mean squared distance,
// per centre W / (|C| W_c), ids and the seed. OUT: importance q and priority q / u, u in (0, 1] a hash of id and seed.
template <class T>
void score_rows(const std::int32_t *labels, const T *squared, const double *weights, std::size_t n, double mean_squared,
                const double *rarity, const std::uint64_t *ids, std::uint64_t seed, double *importance, double *priority);

} // namespace shoal
