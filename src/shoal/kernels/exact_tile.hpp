// Totals of a tile of float32 as integers. Included once per instruction set.
//
// A number is mantissa * 2^(exponent - 150). Where the exponents of a column lie within SPAN of each other, each mantissa
// is shifted by its exponent less the least: integers of one unit, whose sum is exact. Their squares have up to 106 bits,
// and are added up in three parts.
#include "api.hpp"
#include <cstring>

namespace shoal {
namespace SHOAL_VARIANT {
namespace {

constexpr int SPAN = 29, SPLIT = 27; // TILE_ROWS squares of 2^27 stay below 2^63, and so do all other sums
#if defined(__x86_64__)
constexpr bool SHIFTS = SHOAL_VECTOR_BYTES > 16; // SSE2 cannot shift each lane by a number of its own
#else
constexpr bool SHIFTS = true;
#endif

typedef std::uint32_t Bits __attribute__((vector_size(SHOAL_VECTOR_BYTES)));
typedef std::int32_t Exponents __attribute__((vector_size(SHOAL_VECTOR_BYTES)));
typedef std::uint32_t HalfBits __attribute__((vector_size(SHOAL_VECTOR_BYTES / 2)));
typedef std::uint64_t Wide __attribute__((vector_size(SHOAL_VECTOR_BYTES)));
constexpr std::size_t NARROW_LANES = SHOAL_VECTOR_BYTES / 4, WIDE_LANES = SHOAL_VECTOR_BYTES / 8;

template <class V> V bits_at(const float *x) {
    V bits;
    std::memcpy(&bits, x, sizeof bits);
    return bits;
}

// Least and most exponent of each column of NARROW_LANES; zeros have none.
void find_exponents(const float *x, std::ptrdiff_t stride, std::size_t rows, std::int32_t *least, std::int32_t *most) {
    Exponents low = Exponents{} + 255, high{};
    for (std::size_t i = 0; i < rows; ++i, x += stride) {
        const Bits bits = bits_at<Bits>(x);
        const Exponents exponent = (Exponents)((bits >> 23) & 0xff), zero = (Exponents)((bits << 1) == 0);
        const Exponents counted = exponent | (zero & 255);
        low = counted < low ? counted : low;
        high = exponent > high ? exponent : high;
    }
    low = low < 1 ? Exponents{} + 1 : low; // what is below the normal range has the unit of exponent 1
    std::memcpy(least, &low, sizeof low);
    std::memcpy(most, &high, sizeof high);
}

struct Parts {
    Wide sum, high, cross, low;

    void add(Wide bits, Wide least) {
        constexpr std::uint64_t HALF = 0xffffffff; // tells the compiler that 32 bits are multiplied
        const Wide exponent = (bits >> 23) & 0xff, normal = (Wide)(exponent != 0);
        const Wide mantissa = (bits & 0x7fffff) | (normal & 0x800000);
        const Wide shifted = mantissa << ((exponent + (~normal & 1) - least) & 63);
        const Wide negative = (Wide)((bits >> 31) != 0);
        sum += (shifted ^ negative) - negative;
        const Wide upper = (shifted >> SPLIT) & HALF, lower = shifted & ((1u << SPLIT) - 1);
        high += upper * upper;
        cross += upper * lower;
        low += lower * lower;
    }

    void store(TileTotals &out, std::size_t column) const {
        std::memcpy(out.sum + column, &sum, sizeof sum);
        std::memcpy(out.high + column, &high, sizeof high);
        std::memcpy(out.cross + column, &cross, sizeof cross);
        std::memcpy(out.low + column, &low, sizeof low);
    }
};

bool tile_totals(const float *x, std::ptrdiff_t stride, std::size_t rows, TileTotals &out) {
    for (std::size_t j = 0; j < TILE_COLUMNS; j += NARROW_LANES) find_exponents(x + j, stride, rows, out.least + j, out.most + j);
    for (std::size_t j = 0; j < TILE_COLUMNS; ++j)
        if (!SHIFTS || out.most[j] - out.least[j] > SPAN) return false;
    for (std::size_t j = 0; j < TILE_COLUMNS; j += 2 * WIDE_LANES) {
        Wide least[2];
        for (std::size_t l = 0; l < 2 * WIDE_LANES; ++l) least[l / WIDE_LANES][l % WIDE_LANES] = static_cast<std::uint64_t>(out.least[j + l]);
        Parts left{}, right{};
        const float *row = x + j;
        for (std::size_t i = 0; i < rows; ++i, row += stride) {
            left.add(__builtin_convertvector(bits_at<HalfBits>(row), Wide), least[0]);
            right.add(__builtin_convertvector(bits_at<HalfBits>(row + WIDE_LANES), Wide), least[1]);
        }
        left.store(out, j);
        right.store(out, j + WIDE_LANES);
    }
    return true;
}

} // namespace
} // namespace SHOAL_VARIANT
} // namespace shoal
