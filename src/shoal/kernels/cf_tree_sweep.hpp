// A row against all entries of a node. Included once per instruction set.
#include "cf_tree_lanes.hpp"
#include "tokens.hpp"
#include <limits>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace shoal {
namespace SHOAL_VARIANT {
namespace {

constexpr std::size_t WIDTH = SHOAL_VECTOR_BYTES / sizeof(double), PARTS = LANES / WIDTH;
constexpr std::size_t AT_ONCE = SHOAL_GROUPS; // groups held in registers at a time
typedef double V __attribute__((vector_size(SHOAL_VECTOR_BYTES), may_alias, aligned(8)));

template <std::size_t G> inline void squares(const double *block, std::size_t d, const double *x, V acc[G * PARTS]) {
    for (std::size_t v = 0; v < G * PARTS; ++v) acc[v] = V{};
    for (std::size_t j = 0; j < d; ++j) {
        const V here = V{} + x[j];
        for (std::size_t g = 0; g < G; ++g)
            for (std::size_t p = 0; p < PARTS; ++p) {
                const V t = *reinterpret_cast<const V *>(block + (g * d + j) * LANES + p * WIDTH) - here;
                acc[g * PARTS + p] += t * t;
            }
    }
}

struct Best {
    double value = std::numeric_limits<double>::infinity();
    std::size_t at = 0;
};

template <std::size_t G> inline void look(const double *block, std::size_t d, const double *x, std::size_t first, Best &best) {
    V acc[G * PARTS];
    squares<G>(block, d, x, acc);
    V least = acc[0];
    for (std::size_t v = 1; v < G * PARTS; ++v) least = acc[v] < least ? acc[v] : least;
#if defined(__AVX512F__)
    const double value = _mm512_reduce_min_pd((__m512d)least);
    if (!(value < best.value)) return;
    best.value = value;
    const __m512d all = _mm512_set1_pd(value);
    for (std::size_t g = 0; g < G; ++g) {
        const unsigned hit = _mm512_cmp_pd_mask((__m512d)acc[g], all, _CMP_EQ_OQ);
        if (hit) {
            best.at = first + g * LANES + static_cast<std::size_t>(__builtin_ctz(hit));
            return;
        }
    }
#else
    double value = least[0];
    for (std::size_t l = 1; l < WIDTH; ++l) value = least[l] < value ? least[l] : value;
    if (!(value < best.value)) return;
    best.value = value;
    for (std::size_t v = 0; v < G * PARTS; ++v)
        for (std::size_t l = 0; l < WIDTH; ++l)
            if (acc[v][l] == value) {
                best.at = first + v * WIDTH + l;
                return;
            }
#endif
}

std::size_t nearest(const double *block, std::size_t groups, std::size_t d, const double *x, double *squared) {
    Best best;
    for (std::size_t g = 0; g < groups;) {
        const std::size_t left = groups - g, count = left < AT_ONCE ? left : AT_ONCE;
        const double *here = block + g * d * LANES;
        switch (count) {
        case 1: look<1>(here, d, x, g * LANES, best); break;
        case 2: look<2>(here, d, x, g * LANES, best); break;
#if SHOAL_GROUPS > 2
        case 3: look<3>(here, d, x, g * LANES, best); break;
        case 4: look<4>(here, d, x, g * LANES, best); break;
        case 5: look<5>(here, d, x, g * LANES, best); break;
        case 6: look<6>(here, d, x, g * LANES, best); break;
        case 7: look<7>(here, d, x, g * LANES, best); break;
        default: look<8>(here, d, x, g * LANES, best); break;
#endif
        }
        g += count;
    }
    *squared = best.value;
    return best.at;
}

void distances(const double *block, std::size_t groups, std::size_t d, const double *x, double *out) {
    for (std::size_t g = 0; g < groups; ++g) {
        V acc[PARTS];
        squares<1>(block + g * d * LANES, d, x, acc);
        for (std::size_t p = 0; p < PARTS; ++p) *reinterpret_cast<V *>(out + g * LANES + p * WIDTH) = acc[p];
    }
}

} // namespace

extern const Sweep SWEEP;
const Sweep SWEEP{SHOAL_STR(SHOAL_VARIANT), nearest, distances};

} // namespace SHOAL_VARIANT

const Sweep *SHOAL_CAT(SHOAL_VARIANT, _sweep)() { return &SHOAL_VARIANT::SWEEP; }

} // namespace shoal
