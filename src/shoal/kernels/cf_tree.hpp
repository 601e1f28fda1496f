// A tree of clustering features (Zhang, Ramakrishnan and Livny 1996) in their stable form: weight, mean, and sum of
// squared deviations from the mean (Lang and Schubert 2020, 2022). Rows go in one by one, so batches leave no trace.
//
// Entries of a node lie in groups of LANES, one entry per vector lane, coordinate after coordinate: one sweep measures
// a row against all of them. Unused lanes are infinitely far away. All leaves have the same depth.
#pragma once
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <vector>

#include "cf_tree_lanes.hpp"

namespace shoal {

template <class T> struct CacheAligned {
    using value_type = T;
    CacheAligned() = default;
    template <class U> CacheAligned(const CacheAligned<U> &) {}
    T *allocate(std::size_t n) { return static_cast<T *>(::operator new(n * sizeof(T), std::align_val_t(64))); }
    void deallocate(T *p, std::size_t) { ::operator delete(p, std::align_val_t(64)); }
    template <class U> bool operator==(const CacheAligned<U> &) const { return true; }
    template <class U> bool operator!=(const CacheAligned<U> &) const { return false; }
};
template <class T> using Aligned = std::vector<T, CacheAligned<T>>;

// Features as flat arrays: mean (m x d), weight (m), scatter (m).
struct Features {
    std::vector<double> mean, weight, scatter;
    std::size_t size() const { return weight.size(); }
};

class CFTree {
  public:
    // max_entries, max_nodes: 0 for no limit. Beyond one of them the threshold grows.
    CFTree(std::size_t d, std::size_t branching, double threshold, std::size_t max_entries, std::size_t max_nodes);

    void insert(const double *x, double weight, double scatter);
    // Multiplies all weight and scatter by a power of two; what then weighs less than `least` is dropped.
    void scale(double factor, double least);
    // Leaf entries, in the order of the leaves.
    Features entries() const;

    // All nodes in breadth-first order, from which the children of a node follow: entries per node, and their features.
    std::vector<std::int32_t> export_nodes(Features &all) const;
    // Inverse on an empty tree; false where the parts do not fit together.
    bool restore(const std::vector<std::int32_t> &counts, std::size_t depth, const double *mean, const double *weight,
                 const double *scatter, std::size_t size);

    std::size_t columns() const { return d_; }
    std::size_t n_entries() const { return n_entries_; }
    std::size_t n_nodes() const { return count_.size(); }
    std::size_t depth() const { return depth_; } // levels of inner nodes
    double squared_threshold() const { return squared_threshold_; }
    void set_squared_threshold(double value) { squared_threshold_ = value; }
    std::size_t bytes() const;
    std::mutex &guard() { return guard_; }

  private:
    struct Step {
        std::size_t node, entry;
    };

    std::size_t new_node();
    double *group(std::size_t node, std::size_t entry) { return &block_[node * block_size_ + entry / LANES * d_ * LANES + entry % LANES]; }
    const double *group(std::size_t node, std::size_t entry) const { return const_cast<CFTree *>(this)->group(node, entry); }
    std::size_t groups(std::size_t node) const { return (static_cast<std::size_t>(count_[node]) + LANES - 1) / LANES; }
    std::size_t slot(std::size_t node, std::size_t entry) const { return node * capacity_ + entry; }

    void place(const double *x, double weight, double scatter);
    void append(std::size_t node, const double *x, double weight, double scatter, std::int32_t child);
    void absorb(std::size_t node, std::size_t entry, const double *x, double weight, double scatter, double squared);
    void get_mean(std::size_t node, std::size_t entry, double *out) const;
    void move(std::size_t from, std::size_t entry, std::size_t to, std::size_t place);
    void clear_lanes(std::size_t node, std::size_t first);
    void split(std::size_t node);
    std::size_t divide(std::size_t node);
    void summarise(std::size_t node, double *mean, double *weight, double *scatter) const;
    bool too_large() const { return (max_entries_ && n_entries_ > max_entries_) || (max_nodes_ && n_nodes() > max_nodes_); }
    std::vector<std::size_t> level(std::size_t depth) const;
    double grown_threshold() const;
    void rebuild(double squared_threshold, double least);

    std::size_t d_, branching_, capacity_, block_size_;
    std::size_t max_entries_, max_nodes_;
    double squared_threshold_;
    std::size_t root_ = 0, depth_ = 0, n_entries_ = 0;
    Aligned<double> block_;               // nodes x groups x d x LANES
    std::vector<double> weight_, scatter_; // nodes x capacity
    std::vector<std::int32_t> child_;      // nodes x capacity
    std::vector<std::int32_t> count_;      // nodes
    const Sweep *sweep_;
    std::vector<Step> path_;
    std::vector<double> mean_, other_, row_, pairs_; // scratch
    std::mutex guard_;
};

} // namespace shoal
