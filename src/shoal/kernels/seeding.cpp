// Greedy k-means++ seeding (Arthur and Vassilvitskii 2007; greedy form as in Celebi et al. 2013) on weighted rows.
//
// The data is packed once into blocks with one row per lane; every step measures its candidates against all rows
// and keeps the one that lowers the weighted cost most. Block sums are added in block order, so the draw does not
// depend on the number of threads.
#include "api.hpp"
#include <atomic>
#include <limits>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

namespace shoal {
namespace {

constexpr std::size_t LANES = 64; // rows of a block; every variant's vectors divide it

template <class T> auto distances_of(const Variant &v);
template <> auto distances_of<float>(const Variant &v) { return v.panel_distances_f32; }
template <> auto distances_of<double>(const Variant &v) { return v.panel_distances_f64; }

// A team that meets many times in one call: cheaper than starting threads at every step. The members start only
// when all threads there will be are there, so that each knows how many share the work. Bodies must not throw.
class Team {
  public:
    explicit Team(std::size_t most) : size_(most) {}
    template <class F> void run(F &&body) { // body(member): all members pass the same number of meet() calls
        std::atomic<bool> go{false};
        std::vector<std::thread> others;
        others.reserve(size_);
        try {
            for (std::size_t m = 1; m < size_; ++m)
                others.emplace_back([&body, &go, m] {
                    while (!go) std::this_thread::yield();
                    body(m);
                });
        } catch (const std::system_error &) { // no more threads to be had
        }
        size_ = others.size() + 1;
        go = true;
        body(0);
        for (auto &t : others) t.join();
    }
    void meet() {
        if (size_ == 1) return;
        const std::size_t round = round_.load();
        if (waiting_.fetch_add(1) + 1 == size_) {
            waiting_.store(0);
            round_.fetch_add(1);
            return;
        }
        for (int spins = 0; round_.load() == round; ++spins)
            if (spins > 4000) std::this_thread::yield();
    }
    std::size_t size() const { return size_; }

