// A superaccumulator in the manner of Neal (2015), "Fast exact summation using small and large superaccumulators".
#include "exact_sum.hpp"
#include "threads.hpp"
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>

namespace shoal {
namespace {

// Adds mantissa * 2^(position - 1074); |mantissa| < 2^53 or so, position >= 0. Limbs stay below 2^63 for 2^30 calls.
inline void add_shifted(std::int64_t *limbs, std::int64_t mantissa, unsigned position) {
    const unsigned limb = position >> 5, shift = position & 31;
    const __int128 wide = static_cast<__int128>(mantissa) * (std::int64_t{1} << shift);
    limbs[limb] += static_cast<std::int64_t>(static_cast<std::uint32_t>(wide));
    limbs[limb + 1] += static_cast<std::int64_t>(static_cast<std::uint32_t>(wide >> 32));
    limbs[limb + 2] += static_cast<std::int64_t>(wide >> 64);
}

inline void add_double(std::int64_t *limbs, double value) {
    std::uint64_t bits;
    std::memcpy(&bits, &value, 8);
    const unsigned exponent = static_cast<unsigned>(bits >> 52) & 0x7ff;
    std::int64_t mantissa = static_cast<std::int64_t>(bits & ((std::uint64_t{1} << 52) - 1));
    if (exponent) mantissa |= std::int64_t{1} << 52;
    if (bits >> 63) mantissa = -mantissa;
    add_shifted(limbs, mantissa, exponent ? exponent - 1 : 0);
}

void carry(std::int64_t *limbs) {
    for (std::size_t i = 0; i + 1 < LIMBS; ++i) {
        limbs[i + 1] += limbs[i] >> 32; // arithmetic shift: floors
        limbs[i] &= 0xffffffff;
    }
}

// w*x and w*x^2 as sums of doubles without loss (Dekker products by fused multiply-add).
template <class T>
void add_rows(const Matrix<T> &X, const double *weights, std::size_t first, std::size_t last, std::int64_t *sums, std::int64_t *squares) {
    for (std::size_t i = first; i < last; ++i) {
        const T *row = X.data + static_cast<std::ptrdiff_t>(i) * X.row_stride;
        const double w = weights ? weights[i] : 1.0;
        for (std::size_t j = 0; j < X.d; ++j) {
            const double x = static_cast<double>(row[static_cast<std::ptrdiff_t>(j) * X.col_stride]);
            std::int64_t *sum = sums + j * LIMBS, *square = squares + j * LIMBS;
            const double s = x * x, s_rest = std::fma(x, x, -s);
            if (w == 1.0) {
                add_double(sum, x);
                add_double(square, s);
                if (s_rest != 0) add_double(square, s_rest);
                continue;
            }
            const double p = w * x, q = w * s;
            add_double(sum, p);
            add_double(sum, std::fma(w, x, -p));
            add_double(square, q);
            add_double(square, std::fma(w, s, -q));
            add_double(square, w * s_rest);
        }
    }
}

// With fewer rows a tile costs more than its numbers one by one.
constexpr std::size_t MIN_TILE_ROWS = 8;

// float32 with unit weights, where tiles do not do: integers are gathered by exponent first, which costs two additions
// an element. Some columns at a time, so that the bins stay in the nearest cache.
struct Bins {
    static constexpr std::size_t EXPONENTS = 256, COLUMNS = 32, ROWS = 16384; // 2^48 * 2^14 stays below 2^63
    std::unique_ptr<std::int64_t[]> cells; // sum of mantissas, of squares; made when they are needed first

    void add(const float *row, std::ptrdiff_t stride, std::size_t columns) {
        if (!cells) cells.reset(new std::int64_t[COLUMNS * EXPONENTS * 2]());
        std::int64_t *cell = cells.get();
        for (std::size_t j = 0; j < columns; ++j, cell += EXPONENTS * 2) {
            std::uint32_t bits;
            std::memcpy(&bits, row + static_cast<std::ptrdiff_t>(j) * stride, 4);
            const std::uint32_t exponent = (bits >> 23) & 0xff;
            const std::int64_t mantissa = static_cast<std::int64_t>((bits & 0x7fffff) | (exponent ? 0x800000u : 0u));
            const std::int64_t sign = -static_cast<std::int64_t>(bits >> 31);
            cell[exponent * 2] += (mantissa ^ sign) - sign;
            cell[exponent * 2 + 1] += mantissa * mantissa;
        }
    }

