// Nearest centre, fused with the weighted totals of each cluster. Included once per instruction set.
//
// Rows are packed into panels with one row per vector lane, so the loop over centres needs no horizontal sums
// and no n x k matrix. Two ways to a distance:
//   direct     sum (x - c)^2; no cancellation; taken for few columns, where it costs the same.
//   expanded   |c|^2 - 2 x.c on data shifted by the centres' mean; half the arithmetic. Rounding could swap two
//              centres that are nearly tied, so every row whose two best values lie within the error bound
//              is measured again in float64. Products are added up in chunks of CHUNK columns, so the error of
//              x.c is at most (CHUNK + d / CHUNK) u |x||c| (Higham 2002, section 4.2), whatever the data.
#include "api.hpp"
#include "threads.hpp"
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

namespace shoal {
namespace SHOAL_VARIANT {
namespace {

// Where the direct form is at least as fast (measured): always up to the first, with few centres up to the second.
constexpr std::size_t DIRECT_COLUMNS = 64, DIRECT_COLUMNS_FEW_CENTRES = 128, FEW_CENTRES = 100;
constexpr std::size_t CHUNK = 256;         // columns added up at a time
constexpr int GROUP = 6;                   // centres held in registers at a time
constexpr int RV = SHOAL_ROW_VECTORS;      // vectors of rows held in registers at a time

template <class T> struct Lanes;
template <> struct Lanes<float> {
    typedef float V __attribute__((vector_size(SHOAL_VECTOR_BYTES), may_alias, aligned(4)));
    typedef std::int32_t I __attribute__((vector_size(SHOAL_VECTOR_BYTES), may_alias, aligned(4)));
    using Int = std::int32_t;
};
template <> struct Lanes<double> {
    typedef double V __attribute__((vector_size(SHOAL_VECTOR_BYTES), may_alias, aligned(8)));
    typedef std::int64_t I __attribute__((vector_size(SHOAL_VECTOR_BYTES), may_alias, aligned(8)));
    using Int = std::int64_t;
};
template <class T> constexpr std::size_t WIDTH = SHOAL_VECTOR_BYTES / sizeof(T);
template <class T> constexpr std::size_t PANEL = WIDTH<T> * RV; // rows of one panel

template <class T> typename Lanes<T>::V splat(T v) { return typename Lanes<T>::V{} + v; }
template <class T> typename Lanes<T>::V load(const T *p) { return *reinterpret_cast<const typename Lanes<T>::V *>(p); }

typedef double D8 __attribute__((vector_size(SHOAL_VECTOR_BYTES), may_alias, aligned(8)));
typedef float F8 __attribute__((vector_size(SHOAL_VECTOR_BYTES / 2), may_alias, aligned(4)));
constexpr std::size_t DW = SHOAL_VECTOR_BYTES / sizeof(double);

inline D8 load_double(const double *p) { return *reinterpret_cast<const D8 *>(p); }
inline D8 load_double(const float *p) { return __builtin_convertvector(*reinterpret_cast<const F8 *>(p), D8); }

// Squared distance of two contiguous rows in float64.
template <class T> double squared_distance(const T *a, const T *b, std::size_t d) {
    D8 s0{}, s1{};
    std::size_t j = 0;
    for (; j + 2 * DW <= d; j += 2 * DW) {
        D8 t0 = load_double(a + j) - load_double(b + j), t1 = load_double(a + j + DW) - load_double(b + j + DW);
        s0 += t0 * t0;
        s1 += t1 * t1;
    }
    s0 += s1;
    double total = 0;
    for (std::size_t l = 0; l < DW; ++l) total += s0[l];
    for (; j < d; ++j) {
        double t = static_cast<double>(a[j]) - static_cast<double>(b[j]);
        total += t * t;
    }
    return total;
}

// What every panel needs of the centres, made once per call.
template <class T> struct Centres {
    const T *rows; // k x d as given
    std::size_t k, d;
    bool expanded;
    std::unique_ptr<T[]> shifted;    // expanded: rows minus shift
    std::unique_ptr<T[]> shift;      // expanded: d
    std::unique_ptr<T[]> squares;    // expanded: |c|^2 of the shifted rows
    std::unique_ptr<T[]> norm_error; // expanded: 2 f |c|, to be multiplied by |x|
    std::unique_ptr<T[]> own_error;  // expanded: f |c|^2

    Centres(const T *rows_, std::size_t k_, std::size_t d_)
        : rows(rows_), k(k_), d(d_),
          expanded(k_ > 1 && d_ > (k_ <= FEW_CENTRES ? DIRECT_COLUMNS_FEW_CENTRES : DIRECT_COLUMNS)) {
        if (!expanded) return;
        shifted.reset(new T[k * d]);
        shift.reset(new T[d]);
        squares.reset(new T[k]);
        norm_error.reset(new T[k]);
        own_error.reset(new T[k]);
        for (std::size_t j = 0; j < d; ++j) {
            double mean = 0;
            for (std::size_t c = 0; c < k; ++c) mean += static_cast<double>(rows[c * d + j]);
            shift[j] = static_cast<T>(mean / static_cast<double>(k));
        }
        const double unit = static_cast<double>(std::numeric_limits<T>::epsilon()) / 2;
        const std::size_t terms = (d < CHUNK ? d : CHUNK) + (d + CHUNK - 1) / CHUNK + 8; // 8: the shift and |c|^2
        const double factor = static_cast<double>(terms) * unit;
        for (std::size_t c = 0; c < k; ++c) {
            double square = 0;
            for (std::size_t j = 0; j < d; ++j) {
                const T v = shifted[c * d + j] = rows[c * d + j] - shift[j];
                square += static_cast<double>(v) * static_cast<double>(v);
            }
            squares[c] = static_cast<T>(square);
            norm_error[c] = static_cast<T>(2 * factor * std::sqrt(square));
            own_error[c] = static_cast<T>(factor * square);
        }
    }
};

// Lane l of the answer: from a or b by a butterfly of the given stride, the step of a transpose.
template <class T, bool HIGH> typename Lanes<T>::V butterfly(typename Lanes<T>::V a, typename Lanes<T>::V b, int stride) {
    using Int = typename Lanes<T>::Int;
    constexpr Int W = static_cast<Int>(WIDTH<T>);
    typename Lanes<T>::I from{};
    for (Int l = 0; l < W; ++l) {
        const bool upper = (l & stride) != 0;
        from[l] = HIGH ? (upper ? W + l : l + stride) : (upper ? W + l - stride : l);
    }
#if defined(__clang__)
    typename Lanes<T>::V out;
    for (Int l = 0; l < W; ++l) out[l] = from[l] < W ? a[from[l]] : b[from[l] - W];
    return out;
#else
    return __builtin_shuffle(a, b, from);
#endif
}

// WIDTH x WIDTH numbers, turned over in registers.
template <class T> inline void transpose(typename Lanes<T>::V (&m)[WIDTH<T>]) {
#pragma GCC unroll 8
    for (int stride = 1; stride < static_cast<int>(WIDTH<T>); stride *= 2)
#pragma GCC unroll 32
        for (int i = 0; i < static_cast<int>(WIDTH<T>); ++i)
            if (!(i & stride)) {
                const auto low = butterfly<T, false>(m[i], m[i + stride], stride);
                m[i + stride] = butterfly<T, true>(m[i], m[i + stride], stride);
                m[i] = low;
            }
}

// One row per lane: panel[j * PANEL + r]. Missing rows of the last panel repeat the last row.
template <class T> void pack(const Matrix<T> &X, std::size_t first, std::size_t rows, const T *shift, T *panel) {
    constexpr std::size_t W = WIDTH<T>, P = PANEL<T>;
    std::size_t done = 0; // columns
    if (X.col_stride == 1 && rows == P)
        for (; done + W <= X.d; done += W)
            for (std::size_t r = 0; r < P; r += W) {
                typename Lanes<T>::V m[W];
                for (std::size_t i = 0; i < W; ++i) {
                    m[i] = load(X.data + static_cast<std::ptrdiff_t>(first + r + i) * X.row_stride + done);
                    if (shift) m[i] -= load(shift + done);
                }
                transpose<T>(m);
                for (std::size_t j = 0; j < W; ++j) *reinterpret_cast<typename Lanes<T>::V *>(panel + (done + j) * P + r) = m[j];
            }
    for (std::size_t r = 0; r < P; ++r) {
        const T *x = X.data + static_cast<std::ptrdiff_t>(first + (r < rows ? r : rows - 1)) * X.row_stride;
        for (std::size_t j = done; j < X.d; ++j) {
            const T v = x[static_cast<std::ptrdiff_t>(j) * X.col_stride];
            panel[j * P + r] = shift ? v - shift[j] : v;
        }
    }
}

// State of the search, one lane per row. `low` and `bound` serve the expanded form only: the least the winner's
// value may truly be, and the same for the strongest of the centres that lost.
template <class T> struct Best {
    using V = typename Lanes<T>::V;
    using I = typename Lanes<T>::I;
    V value[RV], second[RV], low[RV], bound[RV], norm[RV];
    I label[RV], second_label[RV];

    Best() {
        const V infinite = splat(std::numeric_limits<T>::infinity());
        for (int r = 0; r < RV; ++r) {
            value[r] = second[r] = low[r] = bound[r] = infinite;
            norm[r] = V{};
            label[r] = second_label[r] = I{};
        }
    }
};

template <class T, int G, bool EXPANDED>
inline void products(const T *panel, std::size_t d, std::size_t first, std::size_t last, const T *c,
                     typename Lanes<T>::V (&acc)[RV][G]) {
    using V = typename Lanes<T>::V;
    for (int r = 0; r < RV; ++r)
        for (int g = 0; g < G; ++g) acc[r][g] = V{};
    for (std::size_t j = first; j < last; ++j) {
        V x[RV];
        for (int r = 0; r < RV; ++r) x[r] = load(panel + j * PANEL<T> + static_cast<std::size_t>(r) * WIDTH<T>);
        for (int g = 0; g < G; ++g) {
            const V centre = splat(c[static_cast<std::size_t>(g) * d + j]);
            for (int r = 0; r < RV; ++r) {
                if (EXPANDED)
                    acc[r][g] += x[r] * centre;
                else {
                    const V t = x[r] - centre;
                    acc[r][g] += t * t;
                }
            }
        }
    }
}

// G centres from `first` on against one panel.
template <class T, int G, bool EXPANDED, bool SECOND>
void compare(const T *panel, const Centres<T> &C, std::size_t first, Best<T> &best) {
    using V = typename Lanes<T>::V;
    using I = typename Lanes<T>::I;
    V acc[RV][G];
    const T *centres = (EXPANDED ? C.shifted.get() : C.rows) + first * C.d;
    products<T, G, EXPANDED>(panel, C.d, 0, C.d < CHUNK ? C.d : CHUNK, centres, acc);
    for (std::size_t j = CHUNK; j < C.d; j += CHUNK) {
        V more[RV][G];
        products<T, G, EXPANDED>(panel, C.d, j, j + CHUNK < C.d ? j + CHUNK : C.d, centres, more);
        for (int r = 0; r < RV; ++r)
            for (int g = 0; g < G; ++g) acc[r][g] += more[r][g];
    }
    for (int r = 0; r < RV; ++r) {
        V value = best.value[r];
        I label = best.label[r];
        for (int g = 0; g < G; ++g) {
            const std::size_t c = first + static_cast<std::size_t>(g);
            const I id = I{} + static_cast<typename Lanes<T>::Int>(c);
            V v = acc[r][g];
            if (EXPANDED) v = splat(C.squares[c]) - (v + v);
            const I nearer = v < value;
            if (SECOND) {
                const V lost = nearer ? value : v;
                const I next = lost < best.second[r];
                if (EXPANDED) {
                    const I loser = nearer ? label : id;
                    best.second_label[r] = next ? loser : best.second_label[r];
                }
                best.second[r] = next ? lost : best.second[r];
            }
            if (EXPANDED) {
                const V low = v - splat(C.norm_error[c]) * best.norm[r] - splat(C.own_error[c]);
                const V lost_low = nearer ? best.low[r] : low;
                best.bound[r] = lost_low < best.bound[r] ? lost_low : best.bound[r];
                best.low[r] = nearer ? low : best.low[r];
            }
            value = nearer ? v : value;
            label = nearer ? id : label;
        }
        best.value[r] = value;
        best.label[r] = label;
    }
}

template <class T, bool EXPANDED, bool SECOND> void search(const T *panel, const Centres<T> &C, Best<T> &best) {
    if (EXPANDED)
        for (int r = 0; r < RV; ++r) {
            typename Lanes<T>::V square{};
            for (std::size_t j = 0; j < C.d; ++j) {
                const auto x = load(panel + j * PANEL<T> + static_cast<std::size_t>(r) * WIDTH<T>);
                square += x * x;
            }
            for (std::size_t l = 0; l < WIDTH<T>; ++l) best.norm[r][l] = std::sqrt(square[l]);
        }
    const std::size_t groups = (C.k + GROUP - 1) / GROUP, size = C.k / groups, larger = C.k % groups;
    for (std::size_t g = 0, first = 0; g < groups; ++g) {
        const std::size_t count = size + (g < larger);
        switch (count) {
        case 1: compare<T, 1, EXPANDED, SECOND>(panel, C, first, best); break;
        case 2: compare<T, 2, EXPANDED, SECOND>(panel, C, first, best); break;
        case 3: compare<T, 3, EXPANDED, SECOND>(panel, C, first, best); break;
        case 4: compare<T, 4, EXPANDED, SECOND>(panel, C, first, best); break;
        case 5: compare<T, 5, EXPANDED, SECOND>(panel, C, first, best); break;
        default: compare<T, 6, EXPANDED, SECOND>(panel, C, first, best); break;
        }
        first += count;
    }
}

struct Answer {
    std::size_t label;
    double distance, second;
};

// The plain float64 search: the last word where the expanded form cannot tell.
template <class T> Answer search_exactly(const T *x, const Centres<T> &C) {
    Answer a{0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
    for (std::size_t c = 0; c < C.k; ++c) {
        const double v = squared_distance(x, C.rows + c * C.d, C.d);
        if (v < a.distance) {
            a.second = a.distance;
            a.distance = v;
            a.label = c;
        } else if (v < a.second)
            a.second = v;
    }
    return a;
}

// Adds rows to the totals of their centres, in row order, in float64.
template <class T> struct Totals {
    double *sums, *counts, inertia = 0;
    std::size_t d;

    void add(const T *x, std::ptrdiff_t stride, std::size_t label, double weight, double distance) {
        double *sum = sums + label * d;
        counts[label] += weight;
        inertia += weight * distance;
        std::size_t j = 0;
        if (stride == 1)
            for (; j + DW <= d; j += DW) {
                const D8 v = *reinterpret_cast<const D8 *>(sum + j) + load_double(x + j) * weight;
                *reinterpret_cast<D8 *>(sum + j) = v;
            }
        for (; j < d; ++j) sum[j] += weight * static_cast<double>(x[static_cast<std::ptrdiff_t>(j) * stride]);
    }
};

template <class T, bool EXPANDED, bool SECOND>
void run_rows(const NearestTask<T> &task, const Centres<T> &C, std::size_t first, std::size_t last, Totals<T> *totals,
              T *panel, T *copy) {
    const Matrix<T> &X = task.X;
    for (std::size_t i = first; i < last; i += PANEL<T>) {
        const std::size_t rows = last - i < PANEL<T> ? last - i : PANEL<T>;
        pack(X, i, rows, C.shift.get(), panel);
        Best<T> best;
        search<T, EXPANDED, SECOND>(panel, C, best);
        for (std::size_t r = 0; r < rows; ++r) {
            const std::size_t v = r / WIDTH<T>, l = r % WIDTH<T>;
            const T *x = X.data + static_cast<std::ptrdiff_t>(i + r) * X.row_stride;
            Answer a{static_cast<std::size_t>(best.label[v][l]), static_cast<double>(best.value[v][l]),
                     SECOND ? static_cast<double>(best.second[v][l]) : 0};
            if (EXPANDED) {
                const T *row = x;
                if (X.col_stride != 1) {
                    for (std::size_t j = 0; j < X.d; ++j) copy[j] = x[static_cast<std::ptrdiff_t>(j) * X.col_stride];
                    row = copy;
                }
                // value + error of the winner against value - error of the others; NaN also lands here
                if (!(best.bound[v][l] >= best.value[v][l] + (best.value[v][l] - best.low[v][l])))
                    a = search_exactly(row, C);
                else {
                    a.distance = squared_distance(row, C.rows + a.label * C.d, C.d);
                    if (SECOND)
                        a.second = squared_distance(row, C.rows + static_cast<std::size_t>(best.second_label[v][l]) * C.d, C.d);
                }
            }
            task.labels[i + r] = static_cast<std::int32_t>(a.label);
            task.distances[i + r] = static_cast<T>(a.distance);
            if (SECOND) task.second[i + r] = static_cast<T>(a.second);
            if (totals) totals->add(x, X.col_stride, a.label, task.weights ? task.weights[i + r] : 1.0, a.distance);
        }
    }
}

// Rows are cut into segments whose number depends on the shape only, never on the threads; each keeps its own
// totals, which are added in order. So the result is the same for any number of threads.
template <class T> void nearest(const NearestTask<T> &task) {
    const std::size_t n = task.X.n, d = task.X.d, k = task.k;
    if (n == 0 || k == 0) return;
    const Centres<T> C(task.centres, k, d);
    const bool with_totals = task.sums != nullptr;
    const std::size_t width = k * d + k;
    constexpr std::size_t TOTALS_BYTES = std::size_t{64} << 20, ROWS = 2048;
    std::size_t segments = (n + ROWS - 1) / ROWS;
    if (with_totals) {
        std::size_t most = TOTALS_BYTES / (width * sizeof(double));
        most = most < 1 ? 1 : (most > 16 ? 16 : most);
        if (segments > most) segments = most;
    }
    const std::size_t panels = (n + PANEL<T> - 1) / PANEL<T>, share = (panels + segments - 1) / segments;
    std::unique_ptr<double[]> partial(with_totals ? new double[segments * width]() : nullptr);
    std::unique_ptr<double[]> inertias(new double[segments]());
    parallel_for(segments, task.n_threads, [&](std::size_t s) {
        const std::size_t first = s * share * PANEL<T>;
        std::size_t last = first + share * PANEL<T>;
        if (last > n) last = n;
        if (first >= last) return;
        std::unique_ptr<T[]> panel(new T[PANEL<T> * d]), copy(new T[d]);
        Totals<T> totals{with_totals ? partial.get() + s * width : nullptr,
                         with_totals ? partial.get() + s * width + k * d : nullptr, 0, d};
        Totals<T> *into = with_totals ? &totals : nullptr;
        if (C.expanded)
            task.second ? run_rows<T, true, true>(task, C, first, last, into, panel.get(), copy.get())
                        : run_rows<T, true, false>(task, C, first, last, into, panel.get(), copy.get());
        else
            task.second ? run_rows<T, false, true>(task, C, first, last, into, panel.get(), copy.get())
                        : run_rows<T, false, false>(task, C, first, last, into, panel.get(), copy.get());
        inertias[s] = totals.inertia;
    });
    if (!with_totals) return;
    *task.inertia = 0;
    for (std::size_t s = 0; s < segments; ++s) {
        const double *from = partial.get() + s * width;
        for (std::size_t i = 0; i < k * d; ++i) task.sums[i] += from[i];
        for (std::size_t c = 0; c < k; ++c) task.counts[c] += from[k * d + c];
        *task.inertia += inertias[s];
    }
}

// Squared distances of `lanes` rows, stored one per lane as in seeding.cpp, to one candidate.
template <class T> void panel_distances(const T *panel, std::size_t lanes, std::size_t d, const T *c, T *out) {
    using V = typename Lanes<T>::V;
    for (std::size_t first = 0; first < lanes; first += 4 * WIDTH<T>) {
        V acc[4] = {};
        for (std::size_t j = 0; j < d; ++j) {
            const V centre = splat(c[j]);
            for (std::size_t r = 0; r < 4; ++r) {
                const V t = load(panel + j * lanes + first + r * WIDTH<T>) - centre;
                acc[r] += t * t;
            }
        }
        for (std::size_t r = 0; r < 4; ++r) *reinterpret_cast<V *>(out + first + r * WIDTH<T>) = acc[r];
    }
}

} // namespace

} // namespace SHOAL_VARIANT
} // namespace shoal
