#include "cf_tree.hpp"
#include "api.hpp"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace shoal {
namespace {

constexpr double FAR = std::numeric_limits<double>::infinity();
constexpr double LEAST_GROWTH = 1.1; // of the squared threshold, so that growing ends

} // namespace

const Sweep &current_sweep() {
    const char *name = current_variant().name;
    for (const Sweep *sweep : {avx512_sweep(), avx2_sweep()})
        if (sweep && !std::strcmp(sweep->name, name)) return *sweep;
    return *portable_sweep();
}

CFTree::CFTree(std::size_t d, std::size_t branching, double threshold, std::size_t max_entries, std::size_t max_nodes)
    : d_(d), branching_(branching), capacity_((branching + LANES) / LANES * LANES), block_size_(capacity_ * d),
      max_entries_(max_entries), max_nodes_(max_nodes), squared_threshold_(threshold * threshold), sweep_(&current_sweep()),
      mean_(d), other_(d), row_(d) {}

std::size_t CFTree::bytes() const {
    return block_.capacity() * sizeof(double) + (weight_.capacity() + scatter_.capacity()) * sizeof(double) +
           (child_.capacity() + count_.capacity()) * sizeof(std::int32_t);
}

std::size_t CFTree::new_node() {
    const std::size_t node = count_.size(), nodes = node + 1;
    if (nodes * block_size_ > block_.capacity()) { // by half, so that the budget of bytes is not left half empty
        std::size_t room = nodes + nodes / 2;
        if (max_nodes_ && room > max_nodes_ + 1) room = std::max(max_nodes_ + 1, nodes);
        block_.reserve(room * block_size_);
        weight_.reserve(room * capacity_);
        scatter_.reserve(room * capacity_);
        child_.reserve(room * capacity_);
        count_.reserve(room);
    }
    block_.resize(nodes * block_size_, FAR);
    weight_.resize(nodes * capacity_);
    scatter_.resize(nodes * capacity_);
    child_.resize(nodes * capacity_);
    count_.push_back(0);
    return node;
}

void CFTree::get_mean(std::size_t node, std::size_t entry, double *out) const {
    const double *from = group(node, entry);
    for (std::size_t j = 0; j < d_; ++j) out[j] = from[j * LANES];
}

void CFTree::append(std::size_t node, const double *x, double weight, double scatter, std::int32_t child) {
    const std::size_t entry = static_cast<std::size_t>(count_[node]++), at = slot(node, entry);
    double *mean = group(node, entry);
    for (std::size_t j = 0; j < d_; ++j) mean[j * LANES] = x[j];
    weight_[at] = weight;
    scatter_[at] = scatter;
    child_[at] = child;
}

void CFTree::absorb(std::size_t node, std::size_t entry, const double *x, double weight, double scatter, double squared) {
    const std::size_t at = slot(node, entry);
    const double before = weight_[at], total = before + weight, share = weight / total;
    weight_[at] = total;
    scatter_[at] += scatter + before * share * squared;
    double *mean = group(node, entry);
    for (std::size_t j = 0; j < d_; ++j) mean[j * LANES] += share * (x[j] - mean[j * LANES]);
}

void CFTree::insert(const double *x, double weight, double scatter) {
    place(x, weight, scatter);
    while (too_large()) rebuild(grown_threshold(), 0.0);
}

void CFTree::place(const double *x, double weight, double scatter) {
    if (n_entries_ == 0) {
        root_ = new_node();
        append(root_, x, weight, scatter, -1);
        n_entries_ = 1;
        return;
    }
    path_.clear();
    std::size_t node = root_;
    double squared;
    for (std::size_t level = 0; level < depth_; ++level) {
        const std::size_t entry = sweep_->nearest(&block_[node * block_size_], groups(node), d_, x, &squared);
        absorb(node, entry, x, weight, scatter, squared); // it will be below that entry wherever it ends
        path_.push_back({node, entry});
        node = static_cast<std::size_t>(child_[slot(node, entry)]);
    }
    const std::size_t entry = sweep_->nearest(&block_[node * block_size_], groups(node), d_, x, &squared), at = slot(node, entry);
    const double before = weight_[at], total = before + weight;
    const double spread = scatter_[at] + scatter + before * (weight / total) * squared;
    if (spread <= squared_threshold_ * total) {
        absorb(node, entry, x, weight, scatter, squared);
        return;
    }
    append(node, x, weight, scatter, -1);
    ++n_entries_;
    if (static_cast<std::size_t>(count_[node]) > branching_) split(node);
}

