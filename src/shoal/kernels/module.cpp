// The Python binding: checks sizes, releases the GIL, calls the variant in use.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "api.hpp"
#include "exact_sum.hpp"
#include "sampling.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace shoal {

void bind_cf_tree(nb::module_ &m); // cf_tree_module.cpp

namespace {

template <class T> using Rows = nb::ndarray<const T, nb::ndim<2>, nb::device::cpu>; // any strides
template <class T> using Table = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <class T> using Vector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T> using Maybe = std::optional<Vector<T>>;

template <class T> Matrix<T> matrix(const Rows<T> &X) {
    return {X.data(), static_cast<std::ptrdiff_t>(X.stride(0)), static_cast<std::ptrdiff_t>(X.stride(1)), X.shape(0), X.shape(1)};
}

// The Python face checks what users give; these sizes are its own, and wrong ones must not write out of bounds.
void need(bool condition) {
    if (!condition) throw nb::value_error("array sizes do not fit together");
}

template <class V> auto pointer(V &v) -> decltype(v->data()) { return v ? v->data() : nullptr; }

template <class T> void nearest_task(const NearestTask<T> &task);
template <> void nearest_task(const NearestTask<float> &task) { current_variant().nearest_f32(task); }
template <> void nearest_task(const NearestTask<double> &task) { current_variant().nearest_f64(task); }

template <class T>
void nearest(Rows<T> X, Table<const T> centres, Vector<std::int32_t> labels, Vector<T> distances, Maybe<T> second, int n_threads) {
    const NearestTask<T> task{matrix<T>(X), centres.data(), centres.shape(0), labels.data(), distances.data(), pointer(second),
                              nullptr, nullptr, nullptr, nullptr, n_threads};
    need(labels.shape(0) == task.X.n && distances.shape(0) == task.X.n && centres.shape(1) == task.X.d &&
         (!second || second->shape(0) == task.X.n));
    nb::gil_scoped_release free;
    nearest_task(task);
}

template <class T>
double accumulate(Rows<T> X, Table<const T> centres, Maybe<const double> weights, Vector<std::int32_t> labels, Vector<T> distances,
                  Table<double> sums, Vector<double> counts, int n_threads) {
    double inertia = 0;
    const NearestTask<T> task{matrix<T>(X), centres.data(), centres.shape(0), labels.data(), distances.data(), nullptr,
                              pointer(weights), sums.data(), counts.data(), &inertia, n_threads};
    need(labels.shape(0) == task.X.n && distances.shape(0) == task.X.n && centres.shape(1) == task.X.d &&
         sums.shape(0) == task.k && sums.shape(1) == task.X.d && counts.shape(0) == task.k &&
         (!weights || weights->shape(0) == task.X.n));
    nb::gil_scoped_release free;
    nearest_task(task);
    return inertia;
}

template <class T>
void seed_rows(Rows<T> X, Maybe<const double> weights, Table<const double> uniforms, Vector<std::int64_t> chosen, Vector<double> closest, int n_threads) {
    const SeedTask<T> task{matrix<T>(X), pointer(weights), uniforms.shape(0), uniforms.shape(1), uniforms.data(),
                           chosen.data(), closest.data(), n_threads};
    need((!weights || weights->shape(0) == task.X.n) && chosen.shape(0) == task.k && closest.shape(0) == task.X.n &&
         (task.k == 0 || task.candidates > 0));
    nb::gil_scoped_release free;
    seed<T>(task);
}

template <class T>
void exact_add(Rows<T> X, Maybe<const double> weights, Table<std::int64_t> sums, Table<std::int64_t> squares, int n_threads) {
    const Matrix<T> m = matrix<T>(X);
    const double *w = pointer(weights);
    need((!weights || weights->shape(0) == m.n) && sums.shape(0) == m.d && squares.shape(0) == m.d &&
         sums.shape(1) == LIMBS && squares.shape(1) == LIMBS);
    nb::gil_scoped_release free;
    add_columns<T>(m, w, sums.data(), squares.data(), n_threads);
}

template <class T>
void score(Vector<const std::int32_t> labels, Vector<const T> squared, Maybe<const double> weights, double mean_squared,
           Vector<const double> rarity, Vector<const std::uint64_t> ids, std::uint64_t seed, Vector<double> importance, Vector<double> priority) {
    const double *w = pointer(weights);
    const std::size_t n = labels.shape(0);
    need(squared.shape(0) == n && ids.shape(0) == n && importance.shape(0) == n && priority.shape(0) == n &&
         (!weights || weights->shape(0) == n));
    for (std::size_t i = 0; i < n; ++i)
        need(labels.data()[i] >= 0 && static_cast<std::size_t>(labels.data()[i]) < rarity.shape(0));
    nb::gil_scoped_release free;
    score_rows<T>(labels.data(), squared.data(), w, labels.shape(0), mean_squared, rarity.data(), ids.data(), seed, importance.data(),
                  priority.data());
}

template <class T> void bind(nb::module_ &m) {
    m.def("nearest", &nearest<T>, "X"_a.noconvert(), "centres"_a.noconvert(), "labels"_a.noconvert(), "distances"_a.noconvert(),
          "second"_a.none(), "n_threads"_a);
    m.def("accumulate", &accumulate<T>, "X"_a.noconvert(), "centres"_a.noconvert(), "weights"_a.none(), "labels"_a.noconvert(),
          "distances"_a.noconvert(), "sums"_a.noconvert(), "counts"_a.noconvert(), "n_threads"_a);
    m.def("seed_rows", &seed_rows<T>, "X"_a.noconvert(), "weights"_a.none(), "uniforms"_a.noconvert(), "chosen"_a.noconvert(),
          "closest"_a.noconvert(), "n_threads"_a);
    m.def("exact_add", &exact_add<T>, "X"_a.noconvert(), "weights"_a.none(), "sums"_a.noconvert(), "squares"_a.noconvert(), "n_threads"_a);
    m.def("score", &score<T>, "labels"_a.noconvert(), "squared"_a.noconvert(), "weights"_a.none(), "mean_squared"_a,
          "rarity"_a.noconvert(), "ids"_a.noconvert(), "seed"_a, "importance"_a.noconvert(), "priority"_a.noconvert());
}

} // namespace
} // namespace shoal

NB_MODULE(_native, m) {
    using namespace shoal;
    m.attr("LIMBS") = LIMBS;
    m.def("variant", [] { return current_variant().name; });
    m.def("select_variant", [](const std::string &name) { return select_variant(name.c_str()); });
    m.def("variant_supported", [](const std::string &name) { return variant_supported(name.c_str()); });
    m.def("exact_add_values", [](Vector<const double> values, Vector<std::int64_t> limbs) {
        need(limbs.shape(0) == LIMBS);
        nb::gil_scoped_release free;
        add_values(values.data(), values.shape(0), limbs.data());
    });
    m.def("exact_merge", [](Table<const std::int64_t> from, Table<std::int64_t> into) {
        need(from.shape(0) == into.shape(0) && from.shape(1) == LIMBS && into.shape(1) == LIMBS);
        add_sums(from.data(), into.data(), into.shape(0));
    });
    m.def("row_ids", [](std::uint64_t key, Vector<const std::int64_t> rows, Vector<std::uint64_t> ids) {
        need(rows.shape(0) == ids.shape(0));
        nb::gil_scoped_release free;
        row_ids(key, rows.data(), rows.shape(0), ids.data());
    });
    bind_cf_tree(m);
    bind<float>(m);
    bind<double>(m);
}
