// The Python binding of the tree of clustering features. Sizes are checked here; values by the Python face.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include "cf_tree.hpp"
#include <memory>
#include <optional>

namespace nb = nanobind;
using namespace nb::literals;

namespace shoal {
namespace {

template <class T> using Rows = nb::ndarray<const T, nb::ndim<2>, nb::device::cpu>; // any strides
using Table = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Vector = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Counts = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void need(bool condition) {
    if (!condition) throw nb::value_error("array sizes do not fit together");
}

template <class T> nb::object array(std::vector<T> values, std::initializer_list<std::size_t> shape) {
    auto *kept = new std::vector<T>(std::move(values));
    nb::capsule owner(kept, [](void *p) noexcept { delete static_cast<std::vector<T> *>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T>(kept->data(), shape, owner));
}

template <class T> void insert(CFTree &tree, Rows<T> X, std::optional<Vector> weights) {
    need(X.shape(1) == tree.columns() && (!weights || weights->shape(0) == X.shape(0)));
    const T *data = X.data();
    const double *w = weights ? weights->data() : nullptr;
    const std::size_t n = X.shape(0), d = X.shape(1);
    const std::ptrdiff_t down = X.stride(0), right = X.stride(1);
    nb::gil_scoped_release free;
    const std::lock_guard<std::mutex> lock(tree.guard());
    std::vector<double> row(d);
    for (std::size_t i = 0; i < n; ++i) {
        const double weight = w ? w[i] : 1.0;
        if (!(weight > 0)) continue;
        const T *x = data + static_cast<std::ptrdiff_t>(i) * down;
        for (std::size_t j = 0; j < d; ++j) row[j] = static_cast<double>(x[static_cast<std::ptrdiff_t>(j) * right]);
        tree.insert(row.data(), weight, 0.0);
    }
}

void insert_entries(CFTree &tree, Table mean, Vector weight, Vector scatter) {
    const std::size_t n = mean.shape(0), d = tree.columns();
    need(mean.shape(1) == d && weight.shape(0) == n && scatter.shape(0) == n);
    nb::gil_scoped_release free;
    const std::lock_guard<std::mutex> lock(tree.guard());
    for (std::size_t i = 0; i < n; ++i)
        if (weight.data()[i] > 0) tree.insert(mean.data() + i * d, weight.data()[i], scatter.data()[i]);
}

nb::tuple features(Features &&all, std::size_t d) {
    const std::size_t n = all.size();
    return nb::make_tuple(array(std::move(all.mean), {n, d}), array(std::move(all.weight), {n}), array(std::move(all.scatter), {n}));
}

nb::tuple entries(CFTree &tree) {
    Features all;
    {
        nb::gil_scoped_release free;
        const std::lock_guard<std::mutex> lock(tree.guard());
        all = tree.entries();
    }
    return features(std::move(all), tree.columns());
}

nb::tuple export_nodes(CFTree &tree) {
    Features all;
    std::vector<std::int32_t> counts;
    std::size_t depth;
    {
        nb::gil_scoped_release free;
        const std::lock_guard<std::mutex> lock(tree.guard());
        counts = tree.export_nodes(all);
        depth = tree.depth();
    }
    const std::size_t nodes = counts.size();
    return nb::make_tuple(depth, array(std::move(counts), {nodes}), features(std::move(all), tree.columns()));
}

bool restore(CFTree &tree, std::size_t depth, Counts counts, Table mean, Vector weight, Vector scatter) {
    const std::size_t n = mean.shape(0);
    need(mean.shape(1) == tree.columns() && weight.shape(0) == n && scatter.shape(0) == n);
    return tree.restore({counts.data(), counts.data() + counts.shape(0)}, depth, mean.data(), weight.data(), scatter.data(), n);
}

} // namespace

void bind_cf_tree(nb::module_ &m) {
    nb::class_<CFTree>(m, "CFTree")
        .def(nb::init<std::size_t, std::size_t, double, std::size_t, std::size_t>(), "d"_a, "branching"_a, "threshold"_a,
             "max_entries"_a, "max_nodes"_a)
        .def("insert", &insert<float>, "X"_a.noconvert(), "weights"_a.none())
        .def("insert", &insert<double>, "X"_a.noconvert(), "weights"_a.none())
        .def("insert_entries", &insert_entries, "mean"_a, "weight"_a, "scatter"_a)
        .def("scale", [](CFTree &tree, double factor, double least) {
            nb::gil_scoped_release free;
            const std::lock_guard<std::mutex> lock(tree.guard());
            tree.scale(factor, least);
        }, "factor"_a, "least"_a)
        .def("entries", &entries)
        .def("export_nodes", &export_nodes)
        .def("restore", &restore, "depth"_a, "counts"_a, "mean"_a, "weight"_a, "scatter"_a)
        .def_prop_rw("squared_threshold", &CFTree::squared_threshold, &CFTree::set_squared_threshold)
        .def_prop_ro("n_entries", &CFTree::n_entries)
        .def_prop_ro("n_nodes", &CFTree::n_nodes)
        .def_prop_ro("depth", &CFTree::depth)
        .def_prop_ro("bytes", &CFTree::bytes);
}

} // namespace shoal
