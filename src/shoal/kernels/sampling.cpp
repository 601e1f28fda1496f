#include "sampling.hpp"

namespace shoal {
namespace {

// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every output bit depends on every input bit.
inline std::uint64_t mix(std::uint64_t z) {
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

} // namespace

void row_ids(std::uint64_t key, const std::int64_t *rows, std::size_t n, std::uint64_t *ids) {
    for (std::size_t i = 0; i < n; ++i) ids[i] = mix(key ^ mix(static_cast<std::uint64_t>(rows[i])));
}

template <class T>
void score_rows(const std::int32_t *labels, const T *squared, const double *weights, std::size_t n, double mean_squared,
                const double *rarity, const std::uint64_t *ids, std::uint64_t seed, double *importance, double *priority) {
    const double scale = mean_squared > 0 ? 1.0 / mean_squared : 0.0;
    const std::uint64_t salt = mix(seed);
    for (std::size_t i = 0; i < n; ++i) {
        const double w = weights ? weights[i] : 1.0;
        const double u = static_cast<double>((mix(ids[i] ^ salt) >> 11) + 1) * 0x1p-53;
        const double q = w * (1.0 + static_cast<double>(squared[i]) * scale + rarity[labels[i]]);
        importance[i] = q;
        priority[i] = q / u;
    }
}

template void score_rows<float>(const std::int32_t *, const float *, const double *, std::size_t, double, const double *,
                                const std::uint64_t *, std::uint64_t, double *, double *);
template void score_rows<double>(const std::int32_t *, const double *, const double *, std::size_t, double, const double *,
                                 const std::uint64_t *, std::uint64_t, double *, double *);

} // namespace shoal