void CFTree::move(std::size_t from, std::size_t entry, std::size_t to, std::size_t place) {
    const double *source = group(from, entry);
    double *target = group(to, place);
    for (std::size_t j = 0; j < d_; ++j) target[j * LANES] = source[j * LANES];
    weight_[slot(to, place)] = weight_[slot(from, entry)];
    scatter_[slot(to, place)] = scatter_[slot(from, entry)];
    child_[slot(to, place)] = child_[slot(from, entry)];
}

void CFTree::clear_lanes(std::size_t node, std::size_t first) {
    for (std::size_t entry = first; entry < capacity_; ++entry) {
        double *lane = group(node, entry);
        for (std::size_t j = 0; j < d_; ++j) lane[j * LANES] = FAR;
    }
}

// The two entries farthest apart draw the others to themselves; answers the new node.
std::size_t CFTree::divide(std::size_t node) {
    const std::size_t size = static_cast<std::size_t>(count_[node]), fresh = new_node();
    pairs_.resize(size * capacity_);
    std::size_t a = 0, b = 0;
    double most = -1;
    for (std::size_t i = 0; i < size; ++i) {
        get_mean(node, i, mean_.data());
        double *to = &pairs_[i * capacity_];
        sweep_->distances(&block_[node * block_size_], groups(node), d_, mean_.data(), to);
        for (std::size_t j = 0; j < size; ++j)
            if (to[j] > most) {
                most = to[j];
                a = i;
                b = j;
            }
    }
    std::size_t kept = 0, moved = 0;
    for (std::size_t i = 0; i < size; ++i) {
        if (i == a || pairs_[a * capacity_ + i] < pairs_[b * capacity_ + i]) {
            if (kept != i) move(node, i, node, kept);
            ++kept;
        } else
            move(node, i, fresh, moved++);
    }
    count_[node] = static_cast<std::int32_t>(kept);
    count_[fresh] = static_cast<std::int32_t>(moved);
    clear_lanes(node, kept);
    return fresh;
}

void CFTree::summarise(std::size_t node, double *mean, double *weight, double *scatter) const {
    get_mean(node, 0, mean);
    *weight = weight_[slot(node, 0)];
    *scatter = scatter_[slot(node, 0)];
    for (std::size_t i = 1; i < static_cast<std::size_t>(count_[node]); ++i) {
        const double *other = group(node, i);
        const double own = weight_[slot(node, i)], total = *weight + own, share = own / total;
        double squared = 0;
        for (std::size_t j = 0; j < d_; ++j) {
            const double t = other[j * LANES] - mean[j];
            squared += t * t;
            mean[j] += share * t;
        }
        *scatter += scatter_[slot(node, i)] + *weight * share * squared;
        *weight = total;
    }
}

// From a leaf up along the path, as long as nodes are too full.
void CFTree::split(std::size_t node) {
    double weight, scatter;
    for (;;) {
        const std::size_t fresh = divide(node);
        if (path_.empty()) {
            root_ = new_node();
            ++depth_;
            for (std::size_t half : {node, fresh}) {
                summarise(half, mean_.data(), &weight, &scatter);
                append(root_, mean_.data(), weight, scatter, static_cast<std::int32_t>(half));
            }
            return;
        }
        const Step up = path_.back();
        path_.pop_back();
        summarise(node, mean_.data(), &weight, &scatter);
        double *mean = group(up.node, up.entry);
        for (std::size_t j = 0; j < d_; ++j) mean[j * LANES] = mean_[j];
        weight_[slot(up.node, up.entry)] = weight;
        scatter_[slot(up.node, up.entry)] = scatter;
        summarise(fresh, mean_.data(), &weight, &scatter);
        append(up.node, mean_.data(), weight, scatter, static_cast<std::int32_t>(fresh));
        node = up.node;
        if (static_cast<std::size_t>(count_[node]) <= branching_) return;
    }
}

// Nodes of one depth, from left to right.
std::vector<std::size_t> CFTree::level(std::size_t depth) const {
    std::vector<std::size_t> nodes, next;
    if (n_entries_) nodes.push_back(root_);
    for (std::size_t l = 0; l < depth; ++l) {
        next.clear();
        for (std::size_t node : nodes)
            for (std::size_t i = 0; i < static_cast<std::size_t>(count_[node]); ++i)
                next.push_back(static_cast<std::size_t>(child_[slot(node, i)]));
        nodes.swap(next);
    }
    return nodes;
}