    // Column j of the bins; the exponents of its numbers lie between low and high.
    void flush(std::size_t j, unsigned low, unsigned high, std::int64_t *sum, std::int64_t *square) {
        std::int64_t *cell = cells.get() + (j * EXPONENTS + low) * 2;
        for (unsigned e = low; e <= high; ++e, cell += 2) {
            if (!cell[1]) continue; // no row had this exponent (zeros add nothing)
            const unsigned scale = e ? e : 1; // value = mantissa * 2^(scale - 150)
            add_shifted(sum, cell[0], scale + 1074 - 150);
            add_shifted(square, cell[1], 2 * scale + 1074 - 300);
            cell[0] = cell[1] = 0;
        }
    }
};

void add_binned(const Matrix<float> &X, Bins &bins, std::int64_t *sums, std::int64_t *squares) {
    for (std::size_t from = 0; from < X.n; from += Bins::ROWS) {
        const std::size_t to = X.n - from < Bins::ROWS ? X.n : from + Bins::ROWS;
        for (std::size_t j = 0; j < X.d; j += Bins::COLUMNS) {
            const std::size_t columns = X.d - j < Bins::COLUMNS ? X.d - j : Bins::COLUMNS;
            const float *column = X.data + static_cast<std::ptrdiff_t>(j) * X.col_stride;
            for (std::size_t i = from; i < to; ++i)
                bins.add(column + static_cast<std::ptrdiff_t>(i) * X.row_stride, X.col_stride, columns);
            for (std::size_t c = 0; c < columns; ++c)
                bins.flush(c, 0, Bins::EXPONENTS - 1, sums + (j + c) * LIMBS, squares + (j + c) * LIMBS);
        }
    }
}

// A few rows, one number at a time; more of them by exponent.
void add_left(const Matrix<float> &X, Bins &bins, std::int64_t *sums, std::int64_t *squares) {
    constexpr std::size_t FEW = 64;
    if (X.n < FEW) add_rows(X, nullptr, 0, X.n, sums, squares);
    else add_binned(X, bins, sums, squares);
}

Matrix<float> part_of(const Matrix<float> &X, std::size_t first, std::size_t n, std::size_t column, std::size_t d) {
    const float *data = X.data + static_cast<std::ptrdiff_t>(first) * X.row_stride + static_cast<std::ptrdiff_t>(column) * X.col_stride;
    return {data, X.row_stride, X.col_stride, n, d};
}

// Sixteen columns of a tile, of which column j belongs to sum (column + j) % d.
void add_tile(const float *x, std::ptrdiff_t stride, std::size_t rows, std::size_t column, std::size_t d, Bins &bins, std::int64_t *sums,
              std::int64_t *squares) {
    TileTotals t;
    const bool narrow = current_variant().tile_totals(x, stride, rows, t);
    if (!narrow)
        for (std::size_t i = 0; i < rows; ++i) bins.add(x + static_cast<std::ptrdiff_t>(i) * stride, 1, TILE_COLUMNS);
    for (std::size_t j = 0; j < TILE_COLUMNS; ++j) {
        std::int64_t *sum = sums + (column + j) % d * LIMBS, *square = squares + (column + j) % d * LIMBS;
        const unsigned low = static_cast<unsigned>(t.least[j]), high = static_cast<unsigned>(t.most[j]);
        if (!narrow) {
            bins.flush(j, low == 1 ? 0 : low, high, sum, square);
            continue;
        }
        add_shifted(sum, t.sum[j], low + 1074 - 150);
        add_shifted(square, t.high[j], 2 * low + 1074 - 300 + 54);
        add_shifted(square, t.cross[j], 2 * low + 1074 - 300 + 28);
        add_shifted(square, t.low[j], 2 * low + 1074 - 300);
    }
}

// Rows that lie one behind the other are taken together until sixteen columns fit: so none of the lanes is idle.
void add_part(const Matrix<float> &X, const double *weights, std::size_t first, std::size_t last, std::int64_t *sums, std::int64_t *squares) {
    if (weights) return add_rows(X, weights, first, last, sums, squares);
    const bool packed = X.col_stride == 1 && X.row_stride == static_cast<std::ptrdiff_t>(X.d);
    const std::size_t group = packed ? TILE_COLUMNS / std::gcd(TILE_COLUMNS, X.d) : 1;
    const std::size_t columns = X.col_stride == 1 ? group * X.d / TILE_COLUMNS * TILE_COLUMNS : 0;
    const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(group) * X.row_stride;
    const std::size_t groups = columns ? (last - first) / group : 0;
    Bins bins;
    std::size_t done = 0;
    while (groups - done >= MIN_TILE_ROWS) {
        const std::size_t rows = groups - done < TILE_ROWS ? groups - done : TILE_ROWS;
        const float *x = X.data + static_cast<std::ptrdiff_t>(first) * X.row_stride + static_cast<std::ptrdiff_t>(done) * stride;
        for (std::size_t j = 0; j < columns; j += TILE_COLUMNS) add_tile(x + j, stride, rows, j, X.d, bins, sums, squares);
        done += rows;
    }
    const std::size_t taken = done * group;
    if (group == 1 && columns < X.d)
        add_left(part_of(X, first, taken, columns, X.d - columns), bins, sums + columns * LIMBS, squares + columns * LIMBS);
    add_left(part_of(X, first + taken, last - first - taken, 0, X.d), bins, sums, squares);
}

void add_part(const Matrix<double> &X, const double *weights, std::size_t first, std::size_t last, std::int64_t *sums, std::int64_t *squares) {
    add_rows(X, weights, first, last, sums, squares);
}

} // namespace

void add_sums(const std::int64_t *from, std::int64_t *into, std::size_t rows) {
    for (std::size_t i = 0; i < rows * LIMBS; ++i) into[i] += from[i];
    for (std::size_t r = 0; r < rows; ++r) carry(into + r * LIMBS);
}

void add_values(const double *values, std::size_t n, std::int64_t *limbs) {
    for (std::size_t i = 0; i < n; ++i) {
        add_double(limbs, values[i]);
        if ((i & ((1u << 29) - 1)) == (1u << 29) - 1) carry(limbs);
    }
    carry(limbs);
}

template <class T>
void add_columns(const Matrix<T> &X, const double *weights, std::int64_t *sums, std::int64_t *squares, int n_threads) {
    constexpr std::size_t STEP = std::size_t{1} << 26; // rows between carries: far below the limbs' room
    for (std::size_t start = 0; start < X.n; start += STEP) {
        const std::size_t stop = X.n - start < STEP ? X.n : start + STEP, rows = stop - start;
        const bool quick = sizeof(T) == 4 && !weights; // then more of them are worth a thread
        const std::size_t worth = std::size_t{1} << (quick ? 20 : 16);
        const std::size_t parts = n_threads > 1 && rows * X.d > worth ? static_cast<std::size_t>(n_threads) : 1;
        const std::size_t width = X.d * LIMBS;
        std::unique_ptr<std::int64_t[]> others(new std::int64_t[(parts - 1) * 2 * width]()); // the first adds in place
        parallel_for(parts, n_threads, [&](std::size_t p) {
            std::int64_t *own = p ? others.get() + (p - 1) * 2 * width : sums, *own_squares = p ? own + width : squares;
            add_part(X, weights, start + rows * p / parts, start + rows * (p + 1) / parts, own, own_squares);
        });
        for (std::size_t p = 0; p + 1 < parts; ++p)
            for (std::size_t i = 0; i < width; ++i) {
                sums[i] += others[p * 2 * width + i];
                squares[i] += others[p * 2 * width + width + i];
            }
        for (std::size_t j = 0; j < X.d; ++j) {
            carry(sums + j * LIMBS);
            carry(squares + j * LIMBS);
        }
    }
}

template void add_columns<float>(const Matrix<float> &, const double *, std::int64_t *, std::int64_t *, int);
template void add_columns<double>(const Matrix<double> &, const double *, std::int64_t *, std::int64_t *, int);

} // namespace shoal