  private:
    std::size_t size_;
    std::atomic<std::size_t> waiting_{0}, round_{0};
};

template <class T> struct Seeding {
    const SeedTask<T> &task;
    const std::size_t n, d, blocks;
    std::unique_ptr<T[]> packed;            // blocks x d x LANES
    std::unique_ptr<double[]> weights;      // blocks x LANES, 0 behind the last row
    std::unique_ptr<double[]> closest;      // blocks x LANES
    std::unique_ptr<double[]> block_cost;   // blocks: sum of weight * closest
    std::unique_ptr<double[]> trial_cost;   // candidates x blocks
    std::unique_ptr<T[]> rows;              // candidates x d
    std::vector<std::size_t> drawn;         // candidates

    explicit Seeding(const SeedTask<T> &t)
        : task(t), n(t.X.n), d(t.X.d), blocks((t.X.n + LANES - 1) / LANES), packed(new T[blocks * LANES * d]),
          weights(new double[blocks * LANES]), closest(new double[blocks * LANES]), block_cost(new double[blocks]),
          trial_cost(new double[t.candidates * blocks]), rows(new T[t.candidates * d]), drawn(t.candidates) {}

    void pack(std::size_t b) {
        double cost = 0;
        for (std::size_t r = 0; r < LANES; ++r) {
            const std::size_t i = b * LANES + r, from = i < n ? i : n - 1;
            const T *x = task.X.data + static_cast<std::ptrdiff_t>(from) * task.X.row_stride;
            for (std::size_t j = 0; j < d; ++j)
                packed[(b * d + j) * LANES + r] = x[static_cast<std::ptrdiff_t>(j) * task.X.col_stride];
            weights[i] = i < n ? (task.weights ? task.weights[i] : 1.0) : 0.0;
            closest[i] = std::numeric_limits<double>::infinity();
            cost += weights[i];
        }
        block_cost[b] = cost; // before the first seed rows are drawn by weight alone
    }

    // The row at which the running cost passes `target`.
    std::size_t draw(double target, bool first) const {
        std::size_t b = 0;
        while (b + 1 < blocks && target >= block_cost[b]) target -= block_cost[b++];
        std::size_t answer = n;
        for (std::size_t r = 0; r < LANES; ++r) {
            const std::size_t i = b * LANES + r;
            const double share = first ? weights[i] : weights[i] * closest[i];
            if (share > 0) answer = i; // rounding may leave a rest: then the last row with a share
            if (target < share) break;
            target -= share;
        }
        if (answer < n) return answer;
        for (std::size_t i = 0; i < n; ++i) // nothing left to cover: any row with a weight will do
            if (weights[i] > 0) return i;
        return 0;
    }

    void fetch_row(std::size_t c) {
        const std::size_t b = drawn[c] / LANES, r = drawn[c] % LANES;
        for (std::size_t j = 0; j < d; ++j) rows[c * d + j] = packed[(b * d + j) * LANES + r];
    }

    double trial(std::size_t b, const T *out) const {
        double cost = 0;
        for (std::size_t r = 0; r < LANES; ++r) {
            const std::size_t i = b * LANES + r;
            const double v = static_cast<double>(out[r]);
            cost += weights[i] * (v < closest[i] ? v : closest[i]);
        }
        return cost;
    }

    void run(Team &team) {
        const auto distances = distances_of<T>(current_variant());
        std::atomic<std::size_t> candidates{1}, winner{0};
        team.run([&](std::size_t member) {
            const std::size_t from = blocks * member / team.size(), to = blocks * (member + 1) / team.size();
            for (std::size_t b = from; b < to; ++b) pack(b);
            alignas(64) T out[LANES];
            for (std::size_t step = 0; step < task.k; ++step) {
                team.meet();
                if (member == 0) candidates = prepare(step);
                team.meet();
                const std::size_t count = candidates;
                if (count > 1) {
                    for (std::size_t b = from; b < to; ++b)
                        for (std::size_t c = 0; c < count; ++c) {
                            distances(packed.get() + b * d * LANES, LANES, d, rows.get() + c * d, out);
                            trial_cost[c * blocks + b] = trial(b, out);
                        }
                    team.meet();
                    if (member == 0) winner = best_trial(count);
                    team.meet();
                } else if (member == 0)
                    winner = 0;
                if (count <= 1) team.meet();
                const std::size_t w = winner;
                if (member == 0) task.chosen[step] = static_cast<std::int64_t>(drawn[w]);
                for (std::size_t b = from; b < to; ++b) {
                    distances(packed.get() + b * d * LANES, LANES, d, rows.get() + w * d, out);
                    double cost = 0;
                    for (std::size_t r = 0; r < LANES; ++r) {
                        const std::size_t i = b * LANES + r;
                        const double v = static_cast<double>(out[r]);
                        if (v < closest[i]) closest[i] = v;
                        cost += weights[i] * closest[i];
                    }
                    block_cost[b] = cost;
                }
            }
        });
        for (std::size_t i = 0; i < n; ++i) task.closest[i] = closest[i];
    }

  private:
    // Draws the candidates of one step; returns how many. The first seed has one: all draws are alike.
    std::size_t prepare(std::size_t step) {
        double total = 0;
        for (std::size_t b = 0; b < blocks; ++b) total += block_cost[b];
        const std::size_t count = step == 0 ? 1 : task.candidates;
        for (std::size_t c = 0; c < count; ++c) {
            drawn[c] = draw(task.uniforms[step * task.candidates + c] * total, step == 0);
            fetch_row(c);
        }
        return count;
    }

    std::size_t best_trial(std::size_t count) const {
        std::size_t best = 0;
        double least = std::numeric_limits<double>::infinity();
        for (std::size_t c = 0; c < count; ++c) {
            double cost = 0;
            for (std::size_t b = 0; b < blocks; ++b) cost += trial_cost[c * blocks + b];
            if (cost < least) {
                least = cost;
                best = c;
            }
        }
        return best;
    }
};

} // namespace

template <class T> void seed(const SeedTask<T> &task) {
    if (task.X.n == 0 || task.k == 0) return;
    const std::size_t work = task.X.n * (task.X.d + 4) * task.candidates;
    // Meeting costs a few microseconds; small steps are quicker alone.
    std::size_t members = work < 200000 || task.n_threads < 1 ? 1 : static_cast<std::size_t>(task.n_threads);
    const std::size_t processors = std::thread::hardware_concurrency(), blocks = (task.X.n + LANES - 1) / LANES;
    if (processors && members > processors) members = processors; // who waits spins: never more than can run
    if (members > blocks) members = blocks;
    Team team(members);
    Seeding<T>(task).run(team);
}

template void seed<float>(const SeedTask<float> &);
template void seed<double>(const SeedTask<double> &);

} // namespace shoal