Features CFTree::entries() const {
    Features out;
    out.mean.resize(n_entries_ * d_);
    for (std::size_t node : level(depth_))
        for (std::size_t i = 0; i < static_cast<std::size_t>(count_[node]); ++i) {
            get_mean(node, i, &out.mean[out.size() * d_]);
            out.weight.push_back(weight_[slot(node, i)]);
            out.scatter.push_back(scatter_[slot(node, i)]);
        }
    return out;
}

// The squared radius that half of the entries would have together with the nearest one in their leaf.
double CFTree::grown_threshold() const {
    std::vector<double> radii, mean(d_), to(capacity_);
    for (std::size_t depth = depth_ + 1; radii.empty() && depth-- > 0;) // leaves of single entries: look further up
        for (std::size_t node : level(depth)) {
            const std::size_t size = static_cast<std::size_t>(count_[node]);
            for (std::size_t i = 0; size > 1 && i < size; ++i) {
                get_mean(node, i, mean.data());
                sweep_->distances(&block_[node * block_size_], groups(node), d_, mean.data(), to.data());
                double least = FAR;
                const double own = weight_[slot(node, i)];
                for (std::size_t k = 0; k < size; ++k) {
                    if (k == i) continue;
                    const double share = weight_[slot(node, k)] / (own + weight_[slot(node, k)]);
                    const double scatter = scatter_[slot(node, i)] + scatter_[slot(node, k)] + own * share * to[k];
                    least = std::min(least, scatter / (own + weight_[slot(node, k)]));
                }
                radii.push_back(least);
            }
        }
    const auto middle = radii.begin() + static_cast<std::ptrdiff_t>(radii.size() / 2);
    if (!radii.empty()) std::nth_element(radii.begin(), middle, radii.end());
    const double found = radii.empty() ? 0 : *middle;
    return std::max({found, squared_threshold_ * LEAST_GROWTH, std::numeric_limits<double>::min()});
}

void CFTree::rebuild(double squared_threshold, double least) {
    const Features all = entries();
    block_.clear();
    weight_.clear();
    scatter_.clear();
    child_.clear();
    count_.clear();
    depth_ = n_entries_ = 0;
    squared_threshold_ = squared_threshold;
    for (std::size_t i = 0; i < all.size(); ++i)
        if (all.weight[i] > 0 && all.weight[i] >= least) place(&all.mean[i * d_], all.weight[i], all.scatter[i]);
}

void CFTree::scale(double factor, double least) {
    for (double &w : weight_) w *= factor;
    for (double &s : scatter_) s *= factor;
    bool light = false;
    for (std::size_t node : level(depth_))
        for (std::size_t i = 0; i < static_cast<std::size_t>(count_[node]); ++i)
            light = light || !(weight_[slot(node, i)] >= least);
    if (light) rebuild(squared_threshold_, least);
}

std::vector<std::int32_t> CFTree::export_nodes(Features &all) const {
    std::vector<std::int32_t> counts;
    for (std::size_t depth = 0; depth <= depth_; ++depth)
        for (std::size_t node : level(depth)) {
            counts.push_back(count_[node]);
            for (std::size_t i = 0; i < static_cast<std::size_t>(count_[node]); ++i) {
                all.mean.resize(all.mean.size() + d_);
                get_mean(node, i, &all.mean[all.mean.size() - d_]);
                all.weight.push_back(weight_[slot(node, i)]);
                all.scatter.push_back(scatter_[slot(node, i)]);
            }
        }
    return counts;
}

bool CFTree::restore(const std::vector<std::int32_t> &counts, std::size_t depth, const double *mean, const double *weight,
                     const double *scatter, std::size_t size) {
    if (n_entries_ || (counts.empty() && (depth || size))) return false;
    std::size_t next = 1, at = 0, begin = 0, end = counts.empty() ? 0 : 1; // a level is the nodes from begin to end
    for (std::size_t level = 0; level <= depth && !counts.empty(); ++level) {
        if (begin >= end) return false;
        for (std::size_t i = begin; i < end; ++i) {
            if (i >= counts.size() || counts[i] < 1 || static_cast<std::size_t>(counts[i]) > branching_) return false;
            const std::size_t node = new_node(), own = static_cast<std::size_t>(counts[i]);
            if (size - at < own) return false;
            for (std::size_t e = 0; e < own; ++e, ++at)
                append(node, mean + at * d_, weight[at], scatter[at], level < depth ? static_cast<std::int32_t>(next++) : -1);
            if (level == depth) n_entries_ += own;
        }
        begin = end;
        end = next;
    }
    depth_ = depth;
    return at == size && next == std::max<std::size_t>(counts.size(), 1);
}

} // namespace shoal
